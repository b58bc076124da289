/* What one call used and how long its parts took. Written on the engine's thread while events come, read when
 * the call is logged; shared by the reply and its exchange, so counted. */
#ifndef VARGPT_SERVER_METER_H
#define VARGPT_SERVER_METER_H

#include "engine/engine.h"

struct metrics;
struct api_key;
struct meter; /* counted */

struct meter_totals {
    int prompt_tokens, cached_tokens, text_tokens, picture_tokens, pictures;
    int64_t queue_ns, first_ns; /* until computing began, until something came; -1: it did not (yet) */
};

/* key may be NULL. arrived_ns: when the HTTP request came. */
struct meter *meter_open(struct metrics *, struct api_key *key, int64_t arrived_ns);
struct meter *meter_hold(struct meter *);
void meter_drop(struct meter *); /* accepts NULL */
void meter_read(struct meter *, struct meter_totals *out);

/* One of the call's engine requests; zero-initialised. */
struct meter_choice {
    struct meter *meter;  /* held by whoever has the choice */
    int64_t submitted_ns; /* set before the engine has it */
    int64_t cancelled_ns; /* set when it is cancelled; 0 otherwise */
    int64_t last_ns;
    int tokens; /* chosen so far, image codes included */
    bool begun, last_was_token;
};

/* Takes from the key's allowance what the call's engine requests, so many, may use at most, prompts included; what they do
 * not use goes back when the last of them has ended. False: that is over the limit, *wait_seconds from now it need not be. */
bool meter_reserve(struct meter *, int64_t most, int requests, double *wait_seconds);
/* A prompt that the engine has taken; told once for the choices that share it. */
void meter_prompt(struct meter *, int tokens);
/* An event of the engine's, in order. */
void meter_event(struct meter_choice *, const struct event *);

#endif
