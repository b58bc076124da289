/* What keeping keys and values in fewer bits costs: log-probabilities of every token after every position of
 * a prompt, text and a picture to look at, against those of a float32 cache. */
#include "cpu/cpu_backend.h"
#include "engine/engine.h"

#include "base/memory.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char checkpoint[] = "tests/golden/tiny-a/checkpoint";

enum { TEXT_IDS = 200 };

/* The logits of one prompt, a row a position, and its end. */
struct recorded {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
    float *logits; /* [rows, vocab] */
    int rows, vocab;
};

static void record(void *context, enum trace_point point, int index, const float *values, int rows, int cols)
{
    struct recorded *r = context;
    if (point != TRACE_PROMPT_LOGITS)
        return;
    size_t n = (size_t)cols;
    r->vocab = cols;
    r->rows = index + rows;
    r->logits = xrealloc(r->logits, (size_t)r->rows * n * sizeof *r->logits);
    memcpy(r->logits + (size_t)index * n, values, (size_t)rows * n * sizeof *values);
}

static void hear_end(void *context, const struct event *e)
{
    struct recorded *r = context;
    if (e->type != EVENT_DONE && e->type != EVENT_FAILED)
        return;
    assert_int_equal(e->type, EVENT_DONE);
    pthread_mutex_lock(&r->lock);
    r->done = true;
    pthread_cond_signal(&r->ended);
    pthread_mutex_unlock(&r->lock);
}

static void add_picture(const struct engine *e, struct request *r)
{
    size_t side = (size_t)engine_config(e)->vision.image_size;
    struct prompt_picture *p = r->picture = xcalloc(1, sizeof *r->picture);
    r->n_pictures = 1;
    *p = (struct prompt_picture){.kind = PICTURE_SEEN, .first_id = 7, .n_pixels = 3 * side * side};
    p->pixels = xcalloc(p->n_pixels, sizeof *p->pixels);
    for (size_t i = 0; i < p->n_pixels; i++)
        p->pixels[i] = (float)(i * 4 % 255) / 128 - 1;
}

static void run_prompt(enum dtype type, bool sees, struct recorded *out)
{
    struct backend *be;
    struct engine *e;
    struct error err = {0};
    struct engine_options options = {
        .model_path = checkpoint, .max_sequences = 2, .step_rows = 64, .cache_type = type};
    assert_int_equal(cpu_backend_open(&be, 2, cpu_level_detected(), &err), STATUS_OK);
    if (engine_open(&e, be, &options, &err))
        fail_msg("%s", err.message);
    assert_int_equal(engine_memory(e).cache_type, type);
    struct trace trace = {record, out};
    struct request *r = request_new();
    r->n_ids = TEXT_IDS;
    r->ids = xcalloc(TEXT_IDS, sizeof *r->ids);
    r->ids[0] = 1;
    for (int i = 1; i < TEXT_IDS; i++)
        r->ids[i] = (int32_t)(300 + i * 7 % 500);
    r->draw.mode = DRAW_NEVER;
    r->text.max_tokens = 1;
    r->trace = &trace;
    if (sees)
        add_picture(e, r);
    assert_int_equal(engine_submit(e, r, (struct event_sink){hear_end, out}, NULL, &err), STATUS_OK);
    pthread_mutex_lock(&out->lock);
    while (!out->done)
        pthread_cond_wait(&out->ended, &out->lock);
    pthread_mutex_unlock(&out->lock);
    engine_close(e);
    cpu_backend_close(be);
}

static struct recorded recorded_new(void)
{
    return (struct recorded){.lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
}

static double log_total(const float *logits, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp((double)logits[i]);
    return log(sum);
}

/* The largest difference of any token's log-probability anywhere, and the mean Kullback-Leibler divergence a
 * position. */
static void compare(const struct recorded *a, const struct recorded *b, double *largest, double *divergence)
{
    *largest = *divergence = 0;
    assert_int_equal(a->rows, TEXT_IDS);
    assert_int_equal(b->rows, TEXT_IDS);
    for (int r = 0; r < a->rows; r++) {
        const float *x = a->logits + (size_t)r * (size_t)a->vocab,
                    *y = b->logits + (size_t)r * (size_t)a->vocab;
        double x_total = log_total(x, a->vocab), y_total = log_total(y, a->vocab);
        for (int i = 0; i < a->vocab; i++) {
            double off = (x[i] - x_total) - (y[i] - y_total);
            *largest = fmax(*largest, fabs(off));
            *divergence += exp(x[i] - x_total) * off / a->rows;
        }
    }
}

static void check_type(enum dtype type, bool sees, double most_off, double most_divergence)
{
    struct recorded exact = recorded_new(), short_cache = recorded_new();
    double largest, divergence;
    run_prompt(DTYPE_F32, sees, &exact);
    run_prompt(type, sees, &short_cache);
    compare(&exact, &short_cache, &largest, &divergence);
    printf("%-4s %-7s largest difference of a log-probability %.2e, mean divergence %.2e\n", dtype_name(type),
           sees ? "picture" : "text", largest, divergence);
    assert_true(largest > 0); /* the type did something */
    assert_true(largest <= most_off);
    assert_true(divergence <= most_divergence);
    free(exact.logits);
    free(short_cache.logits);
}

static void test_bf16(void **state)
{
    (void)state;
    check_type(DTYPE_BF16, false, 0.1, 3e-5);
    check_type(DTYPE_BF16, true, 0.1, 3e-5);
}

static void test_int8(void **state)
{
    (void)state;
    check_type(DTYPE_I8, false, 0.3, 3e-4);
    check_type(DTYPE_I8, true, 0.3, 3e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_int8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
