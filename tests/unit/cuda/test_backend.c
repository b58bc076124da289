/* The CUDA backend's own bookkeeping, on the emulated card: staging, sticky failures, memory that cannot be
 * had. What it computes is check_ops's to test. */
#include "fail_in_turn.h"

#include "cuda/cuda_backend.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct backend *open_card(void)
{
    struct backend *be = NULL;
    struct error err = {0};
    if (cuda_backend_open(&be, 0, 0, &err))
        fail_msg("%s", err.message);
    return be;
}

/* Copies of all sizes around the staging memory's and the largest that goes through it, more of them than it
 * holds. */
static void copies_any_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 4, 255, 4096, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 9 << 20};
    enum { SIZES = sizeof sizes / sizeof *sizes, TURNS = 4 };
    struct backend *be = open_card();
    unsigned char *in = xmalloc(9 << 20), *out[TURNS][SIZES];
    void *device[TURNS][SIZES];
    for (size_t t = 0; t < TURNS; t++) {
        for (size_t i = 0; i < SIZES; i++) {
            memset(in, (int)(t * SIZES + i + 1), sizes[i]);
            out[t][i] = xcalloc(1, sizes[i]);
            device[t][i] = be->op->alloc(be, sizes[i]);
            assert_non_null(device[t][i]);
            assert_int_equal((uintptr_t)device[t][i] % 64, 0);
            be->op->upload(be, device[t][i], in, sizes[i]);
            memset(in, 0, sizes[i]); /* the source may be reused at once */
            be->op->download(be, out[t][i], device[t][i], sizes[i]);
        }
    }
    assert_int_equal(be->op->finish(be, NULL), STATUS_OK);
    for (size_t t = 0; t < TURNS; t++) {
        for (size_t i = 0; i < SIZES; i++) {
            memset(in, (int)(t * SIZES + i + 1), sizes[i]);
            assert_memory_equal(out[t][i], in, sizes[i]);
            be->op->free(be, device[t][i]);
            free(out[t][i]);
        }
    }
    free(in);
    cuda_backend_close(be);
}

static void many_small_downloads(void **state)
{
    (void)state;
    enum { N = 1000 };
    struct backend *be = open_card();
    int in[N], out[N] = {0};
    for (int i = 0; i < N; i++)
        in[i] = i;
    int *device = be->op->alloc(be, sizeof in);
    be->op->upload(be, device, in, sizeof in);
    for (int i = 0; i < N; i++)
        be->op->download(be, &out[i], device + i, sizeof *in);
    assert_int_equal(be->op->finish(be, NULL), STATUS_OK);
    assert_memory_equal(in, out, sizeof in);
    be->op->free(be, device);
    cuda_backend_close(be);
}

/* Too large for the card: NULL, and the backend goes on. */
static void refuses_large(void **state)
{
    (void)state;
    struct backend *be = open_card();
    struct weight *w = NULL;
    struct error err = {0};
    struct host_matrix huge = {"", DTYPE_F32, 1 << 20, 1 << 12, .stays = true};
    assert_null(be->op->alloc(be, (size_t)1 << 45));
    assert_int_equal(be->op->weight_load(be, &w, &huge, &err), STATUS_NO_MEMORY);
    assert_int_equal(be->op->finish(be, &err), STATUS_OK);
    cuda_backend_close(be);
}

