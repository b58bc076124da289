/* How fast a backend's operations are at the shapes of real models; for `vargpt bench` and `check_ops
 * --bench`. */
#ifndef VARGPT_CLI_BENCH_OPS_H
#define VARGPT_CLI_BENCH_OPS_H

#include "engine/backend.h"

struct op_speed {
    const char *name; /* operation, types and shape */
    double seconds;   /* of one call, the best of several */
    double operations,
        bytes; /* of one call: floating-point operations, memory that must be moved; 0 = not told */
    double flops, bandwidth; /* what the machine could do in those moments; 0 where the above is */
};

struct bench_ops_options {
    const char
        *only; /* one kind: linear, conv2d, group_norm, attention, rows, noise, sample, nearest; NULL = all */
    double seconds_each; /* how long an operation is repeated */
    void (*on_speed)(void *context, const struct op_speed *);
    void *context;
};

/* Exits where there is no memory for the operands (about 700 MB). */
void bench_ops(struct backend *, const struct bench_ops_options *);

#endif
