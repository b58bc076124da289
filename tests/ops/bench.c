#include "check.h"

#include "cli/bench_ops.h"
#include "cpu/cpu_backend.h"

#include <stdio.h>

/* The limits are measured in the same run: a share is only as good as that measurement. */
struct limits {
    double flops, bandwidth;
};

static void print_speed(void *context, const struct op_speed *s)
{
    const struct limits *limit = context;
    printf("%-52s %10.3f ms", s->name, s->seconds * 1e3);
    if (s->operations > 0)
        printf("  %8.1f GFLOP/s %3.0f %%", s->operations / s->seconds * 1e-9,
               100 * s->operations / s->seconds / limit->flops);
    if (s->bytes > 0)
        printf("  %7.1f GB/s %3.0f %%", s->bytes / s->seconds * 1e-9,
               100 * s->bytes / s->seconds / limit->bandwidth);
    printf("\n");
    fflush(stdout);
}

int bench_run(struct backend *be, const char *only)
{
    printf("level %s, %d threads\n", cpu_level_name(cpu_backend_level(be)), cpu_backend_threads(be));
    struct limits limit = {cpu_measure_flops(be), cpu_measure_bandwidth(be)};
    printf("limits: %.1f GFLOP/s, %.1f GB/s\n", limit.flops * 1e-9, limit.bandwidth * 1e-9);
    bench_ops(be, &(struct bench_ops_options){only, 0.7, print_speed, &limit});
    return 0;
}
