#include "server/metrics.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>

static const double short_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                      0.15,  0.2,    0.3,   0.4,  0.5,   0.75, 1,     2.5};
static const double long_bounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,  2.5,
                                     5,     10,   20,    40,   80,  160,  320, 640};
enum {
    N_SHORT = sizeof short_bounds / sizeof short_bounds[0],
    N_LONG = sizeof long_bounds / sizeof long_bounds[0]
};
_Static_assert((int)N_SHORT <= (int)MAX_BUCKETS && (int)N_LONG <= (int)MAX_BUCKETS, "raise MAX_BUCKETS");

static const short statuses[] = {200, 204, 206, 304, 400, 401, 403, 404, 405, 408, 411, 413,
                                 415, 416, 429, 431, 499, 500, 501, 502, 503, 504, 599};
enum { N_STATUSES = sizeof statuses / sizeof statuses[0] };
_Static_assert((int)N_STATUSES <= (int)METRIC_STATUSES, "raise METRIC_STATUSES");

struct metrics *metrics_open(int n_routes)
{
    struct metrics *m = xcalloc(1, sizeof *m);
    m->replies = xcalloc(((size_t)n_routes + 1) * METRIC_STATUSES, sizeof m->replies[0]);
    m->n_routes = n_routes;
    m->started_unix = clock_unix();
    atomic_init(&m->owners, 1);
    return m;
}

struct metrics *metrics_hold(struct metrics *m)
{
    atomic_fetch_add(&m->owners, 1);
    return m;
}

void metrics_drop(struct metrics *m)
{
    if (!m || atomic_fetch_sub(&m->owners, 1) > 1)
        return;
    free(m->replies);
    free(m);
}

void histogram_add(struct histogram *h, const double *bound, int n, int64_t ns)
{
    int at = 0;
    ns = ns > 0 ? ns : 0;
    while (at < n && (double)ns * 1e-9 > bound[at])
        at++;
    atomic_fetch_add(&h->bucket[at], 1);
    atomic_fetch_add(&h->sum_ns, (uint_least64_t)ns);
}

const double *metrics_bounds(enum timing timing, int *n)
{
    bool brief = timing == TIMING_NEXT || timing == TIMING_FREE;
    *n = brief ? N_SHORT : N_LONG;
    return brief ? short_bounds : long_bounds;
}

const double *metrics_scale_bounds(int *n)
{
    *n = N_LONG;
    return long_bounds;
}

void metrics_time(struct metrics *m, enum timing timing, int64_t ns)
{
    int n;
    const double *bound = metrics_bounds(timing, &n);
    histogram_add(&m->timing[timing], bound, n, ns);
}

void metrics_scale(struct metrics *m, int scale, int64_t ns)
{
    if (scale >= 0 && scale < METRIC_SCALES)
        histogram_add(&m->scale[scale], long_bounds, N_LONG, ns);
}

void metrics_begun(struct metrics *m, int64_t now_ns, int64_t waited_ns)
{
    int64_t last = atomic_exchange(&m->begun_ns, now_ns), pace = atomic_load(&m->pace_ns);
    metrics_time(m, TIMING_QUEUE, waited_ns);
    if (last == 0 || now_ns - last > waited_ns) /* the queue was empty in between */
        return;
    int64_t gap = now_ns > last ? now_ns - last : 0;
    atomic_store(&m->pace_ns, pace ? pace + (gap - pace) / 8 : gap);
}

int metrics_status(int place)
{
    return place >= 0 && place < N_STATUSES ? statuses[place] : 0;
}

void metrics_reply(struct metrics *m, int route, int status)
{
    int at = 0, row = route >= 0 && route < m->n_routes ? route : m->n_routes;
    while (at < N_STATUSES - 1 && statuses[at] < status)
        at++;
    atomic_fetch_add(&m->replies[row * METRIC_STATUSES + at], 1);
}
