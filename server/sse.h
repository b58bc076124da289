/* Writing server-sent events. */
#ifndef VARGPT_SERVER_SSE_H
#define VARGPT_SERVER_SSE_H

#include "base/buffer.h"
#include "server/http_error.h"

#include <jansson.h>

enum {
    SSE_PING_SECONDS = 10,        /* a comment goes out after that much silence */
    SSE_BUFFER_BYTES = 512 << 20, /* most that one step of a stream may hold */
};

/* "event: name" (unless NULL) and "data: json"; takes the JSON. Failure sticks in out. */
void sse_append(struct buffer *out, const char *name, json_t *);
void sse_append_error(struct buffer *out, const struct http_error *);
/* ": ping", which clients skip. */
void sse_append_ping(struct buffer *out);

/* Appends JSON as compact text. Does not take it. */
void json_append(struct buffer *out, const json_t *);

#endif
