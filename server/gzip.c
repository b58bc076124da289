#include "server/gzip.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#define ZLIB_CONST
#include <zlib.h>

enum { LEAST_BYTES = 1024, MOST_BYTES = 8 << 20, LEVEL = 4, GZIP_WINDOW = 15 + 16, MEMORY_LEVEL = 8 };

/* ";q=0", "; q=0.000": refused. */
static bool is_refused(const char *parameters, size_t n)
{
    size_t at = 0;
    while (at < n && strchr("; \t", parameters[at]))
        at++;
    if (n - at < 3 || strncasecmp(parameters + at, "q=0", 3) != 0)
        return false;
    for (at += 3; at < n; at++)
        if (!strchr(".0 \t", parameters[at]))
            return false;
    return true;
}

bool gzip_wanted(const char *list)
{
    bool any = false;
    while (list && *list) {
        list += strspn(list, ", \t");
        size_t whole = strcspn(list, ","), name = strcspn(list, ",; \t");
        bool refused = is_refused(list + name, whole - name);
        if ((name == 4 && strncasecmp(list, "gzip", 4) == 0) ||
            (name == 6 && strncasecmp(list, "x-gzip", 6) == 0))
            return !refused;
        if (name == 1 && *list == '*')
            any = !refused;
        list += whole;
    }
    return any;
}

static bool has(const char *body, size_t length, const char *text)
{
    return memmem(body, length, text, strlen(text)) != NULL;
}

bool gzip_worth(const char *type, const char *body, size_t length)
{
    if (!type || length < LEAST_BYTES || length > MOST_BYTES)
        return false;
    if (strncmp(type, "application/json", 16) == 0)
        return !has(body, length, ";base64,") && !has(body, length, "\"b64_json\"");
    bool text = strncmp(type, "text/", 5) == 0 && strncmp(type, "text/event-stream", 17) != 0;
    return text || strncmp(type, "application/javascript", 22) == 0 || strncmp(type, "image/svg", 9) == 0 ||
           strncmp(type, "application/openmetrics-text", 28) == 0;
}

char *gzip_make(const char *body, size_t *length)
{
    z_stream z = {.next_in = (const Bytef *)body, .avail_in = (uInt)*length, .avail_out = (uInt)*length};
    char *out = try_malloc(*length, 1);
    if (!out || deflateInit2(&z, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(out);
        return NULL;
    }
    z.next_out = (Bytef *)out;
    bool done = deflate(&z, Z_FINISH) == Z_STREAM_END;
    if (done)
        *length = (size_t)z.total_out;
    deflateEnd(&z);
    if (done)
        return out;
    free(out);
    return NULL;
}
