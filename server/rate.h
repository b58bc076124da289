/* An allowance a minute, filled up steadily: at most a minute's worth at once. What is spent may turn out
 * to be more than was thought, so a level may be below zero for a while, or less: then it is given back.
 * Pure; the caller locks. */
#ifndef VARGPT_SERVER_RATE_H
#define VARGPT_SERVER_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
    int per_minute; /* 0 = no limit */
    double level;   /* what may be spent at at_ns */
    int64_t at_ns;
};

void rate_init(struct rate *, int per_minute, int64_t now_ns);
void rate_change(struct rate *, int per_minute,
                 int64_t now_ns); /* another limit; what was spent stays spent */

/* Seconds until `least` may be spent; 0: now. Never takes anything. */
double rate_wait(struct rate *, double least, int64_t now_ns);
void rate_spend(struct rate *, double amount, int64_t now_ns); /* below 0: gives back */
double rate_left(struct rate *, int64_t now_ns); /* not below 0 */
/* Seconds until the whole allowance is there again. */
double rate_reset(struct rate *, int64_t now_ns);

#endif
