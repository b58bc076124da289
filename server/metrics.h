/* What the server counts of itself, for /metrics. Counted from any thread without locks; shared by the server
 * and by requests that the engine may end after it, so the last owner frees it. */
#ifndef VARGPT_SERVER_METRICS_H
#define VARGPT_SERVER_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { MAX_BUCKETS = 20, METRIC_SCALES = 16, METRIC_STATUSES = 24 };

/* Seconds, counted by upper bound. */
struct histogram {
    atomic_uint_least64_t bucket[MAX_BUCKETS + 1]; /* the last: over every bound */
    atomic_uint_least64_t sum_ns;
};

enum timing {
    TIMING_FIRST, /* from a request's arrival to its first token or scale */
    TIMING_NEXT,  /* from a token to the next */
    TIMING_QUEUE, /* in the engine's queue */
    TIMING_WHOLE, /* from arrival to the end of the answer, of calls that reached the engine */
    TIMING_FREE,  /* from a client's leaving to the engine's having let go */
    N_TIMINGS,
};

struct metrics {
    atomic_int owners;
    struct histogram timing[N_TIMINGS];
    struct histogram scale[METRIC_SCALES]; /* from a scale to the next, by the scale drawn */
    atomic_uint_least64_t prompt_tokens, cached_tokens, text_tokens, picture_tokens,
        pictures;                                  /* of ended calls */
    atomic_uint_least64_t done, failed, cancelled; /* the engine's requests */
    atomic_int connections;
    atomic_uint_least64_t accepted; /* connections so far */
    atomic_int_least64_t begun_ns;  /* when a waiting request last left the queue */
    atomic_int_least64_t pace_ns;   /* smoothed time from one leaving the queue to the next; 0 = unknown */
    int64_t started_unix;
    int n_routes;
    atomic_uint_least64_t *replies; /* [n_routes + 1][METRIC_STATUSES]; the last row: unknown paths */
};

struct metrics *metrics_open(int n_routes);
struct metrics *metrics_hold(struct metrics *);
void metrics_drop(struct metrics *); /* accepts NULL */

void histogram_add(struct histogram *, const double *bound, int n, int64_t ns);
void metrics_time(struct metrics *, enum timing, int64_t ns);
void metrics_scale(struct metrics *, int scale, int64_t ns);
/* A request left the queue in which it had waited so long. */
void metrics_begun(struct metrics *, int64_t now_ns, int64_t waited_ns);
/* An answer; route -1: no known path. */
void metrics_reply(struct metrics *, int route, int status);

/* The statuses that are counted apart, ascending; another counts as the next one. 0 beyond the last. */
int metrics_status(int place);
/* Bounds of the histogram, *n of them, in seconds. */
const double *metrics_bounds(enum timing, int *n);
const double *metrics_scale_bounds(int *n);

#endif