/* Blocks whose weights F16 does not hold, which tensor cores would need. */
static void blocks_beyond_f16(void **state)
{
    (void)state;
    struct backend *be = open_card();
    struct weight *w = NULL;
    struct error err = {0};
    unsigned char block[34] = {0x00, 0x78, 100, 1}; /* 32768 x (100, 1, 0, ...) */
    struct host_matrix m = {block, DTYPE_Q8_0, 1, 32, .stays = false};
    float x[32] = {1, 2}, y = 0;
    cuda_backend_set_fast(be, true);
    assert_int_equal(be->op->weight_load(be, &w, &m, &err), STATUS_OK);
    float *device = be->op->alloc(be, sizeof x + sizeof y);
    be->op->upload(be, device, x, sizeof x);
    be->op->linear(be, (struct tensor){device + 32, DTYPE_F32, 1, 1, 1},
                   (struct tensor){device, DTYPE_F32, 1, 32, 32}, w, NULL, ACT_NONE);
    be->op->download(be, &y, device + 32, sizeof y);
    assert_int_equal(be->op->finish(be, &err), STATUS_OK);
    assert_true(y == 32768.0f * 102);
    be->op->weight_free(be, w);
    be->op->free(be, device);
    cuda_backend_close(be);
}

static void refuses_devices(void **state)
{
    (void)state;
    struct backend *be = NULL;
    struct error err = {0};
    assert_int_equal(cuda_backend_open(&be, 99, 0, &err), STATUS_DEVICE);
    assert_string_equal(err.message, "cuda: there is no device 99, the last one is 0");
    setenv("VARGPT_EMULATED_DEVICES", "0", 1);
    assert_int_equal(cuda_device_count(NULL), 0);
    assert_int_equal(cuda_backend_open(&be, 0, 0, &err), STATUS_DEVICE);
    assert_string_equal(err.message, "cuda: no CUDA-capable device is detected");
    setenv("VARGPT_EMULATED_DEVICES", "-1", 1);
    assert_int_equal(cuda_backend_open(&be, 0, 0, &err), STATUS_DEVICE);
    assert_string_equal(err.message, "cuda: there is no NVIDIA driver here (libcuda.so.1)");
    unsetenv("VARGPT_EMULATED_DEVICES");
}

/* Open, a weight of blocks, an operation with scratch memory, arguments from the host: true when all of it
 * worked. */
static bool use_card(void)
{
    enum { ROWS = 3, COLS = 32 };
    struct backend *be = NULL, *aside;
    struct error err = {0};
    struct weight *w = NULL;
    unsigned char blocks[ROWS * 34] = {0};
    struct host_matrix m = {blocks, DTYPE_Q8_0, ROWS, COLS, .stays = false};
    float x[ROWS * COLS] = {0}, t[ROWS] = {0};
    bool worked = false;
    if (cuda_backend_open(&be, 0, 0, &err))
        return false;
    float *device = be->op->alloc(be, sizeof x);
    if (!device || be->op->weight_load(be, &w, &m, &err) || be->op->aside(be, &aside, &err))
        goto out;
    struct tensor all = {device, DTYPE_F32, ROWS, COLS, COLS};
    be->op->upload(be, device, x, sizeof x);
    be->op->group_norm(be, all, all, 2, device, device, 1e-6f, ACT_NONE);
    be->op->guide(be, all, all, all, t);
    be->op->download(be, x, device, sizeof x);
    worked = be->op->finish(be, &err) == STATUS_OK;
    if (!worked) { /* told, a want of memory is over */
        assert_int_equal(err.status, STATUS_NO_MEMORY);
        be->op->upload(be, device, x, sizeof x);
        be->op->guide(be, all, all, all, t);
        assert_int_equal(be->op->finish(be, &err), STATUS_OK);
    }
out:
    be->op->weight_free(be, w);
    be->op->free(be, device);
    cuda_backend_close(be);
    return worked;
}

/* Each allocation fails in turn, the card's and ours; nothing leaks (AddressSanitizer's build) and the next
 * run works. */
static void survives_no_memory(void **state)
{
    (void)state;
    assert_true(use_card());
    int failures = fail_in_turn(use_card);
    assert_true(failures >= 5);
    assert_true(use_card());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_any_size),    cmocka_unit_test(many_small_downloads),
        cmocka_unit_test(refuses_large),      cmocka_unit_test(refuses_devices),
        cmocka_unit_test(survives_no_memory), cmocka_unit_test(blocks_beyond_f16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
