#include "server/draw_read.h"

#include "base/clock.h"

#include <sys/random.h>

bool seed_read(const struct params *f, uint64_t *seed)
{
    int64_t n = 0;
    bool given = param_find(f, "seed") != NULL;
    param_integer(f, "seed", INT64_MIN, INT64_MAX, &n);
    if (given)
        *seed = (uint64_t)n;
    return given;
}

uint64_t seed_choose(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (uint64_t)clock_ns() * 0x9E3779B97F4A7C15u;
    return seed >> 11;
}

void draw_read(const struct params *f, struct draw_options *draw, struct picture_output *output)
{
    param_number(f, "guidance_scale", 0, 20, &draw->guidance);
    param_number(f, "temperature", 0, 10, &draw->filter.temperature);
    param_int(f, "top_k", 0, INT32_MAX, &draw->filter.top_k);
    param_positive(f, "top_p", 1, &draw->filter.top_p);
    seed_read(f, &draw->seed);
    picture_output_read(f, output);
}
