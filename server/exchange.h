/* One HTTP request and its answer, on the connection's own thread; free of libmicrohttpd. Handlers read the
 * body and leave an answer: whole bytes, JSON, an error, or a stream that is asked for more as the client
 * reads. */
#ifndef VARGPT_SERVER_EXCHANGE_H
#define VARGPT_SERVER_EXCHANGE_H

#include "base/buffer.h"
#include "server/http_error.h"

#include <jansson.h>
#include <stdint.h>

struct server;
struct api_key;
struct meter;

enum stream_step {
    STREAM_MORE,   /* out holds something to send */
    STREAM_END,    /* nothing more; out is empty */
    STREAM_BROKEN, /* the client is gone, or we cannot go on */
};

/* A body that grows while it is sent. next blocks until it has something; close is called once, sent or not.
 */
struct stream {
    enum stream_step (*next)(void *context, struct buffer *out);
    void (*close)(void *context);
    void *context;
};

struct answer_header {
    const char *name, *value;
};

struct answer {
    int status; /* 0: none, the connection is dropped (the client is gone) */
    const char *content_type;
    char *body; /* malloc'ed */
    size_t length;
    struct stream stream; /* next != NULL: instead of body */
    char allow[64];       /* "" = no such header */
    const char *etag;     /* NULL = no such header; outlives the answer */
    const struct answer_header
        *headers;          /* further ones, up to a NULL name; NULL = none; outlive the answer */
    int retry_after;       /* 0 = no such header */
    int cache_seconds;     /* the client may keep it that long; 0 = nothing is said */
    bool close_connection; /* the rest of the request cannot be trusted */
};

struct exchange {
    struct server *server;
    const char *method;
    char *path;                /* unescaped, without the query */
    char request_id[129];      /* the client's, or made here */
    const char *if_none_match; /* that header, or NULL; libmicrohttpd's */
    const char *host;          /* the Host header, or "" */
    int64_t started_ns;
    int socket; /* to see whether the client is still there */
    struct buffer body;
    size_t budgeted; /* bytes of the server's body budget held */
    struct answer answer;
    int route;           /* of route.h, by path and method */
    struct api_key *key; /* whose it is, held; NULL where none is needed */
    struct meter *meter; /* what its work took, held; NULL before any */
    int queue_place;     /* the call's in the engine's queue when it had waited for a moment; 0: it never waited */
    int64_t deadline_ns; /* the engine's answer comes by then or not at all; 0 = none */
};

/* The body was read and may go: a long reply need not hold it. */
void exchange_drop_body(struct exchange *);

/* Both take the text over. */
void exchange_reply_text(struct exchange *, int status, const char *content_type, char *text, size_t length);
void exchange_reply_json(struct exchange *, int status, json_t *);
void exchange_reply_buffer(struct exchange *, struct buffer *json); /* 200; empties the buffer */
void exchange_fail(struct exchange *, const struct http_error *);
void exchange_stream(struct exchange *, struct stream); /* 200, server-sent events */
void exchange_drop(struct exchange *);                  /* nobody is there to answer */

/* True once the client has hung up (or shut down its sending side). */
bool exchange_gone(const struct exchange *);

#endif
