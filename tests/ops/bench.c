#include "check.h"

#include "cli/bench_ops.h"
#include "cpu/cpu_backend.h"

#include <stdio.h>

static void print_speed(void *context, const struct op_speed *s)
{
    (void)context;
    printf("%-52s %10.3f ms", s->name, s->seconds * 1e3);
    if (s->operations > 0)
        printf("  %8.1f GFLOP/s %3.0f %%", s->operations / s->seconds * 1e-9,
               100 * s->operations / s->seconds / s->flops);
    if (s->bytes > 0)
        printf("  %7.1f GB/s %3.0f %%", s->bytes / s->seconds * 1e-9,
               100 * s->bytes / s->seconds / s->bandwidth);
    printf("\n");
    fflush(stdout);
}

int bench_run(struct backend *be, const char *only)
{
    printf("level %s, %d threads\n", cpu_level_name(cpu_backend_level(be)), cpu_backend_threads(be));
    printf("limits: %.1f GFLOP/s, %.1f GB/s\n", cpu_measure_flops(be, 0.4) * 1e-9,
           cpu_measure_bandwidth(be, 0.4) * 1e-9);
    bench_ops(be, &(struct bench_ops_options){only, 0.7, print_speed, NULL});
    return 0;
}
