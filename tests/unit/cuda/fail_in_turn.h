/* For tests of what happens without memory. */
#ifndef VARGPT_TESTS_UNIT_CUDA_FAIL_IN_TURN_H
#define VARGPT_TESTS_UNIT_CUDA_FAIL_IN_TURN_H

#include "base/memory.h"

#include <stdbool.h>

/* Each allocation of use() fails in turn, the cards' and ours, until one use has none left to fail. How many
 * did; use() says whether it worked. */
static int fail_in_turn(bool (*use)(void))
{
    int failures = 0;
    for (long n = 1; n < 100; n++) {
        memory_fail_after(n);
        bool worked = use();
        memory_fail_after(0);
        if (worked)
            break;
        failures++;
    }
    return failures;
}

#endif
