/* Workers that run the tasks of one job at a time. The thread that hands a job in takes part in it. Workers
 * spin for some tens of microseconds after a job (the next one usually follows at once) and then sleep: an
 * idle pool uses no CPU. */
#ifndef VARGPT_CPU_THREAD_POOL_H
#define VARGPT_CPU_THREAD_POOL_H

#include "base/error.h"

struct thread_pool;

/* thread: 0 is the caller of thread_pool_run, 1 .. size-1 the workers; no two tasks run on one thread at the
 * same time. */
typedef void pool_task(void *context, int task, int thread);

/* threads >= 1 counts the caller: threads - 1 workers are started. */
enum status thread_pool_open(struct thread_pool **out, int threads, struct error *err);
void thread_pool_close(struct thread_pool *); /* accepts NULL */
int thread_pool_size(const struct thread_pool *);

/* Runs task(context, 0 .. n_tasks-1), each once, in any order and on any thread; returns when all are done.
 * What the caller wrote before is seen by the tasks, what they wrote is seen by the caller. One caller at a
 * time; tasks may not call it. */
void thread_pool_run(struct thread_pool *, int n_tasks, pool_task *task, void *context);

#endif
