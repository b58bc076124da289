/* Monotonic time, and wall-clock seconds for `created` fields. */
#ifndef VARGPT_BASE_CLOCK_H
#define VARGPT_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds since some fixed point in the past; never goes backwards. */
static inline int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The same in seconds. */
static inline double clock_seconds(void)
{
    return (double)clock_ns() * 1e-9;
}

/* Seconds since 1970. */
static inline int64_t clock_unix(void)
{
    return (int64_t)time(NULL);
}

#endif
