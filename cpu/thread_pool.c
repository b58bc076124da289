#include "cpu/thread_pool.h"

#include "base/memory.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SPIN_NANOSECONDS = 40 * 1000 };

/* The ticket holds the job's number in its high half and the tasks not yet claimed in its low half: whoever
 * lowers it by one owns a task. Job fields change only while nothing is left to claim, so a claim that
 * succeeds read the right ones. */
struct thread_pool {
    _Alignas(64) atomic_uint_least64_t ticket;
    _Alignas(64) atomic_int done; /* finished tasks of this job */
    _Alignas(64) _Atomic(pool_task *) task;
    _Atomic(void *) context;
    atomic_int n_tasks;
    atomic_int sleepers;
    atomic_bool closing;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int size, started;
    struct worker *worker;
};

struct worker {
    struct thread_pool *pool;
    pthread_t thread;
    int index;
};

static inline void cpu_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static int64_t now_nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline uint32_t tasks_left(uint64_t ticket)
{
    return (uint32_t)ticket;
}

/* Claims and runs one task; false when none is left. */
static bool run_one(struct thread_pool *p, int thread)
{
    uint_least64_t ticket = atomic_load_explicit(&p->ticket, memory_order_acquire);
    for (;;) {
        if (tasks_left(ticket) == 0)
            return false;
        pool_task *task = atomic_load_explicit(&p->task, memory_order_relaxed);
        void *context = atomic_load_explicit(&p->context, memory_order_relaxed);
        int n = atomic_load_explicit(&p->n_tasks, memory_order_relaxed);
        if (atomic_compare_exchange_weak_explicit(&p->ticket, &ticket, ticket - 1, memory_order_acq_rel,
                                                  memory_order_acquire)) {
            task(context, n - (int)tasks_left(ticket), thread);
            atomic_fetch_add_explicit(&p->done, 1, memory_order_release);
            return true;
        }
    }
}

static bool wait_for_work(struct thread_pool *p)
{
    int64_t until = now_nanoseconds() + SPIN_NANOSECONDS;
    do {
        for (int i = 0; i < 16; i++) {
            if (tasks_left(atomic_load_explicit(&p->ticket, memory_order_acquire)))
                return true;
            cpu_pause();
        }
    } while (now_nanoseconds() < until && !atomic_load_explicit(&p->closing, memory_order_relaxed));

    /* The count is raised before the last look at the ticket, and thread_pool_run looks at the count after it
     * has raised the ticket: one of the two sees the other. */
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (!tasks_left(atomic_load(&p->ticket)) && !atomic_load(&p->closing))
        pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
    return !atomic_load(&p->closing);
}

static void *worker_main(void *argument)
{
    struct worker *w = argument;
    while (wait_for_work(w->pool)) {
        while (run_one(w->pool, w->index))
            ;
    }
    return NULL;
}

void thread_pool_run(struct thread_pool *p, int n_tasks, pool_task *task, void *context)
{
    if (n_tasks <= 0)
        return;
    if (p->size == 1 || n_tasks == 1) {
        for (int i = 0; i < n_tasks; i++)
            task(context, i, 0);
        return;
    }
    uint64_t job = (atomic_load_explicit(&p->ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&p->task, task, memory_order_relaxed);
    atomic_store_explicit(&p->context, context, memory_order_relaxed);
    atomic_store_explicit(&p->n_tasks, n_tasks, memory_order_relaxed);
    atomic_store_explicit(&p->done, 0, memory_order_relaxed);
    atomic_store(&p->ticket, job << 32 | (uint32_t)n_tasks);
    if (atomic_load(&p->sleepers) > 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    while (run_one(p, 0))
        ;
    for (int spins = 0; atomic_load_explicit(&p->done, memory_order_acquire) < n_tasks; spins++) {
        if (spins < 2000)
            cpu_pause();
        else
            sched_yield(); /* a worker was put off its core; let it have this one */
    }
}

int thread_pool_size(const struct thread_pool *p)
{
    return p->size;
}

enum status thread_pool_open(struct thread_pool **out, int threads, struct error *err)
{
    assert(threads >= 1);
    struct thread_pool *p = try_malloc_aligned(1, sizeof *p);
    if (!p)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the thread pool");
    memset(p, 0, sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->size = threads;
    p->worker = xcalloc((size_t)threads, sizeof *p->worker);
    for (int i = 1; i < threads; i++) {
        struct worker *w = &p->worker[i];
        *w = (struct worker){.pool = p, .index = i};
        int failed = pthread_create(&w->thread, NULL, worker_main, w);
        if (failed) {
            error_set(err, STATUS_NO_MEMORY, "cannot start thread %d of %d: %s", i + 1, threads,
                      strerror(failed));
            thread_pool_close(p);
            return STATUS_NO_MEMORY;
        }
        p->started++;
    }
    *out = p;
    return STATUS_OK;
}

void thread_pool_close(struct thread_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->closing, true);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 1; i <= p->started; i++)
        pthread_join(p->worker[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->worker);
    free(p);
}
