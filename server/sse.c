#include "server/sse.h"

#include <stdlib.h>

static int append_bytes(const char *bytes, size_t n, void *context)
{
    buffer_append(context, bytes, n);
    return 0;
}

void json_append(struct buffer *out, const json_t *json)
{
    if (!json || json_dump_callback(json, append_bytes, out, JSON_COMPACT | JSON_ENCODE_ANY))
        out->failed = true;
}

void sse_append(struct buffer *out, const char *name, json_t *json)
{
    if (name)
        buffer_printf(out, "event: %s\n", name);
    buffer_append_text(out, "data: ");
    json_append(out, json);
    buffer_append_text(out, "\n\n");
    json_decref(json);
}

void sse_append_error(struct buffer *out, const struct http_error *e)
{
    size_t length;
    char *body = http_error_body(e, &length);
    buffer_append_text(out, "data: ");
    buffer_append(out, body, length);
    buffer_append_text(out, "\n\n");
    free(body);
}

void sse_append_ping(struct buffer *out)
{
    buffer_append_text(out, ": ping\n\n");
}
