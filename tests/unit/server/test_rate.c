/* Allowances a minute. */
#include "server/rate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const int64_t second = 1000000000;

static void test_a_minute_at_once_then_steadily(void **state)
{
    struct rate r;
    (void)state;
    rate_init(&r, 60, 0);
    for (int i = 0; i < 60; i++) {
        assert_true(rate_wait(&r, 1, 0) <= 0);
        rate_spend(&r, 1, 0);
    }
    assert_true(fabs(rate_wait(&r, 1, 0) - 1) < 1e-9);
    assert_true(rate_wait(&r, 1, second / 2) > 0.49);
    assert_true(rate_wait(&r, 1, second + 1) <= 0);
    assert_true(fabs(rate_reset(&r, second + 1) - 59) < 1e-3);
    assert_true(rate_left(&r, 3600 * second) == 60);
}

static void test_debts_are_paid_first(void **state)
{
    struct rate r;
    (void)state;
    rate_init(&r, 600, 0);
    rate_spend(&r, 1600, 0);
    assert_true(rate_left(&r, 0) == 0);
    assert_true(fabs(rate_wait(&r, 1, 0) - 100.1) < 1e-6);
    assert_true(rate_wait(&r, 1, 101 * second) <= 0);
}

static void test_no_limit(void **state)
{
    struct rate r;
    (void)state;
    rate_init(&r, 0, 5);
    rate_spend(&r, 1e12, 6);
    assert_true(rate_wait(&r, 1, 7) <= 0);
    rate_change(&r, 10, 8);
    assert_true(rate_left(&r, 8) == 10);
}

static void test_another_limit(void **state)
{
    struct rate r;
    (void)state;
    rate_init(&r, 10, 0);
    rate_spend(&r, 8, 0);
    rate_change(&r, 5, 0);
    assert_true(rate_wait(&r, 1, 0) > 0);
    rate_change(&r, 20, 0);
    assert_true(rate_left(&r, 0) == 12);
    assert_true(rate_wait(&r, 1, -second) <= 0); /* time that goes back changes nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_minute_at_once_then_steadily),
        cmocka_unit_test(test_debts_are_paid_first),
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_another_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
