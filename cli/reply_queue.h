/* Events on their way from the engine's thread to the one that prints: copied there, taken here, in order.
 * One queue serves the replies of several requests, told apart by their number. */
#ifndef VARGPT_CLI_REPLY_QUEUE_H
#define VARGPT_CLI_REPLY_QUEUE_H

#include "engine/engine.h"

enum reply_kind {
    REPLY_TOKEN,   /* id */
    REPLY_SCALE,   /* scale, n_scales: its codes were chosen */
    REPLY_PREVIEW, /* picture, scale, n_scales */
    REPLY_PICTURE, /* picture, codes, seed, ordinal */
    REPLY_DONE,    /* finish, usage */
    REPLY_FAILED,  /* error */
};

/* A copy of an event that owns what it points to; reply_event_release frees it, and "take" moves are fine:
 * set the taken pointer to NULL. */
struct reply_event {
    enum reply_kind kind;
    int request; /* number of the sink it came through */
    int32_t id;
    struct picture picture;
    int32_t *codes; /* [n_codes] */
    size_t n_codes;
    uint64_t seed;
    uint32_t ordinal;
    int scale, n_scales;
    enum finish_reason finish;
    struct usage usage;
    struct error error;
    struct reply_event *next;
};
void reply_event_release(struct reply_event *); /* accepts a zeroed one */

struct reply_queue;

/* For requests 0..requests-1. */
struct reply_queue *reply_queue_open(int requests);
/* Only when every submitted request has had DONE or FAILED. Accepts NULL. */
void reply_queue_close(struct reply_queue *);

/* What engine_submit is given for a request; valid until reply_queue_close. */
struct event_sink reply_queue_sink(struct reply_queue *, int request);

/* Waits for the next event, at most that long (milliseconds): true with *out filled (release it), false when
 * none came. */
bool reply_queue_take(struct reply_queue *, int milliseconds, struct reply_event *out);

#endif
