/* A call whose answer comes from the engine: waits for events, feeds them to the endpoint's own code, and
 * sends what that makes of them, in one piece or as a stream. One thread, the connection's. */
#ifndef VARGPT_SERVER_CALL_H
#define VARGPT_SERVER_CALL_H

#include "server/reply.h"

#include <jansson.h>

struct call;

/* The endpoint's part. begin and end may be NULL. While a stream runs, call->out takes what is to be sent. */
struct call_steps {
    void (*feed)(void *context,
                 const struct reply_event *); /* a problem goes to call->error, and ends the call */
    bool (*ended)(void *context);             /* nothing more will come */
    void (*begin)(void *context);             /* a stream's first words */
    void (*end)(void *context);               /* its last */
    void (*answer)(void *context);            /* the whole answer, into the exchange */
    void (*close)(void *context);             /* frees the context; the call is gone after it */
};

struct call {
    struct exchange *exchange;
    struct reply *reply;
    struct http_error error; /* what ended it early */
    struct buffer *out;      /* of the step of a stream that runs */
    bool begun, done;
    const struct call_steps *steps;
    void *context;
};

/* Answers: at once where there is an error already, otherwise when all has come, or as a stream. Calls close
 * in any case, now or when the stream ends. */
void call_run(struct call *, bool stream);

/* The whole answer of a call with pictures in it: takes the JSON, and bounds what it may grow to. */
void call_answer_json(struct call *, json_t *);

#endif
