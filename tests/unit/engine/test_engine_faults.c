/* The N-th piece of memory cannot be had, N = 1, 2, 3 ...: opening the engine fails and leaves nothing
 * behind; a request fails and the next one is served as if nothing had been. */
#include "hearing.h"

#include <stdatomic.h>

static enum status try_open(long fail_after)
{
    struct backend *be = NULL;
    struct engine *e = NULL;
    struct error err = {0};
    struct engine_options options = {
        .model_path = checkpoint, .max_sequences = 2, .context = 1024, .cache_bytes = 1};
    assert_int_equal(cpu_backend_open(&be, 1, cpu_level_detected(), &err), STATUS_OK);
    memory_fail_after(fail_after);
    enum status status = engine_open(&e, be, &options, &err);
    memory_fail_after(0);
    if (status != STATUS_OK) {
        assert_null(e);
        assert_int_equal(err.status, status);
        assert_true(err.message[0] != 0);
    }
    engine_close(e);
    cpu_backend_close(be);
    return status;
}

static void test_opening(void **state)
{
    (void)state;
    long n = 1;
    while (try_open(n) != STATUS_OK)
        n += 1 + n / 16; /* what comes late are matrices, one like the other */
    assert_true(n > 20);
}

enum { KINDS = 3 };

static struct request *request_of_kind(const struct engine *e, int kind)
{
    struct request *r = kind == 0   ? text_request(30, 1)
                        : kind == 1 ? drawing_request(10, 1)
                                    : seeing_request(e, 1);
    r->text.max_tokens = 4;
    return r;
}

/* Returns whether all memory could be had. */
static bool serve_with_fault(const struct heard *const want[KINDS], int kind, long fail_after)
{
    struct world w =
        world_open((struct engine_options){.max_sequences = 2, .context = 1024, .cache_bytes = 1}, 1);
    memory_fail_after(fail_after);
    struct heard *h = run_alone(w.engine, request_of_kind(w.engine, kind));
    memory_fail_after(0);
    bool ok = h->status == STATUS_OK;
    if (ok)
        assert_same(want[kind], h);
    else
        assert_int_equal(h->status, STATUS_NO_MEMORY);
    heard_free(h);
    for (int k = 0; !ok && k < KINDS; k++) {
        h = run_alone(w.engine, request_of_kind(w.engine, k));
        assert_same(want[k], h);
        heard_free(h);
    }
    assert_no_pages_held(w.engine);
    world_close(&w);
    return ok;
}

static void test_serving(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){.max_sequences = 2}, 1);
    struct heard *want[KINDS];
    for (int k = 0; k < KINDS; k++)
        want[k] = run_alone(w.engine, request_of_kind(w.engine, k));
    world_close(&w);
    for (int k = 0; k < KINDS; k++) {
        long n = 1;
        while (!serve_with_fault((const struct heard *const *)want, k, n))
            n++;
        assert_true(k == 0 || n > 1);
    }
    for (int k = 0; k < KINDS; k++)
        heard_free(want[k]);
}

/* A backend like the CPU's whose device can be lost, or lack memory for a moment. */
static const struct backend_ops *whole;
static struct backend_ops faulty;
static atomic_bool lost, short_of_memory;

static enum status finish_faulty(struct backend *be, struct error *err)
{
    enum status status = whole->finish(be, err);
    if (status == STATUS_OK && atomic_load(&lost))
        return error_set(err, STATUS_DEVICE, "the device fell off the bus");
    if (status == STATUS_OK && atomic_load(&short_of_memory)) {
        atomic_store(&short_of_memory, !err);
        return error_set(err, STATUS_NO_MEMORY, "no memory");
    }
    return status;
}

static struct engine_status look_when_idle(struct engine *e)
{
    struct engine_status s;
    do {
        usleep(1000);
        engine_look(e, &s);
    } while (s.stepping || s.running);
    return s;
}

static void test_a_lost_device(void **state)
{
    (void)state;
    struct backend *be = NULL;
    struct engine *e = NULL;
    struct engine_options options = {.model_path = checkpoint, .max_sequences = 2};
    assert_int_equal(cpu_backend_open(&be, 1, cpu_level_detected(), NULL), STATUS_OK);
    whole = be->op;
    faulty = *whole;
    faulty.finish = finish_faulty;
    be->op = &faulty;
    assert_int_equal(engine_open(&e, be, &options, NULL), STATUS_OK);
    const struct {
        atomic_bool *fault;
        enum status status;
    } faults[] = {{NULL, STATUS_OK},
                  {&short_of_memory, STATUS_NO_MEMORY},
                  {NULL, STATUS_OK},
                  {&lost, STATUS_DEVICE},
                  {NULL, STATUS_DEVICE}};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        if (faults[i].fault)
            atomic_store(faults[i].fault, true);
        struct heard *h = run_alone(e, request_of_kind(e, 0));
        assert_int_equal(h->status, faults[i].status);
        assert_int_equal(look_when_idle(e).device_lost, faults[i].status == STATUS_DEVICE);
        heard_free(h);
    }
    engine_close(e);
    be->op = whole;
    cpu_backend_close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opening),
        cmocka_unit_test(test_serving),
        cmocka_unit_test(test_a_lost_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
