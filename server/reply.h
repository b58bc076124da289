/* The events of one call, handed from the engine's thread to the connection's. A call may be several engine
 * requests (its choices); their events share one queue. The engine never waits: it copies an event and goes
 * on. The connection waits on the queue and on the client's socket at once, so that a client that hangs up is
 * seen without delay. Owned by the connection; the memory lives on until the engine has ended the last
 * request. */
#ifndef VARGPT_SERVER_REPLY_H
#define VARGPT_SERVER_REPLY_H

#include "engine/engine.h"
#include "server/exchange.h"

struct reply;

/* An event with everything it points to; free with reply_event_free. */
struct reply_event {
    struct reply_event *next;
    int choice;
    struct event event;
    struct picture picture; /* what event.picture points to */
};
void reply_event_free(struct reply_event *); /* accepts NULL */

enum { REPLY_QUEUE_BYTES = 256 << 20 }; /* a reply whose client reads so slowly that more waits has failed */

/* The exchange's key, deadline and meter are the reply's too. */
enum status reply_open(struct reply **out, struct exchange *, int choices, struct error *err);
/* Cancels what is still running, and gives the reply up. Accepts NULL. */
void reply_close(struct reply *);

/* From the next submit on, EVENT_SCALE is handed on too. */
void reply_want_scales(struct reply *);
/* Each so many choices share a prompt, which is counted once; without this call, all do. */
void reply_share_prompts(struct reply *, int choices);

/* Tokens that `choices` replies to a request may take at most, with the prompt. */
int64_t reply_most_tokens(const struct engine *, const struct request *, int choices);
/* Reserves that much of the key's allowance for all choices together, before the first submit; over the limit: a problem. */
enum problem reply_reserve(struct reply *, int64_t tokens, struct http_error *);

/* Hands a request to the engine as the given choice; it is the engine's on success and freed on failure. Of
 * the previews only `previews` ones, evenly spaced, are kept. */
enum status reply_submit(struct reply *, struct engine *, struct request *, int choice, int previews,
                         struct error *err);
/* That choice is of no more interest: its further events may still come, ending in DONE or FAILED. */
void reply_cancel(struct reply *, int choice);

enum reply_wait {
    REPLY_READY, /* reply_take has something */
    REPLY_IDLE,  /* nothing for `seconds` */
    REPLY_GONE,  /* the client has hung up */
    REPLY_ENDED, /* the server is closing and waits no longer */
};
enum reply_wait reply_wait(struct reply *, const struct exchange *, int seconds);
/* Where in the queue it was found first, from 1; 0: it has not waited (for longer than a moment). */
int reply_first_place(const struct reply *);
/* The oldest event (caller: reply_event_free), or NULL. */
struct reply_event *reply_take(struct reply *);
/* Feeds the events that have come, in order; where there are none, waits for some first. */
enum reply_wait reply_pump(struct reply *, const struct exchange *, int seconds,
                           void (*feed)(void *context, const struct reply_event *), void *context);
/* A comment for a stream of which reply_pump had nothing: its place in the queue, or that it is alive. */
void reply_append_ping(struct reply *, const struct exchange *, struct buffer *out);
/* True when events were lost for want of memory or room: the reply cannot be finished. */
bool reply_broken(struct reply *);

#endif
