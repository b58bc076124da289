/* Weights that become blocks while loading. */
#include "engine/model/quantize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void check_block(const float in[BLOCK_WEIGHTS], enum dtype type)
{
    unsigned char block[34];
    float out[BLOCK_WEIGHTS], most = 0;
    assert_true(block_encode(block, in, type));
    block_decode(out, block, type);
    for (int i = 0; i < BLOCK_WEIGHTS; i++)
        most = fmaxf(most, fabsf(in[i]));
    float step = most / (type == DTYPE_Q8_0 ? 127 : 8), allowed = (type == DTYPE_Q8_0 ? 0.5f : 1.0f) * step;
    for (int i = 0; i < BLOCK_WEIGHTS; i++)
        assert_true(fabsf(out[i] - in[i]) <= allowed + most * 0x1p-10f + 0x1p-16f);
}

static void test_random(void **state)
{
    (void)state;
    srand(1);
    for (int turn = 0; turn < 1000; turn++) {
        float in[BLOCK_WEIGHTS], size = powf(10, (float)(turn % 10 - 5));
        for (int i = 0; i < BLOCK_WEIGHTS; i++)
            in[i] = size * (float)(rand() % 20001 - 10000) / 10000 * (rand() % 20 ? 1 : 10);
        check_block(in, DTYPE_Q8_0);
        check_block(in, DTYPE_Q4_0);
    }
}

static void test_extremes(void **state)
{
    (void)state;
    unsigned char block[34];
    float none[BLOCK_WEIGHTS] = {0}, tiny[BLOCK_WEIGHTS] = {1e-30f, -1e-30f}, large[BLOCK_WEIGHTS] = {0},
          wrong[BLOCK_WEIGHTS] = {0};
    check_block(none, DTYPE_Q8_0);
    check_block(none, DTYPE_Q4_0);
    check_block(tiny, DTYPE_Q8_0);
    check_block(tiny, DTYPE_Q4_0);
    large[7] = 1e9f;
    assert_false(block_encode(block, large, DTYPE_Q8_0));
    assert_false(block_encode(block, large, DTYPE_Q4_0));
    wrong[31] = NAN;
    assert_false(block_encode(block, wrong, DTYPE_Q8_0));
    wrong[31] = -INFINITY;
    assert_false(block_encode(block, wrong, DTYPE_Q4_0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
