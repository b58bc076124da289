/* The thread pool; also built with ThreadSanitizer (cmake --preset tsan), which is why the counters that the
 * pool has to order are plain. */
#include "cpu/thread_pool.h"

#include "base/clock.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { MOST_THREADS = 5, MOST_TASKS = 40 };

static struct thread_pool *pool_open(int threads)
{
    struct thread_pool *pool = NULL;
    struct error err = {0};
    assert_int_equal(thread_pool_open(&pool, threads, &err), STATUS_OK);
    assert_int_equal(thread_pool_size(pool), threads);
    return pool;
}

static void pause_for(double seconds)
{
    nanosleep(&(struct timespec){0, (long)(seconds * 1e9)}, NULL);
}

struct count_job {
    int in, out[MOST_TASKS], runs[MOST_TASKS];
    int of_thread[MOST_THREADS]; /* tasks each thread has run: no two at a time may count here */
};

static void count(void *context, int task, int thread)
{
    struct count_job *j = context;
    j->out[task] = j->in + task;
    j->runs[task]++;
    j->of_thread[thread]++;
}

static void each_task_runs_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct thread_pool *pool = pool_open(threads);
        for (int job = 0; job < 1000; job++) {
            struct count_job j = {.in = job};
            int tasks = job * 7 % (MOST_TASKS + 1), total = 0;
            if (job % 100 == 0)
                pause_for(0.001); /* the workers are asleep by now */
            thread_pool_run(pool, tasks, count, &j);
            for (int i = 0; i < MOST_TASKS; i++) {
                assert_int_equal(j.runs[i], i < tasks);
                assert_int_equal(j.out[i], i < tasks ? job + i : 0);
            }
            for (int i = 0; i < MOST_THREADS; i++)
                total += j.of_thread[i];
            assert_int_equal(total, tasks);
        }
        thread_pool_close(pool);
    }
}

struct meeting {
    atomic_int arrived;
    int threads;
    bool missed;
};

/* Waits for all others: succeeds only where each task has a thread of its own. */
static void meet(void *context, int task, int thread)
{
    struct meeting *m = context;
    (void)thread;
    atomic_fetch_add(&m->arrived, 1);
    double end = clock_seconds() + 60;
    while (atomic_load(&m->arrived) < m->threads && clock_seconds() < end)
        sched_yield();
    if (task == 0)
        m->missed = atomic_load(&m->arrived) < m->threads;
}

static void sleeping_workers_wake(void **state)
{
    (void)state;
    struct thread_pool *pool = pool_open(MOST_THREADS);
    for (int i = 0; i < 100; i++) {
        struct meeting m = {.threads = MOST_THREADS};
        pause_for(i % 2 ? 0.001 : 0);
        thread_pool_run(pool, MOST_THREADS, meet, &m);
        assert_false(m.missed);
    }
    thread_pool_close(pool);
}

static void note_thread(void *context, int task, int thread)
{
    pthread_t *ran_on = context;
    assert_int_equal(task, 0);
    assert_int_equal(thread, 0);
    *ran_on = pthread_self();
}

static void one_task_stays_with_the_caller(void **state)
{
    (void)state;
    struct thread_pool *pool = pool_open(2);
    pthread_t ran_on;
    thread_pool_run(pool, 1, note_thread, &ran_on);
    assert_true(pthread_equal(ran_on, pthread_self()));
    thread_pool_close(pool);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void an_idle_pool_uses_no_cpu(void **state)
{
    (void)state;
    struct thread_pool *pool = pool_open(MOST_THREADS);
    struct count_job j = {0};
    thread_pool_run(pool, MOST_TASKS, count, &j);
    pause_for(0.05);
    double before = cpu_seconds();
    pause_for(0.3);
    assert_true(cpu_seconds() - before < 0.03);
    thread_pool_close(pool);
}

static void pools_come_and_go(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        thread_pool_close(pool_open(1 + i % MOST_THREADS));
    thread_pool_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_task_runs_once),
        cmocka_unit_test(sleeping_workers_wake),
        cmocka_unit_test(one_task_stays_with_the_caller),
        cmocka_unit_test(an_idle_pool_uses_no_cpu),
        cmocka_unit_test(pools_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
