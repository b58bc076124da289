/* The emulated card sees what it should see. What ends a program happens in a child process. */
#include "expect_end.h"
#include "mistakes.h"

#include "cuda/emulator/emulator.h"

#include <math.h>
#include <string.h>

enum { N = 64 };

static cudaStream_t make_stream(void)
{
    cudaStream_t stream;
    assert_int_equal(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    return stream;
}

static float *take_device(size_t bytes)
{
    void *memory;
    assert_int_equal(cudaMalloc(&memory, bytes), cudaSuccess);
    return memory;
}

static void run_kernel(enum mistake mistake, enum emulator_order order, float out[N])
{
    cudaStream_t stream = make_stream();
    float *device = take_device(N * sizeof(float));
    emulator_set_order(order);
    start_mistake(stream, mistake, device);
    cudaMemcpyAsync(out, device, N * sizeof(float), cudaMemcpyDeviceToHost, stream);
    cudaStreamSynchronize(stream);
    cudaFree(device);
    cudaStreamDestroy(stream);
}

/* ---- what ends the program ---- */

static void do_kernel(int mistake)
{
    float out[N];
    run_kernel((enum mistake)mistake, EMULATOR_ASCENDING, out);
}

static void do_large_block(int unused)
{
    (void)unused;
    cudaStream_t stream = make_stream();
    start_large_block(stream, take_device(N * sizeof(float)));
    cudaStreamSynchronize(stream);
}

static void do_copy_over_end(int unused)
{
    (void)unused;
    char host[128] = {0};
    cudaMemcpyAsync(take_device(100), host, 101, cudaMemcpyHostToDevice, make_stream());
}

static void do_copy_wrong_kind(int unused)
{
    (void)unused;
    char host[128] = {0}, other[128];
    cudaMemcpyAsync(other, host, 10, cudaMemcpyHostToDevice, make_stream());
}

static void do_free_twice(int unused)
{
    (void)unused;
    float *memory = take_device(100);
    cudaFree(memory);
    cudaFree(memory);
}

static void do_free_inside(int unused)
{
    (void)unused;
    cudaFree(take_device(100) + 1);
}

static void do_copy_freed(int unused)
{
    (void)unused;
    char host[64] = {0};
    float *memory = take_device(100);
    cudaFree(memory);
    cudaMemcpyAsync(memory, host, 10, cudaMemcpyHostToDevice, make_stream());
}

static void do_default_stream(int unused)
{
    (void)unused;
    cudaMemsetAsync(take_device(100), 0, 100, NULL);
}

static void do_touch_guarded(int unused)
{
    (void)unused;
    emulator_guard_memory();
    *(volatile float *)take_device(100) = 1;
}

static void sees_barriers_not_reached(void **state)
{
    (void)state;
    assert_ends(do_kernel, SKIPS_BARRIER, "40 of 64 threads reached __syncthreads");
    assert_ends(do_kernel, SPLITS_BARRIERS, "while others wait at that of");
}

static void sees_lanes_missing(void **state)
{
    (void)state;
    assert_ends(do_kernel, LOSES_LANE, "missing: 5 (has left)");
    assert_ends(do_kernel, MIXES_EXCHANGES, "while lanes of its warp wait at");
    assert_ends(do_kernel, NAMES_HALF_A_WARP, "whole warps only");
}

static void sees_shared_memory(void **state)
{
    (void)state;
    assert_ends(do_kernel, OVERRUNS_SHARED, "behind the shared array values");
    assert_ends(do_kernel, TAKES_MUCH_SHARED, "bytes of shared memory");
}

static void sees_launches(void **state)
{
    (void)state;
    assert_ends(do_large_block, 0, "blocks of 2048");
}

static void sees_memory(void **state)
{
    (void)state;
    assert_ends(do_copy_over_end, 0, "runs over the end");
    assert_ends(do_copy_wrong_kind, 0, "not of that kind");
    assert_ends(do_free_twice, 0, "not the beginning of device memory");
    assert_ends(do_free_inside, 0, "not the beginning of device memory");
    assert_ends(do_copy_freed, 0, "not of that kind");
    assert_ends(do_default_stream, 0, "is not a stream");
    assert_ends(do_touch_guarded, 0, "");
}

/* ---- what shows in the result ---- */

static void shows_races(void **state)
{
    (void)state;
    float up[N], down[N], shuffled[N];
    run_kernel(RACES, EMULATOR_ASCENDING, up);
    run_kernel(RACES, EMULATOR_DESCENDING, down);
    run_kernel(RACES, EMULATOR_SHUFFLED, shuffled);
    assert_true(memcmp(up, down, sizeof up) != 0);
    assert_true(memcmp(up, shuffled, sizeof up) != 0);
}

static void shows_uninitialised(void **state)
{
    (void)state;
    float out[N];
    run_kernel(READS_UNINITIALISED, EMULATOR_ASCENDING, out);
    for (int i = 0; i < N; i++)
        assert_true(i % 2 ? out[i] == 1 : isnan(out[i]));
}

static void computes(void **state)
{
    (void)state;
    for (int order = EMULATOR_ASCENDING; order <= EMULATOR_SHUFFLED; order++) {
        float out[N];
        unsigned long before = emulator_launches();
        run_kernel(BEHAVES, (enum emulator_order)order, out);
        assert_int_equal(emulator_launches(), before + 1);
        for (int i = 0; i < N; i++)
            assert_true(out[i] == 2016);
    }
}

/* Work waits for somebody to wait for it: a missing wait is seen. */
static void runs_late(void **state)
{
    (void)state;
    cudaStream_t stream = make_stream();
    float *device = take_device(N * sizeof(float));
    void *pinned;
    assert_int_equal(cudaHostAlloc(&pinned, N * sizeof(float), cudaHostAllocDefault), cudaSuccess);
    memset(pinned, 0, N * sizeof(float));
    emulator_set_order(EMULATOR_ASCENDING);
    start_mistake(stream, BEHAVES, device);
    cudaMemcpyAsync(pinned, device, N * sizeof(float), cudaMemcpyDeviceToHost, stream);
    assert_true(*(float *)pinned == 0);
    cudaStreamSynchronize(stream);
    assert_true(*(float *)pinned == 2016);
    cudaFree(device);
    cudaFreeHost(pinned);
    cudaStreamDestroy(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sees_barriers_not_reached),
        cmocka_unit_test(sees_lanes_missing),
        cmocka_unit_test(sees_shared_memory),
        cmocka_unit_test(sees_launches),
        cmocka_unit_test(sees_memory),
        cmocka_unit_test(shows_races),
        cmocka_unit_test(shows_uninitialised),
        cmocka_unit_test(computes),
        cmocka_unit_test(runs_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
