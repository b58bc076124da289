#include "cpu/backend_state.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>

/* Both measures repeat a fixed amount of work, once at least, and keep the best time: on a shared machine
 * that is the nearest to what it can do. */

struct burn_job {
    struct cpu_backend *c;
    long rounds;
    double operations; /* of one task */
};

static void burn_task(void *context, int task, int thread)
{
    struct burn_job *j = context;
    (void)thread;
    double operations = j->c->k->burn(j->rounds);
    if (task == 0)
        j->operations = operations;
}

double cpu_measure_flops(struct backend *be, double seconds)
{
    struct cpu_backend *c = cpu_state(be);
    struct burn_job j = {c, 500 * 1000, 0};
    double best = 0, end = clock_seconds() + seconds;
    do {
        double start = clock_seconds();
        thread_pool_run(c->pool, c->threads, burn_task, &j);
        double rate = j.operations * c->threads / (clock_seconds() - start);
        best = rate > best ? rate : best;
    } while (clock_seconds() < end);
    return best;
}

enum { READ_PIECES = 64 };

struct read_job {
    struct cpu_backend *c;
    float *data;
    size_t piece; /* floats */
    float sum[READ_PIECES];
};

static void fill_task(void *context, int task, int thread)
{
    struct read_job *j = context;
    (void)thread;
    for (size_t i = 0; i < j->piece; i++)
        j->data[(size_t)task * j->piece + i] = 1;
}

static void read_task(void *context, int task, int thread)
{
    struct read_job *j = context;
    (void)thread;
    j->sum[task] = j->c->k->read_sum(j->data + (size_t)task * j->piece, j->piece);
}

double cpu_measure_bandwidth(struct backend *be, double seconds)
{
    struct cpu_backend *c = cpu_state(be);
    const size_t bytes = (size_t)512 << 20;
    struct read_job j = {.c = c, .piece = bytes / READ_PIECES / sizeof(float)};
    j.data = try_malloc_aligned(bytes, 1);
    if (!j.data)
        return 0;
    thread_pool_run(c->pool, READ_PIECES, fill_task, &j);
    double best = 0, end = clock_seconds() + seconds;
    do {
        double start = clock_seconds();
        thread_pool_run(c->pool, READ_PIECES, read_task, &j);
        double rate = (double)bytes / (clock_seconds() - start);
        best = rate > best ? rate : best;
    } while (clock_seconds() < end);
    free(j.data);
    return best;
}
