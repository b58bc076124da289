/* What the cases of check_ops share: random inputs, guarded matrices, comparison. A case makes its input from
 * the seed, runs an operation on backends that differ in threads, and demands: the reference's values within
 * a bound, untouched guards, equal bytes for every thread count and (unless rows_vary) for every row alone.
 */
#ifndef VARGPT_TESTS_OPS_CHECK_H
#define VARGPT_TESTS_OPS_CHECK_H

#include "engine/backend.h"

#include <stdbool.h>

enum { CHECK_BACKENDS = 3 };

struct check {
    struct backend *backend[CHECK_BACKENDS]; /* 1, 2 and 3 threads */
    struct backend *plain;                   /* the processor's plainest, for what is defined to the bit */
    const char *level;                       /* what runs, for messages */
    const char *only;                        /* operation asked for, or NULL */
    uint64_t random;                         /* state of random_next */
    bool fast;                               /* products round x to the weight's 16 bits */
    bool rows_vary;                          /* a row alone need not have the same bits, but as good ones */
    bool rounds_blocks;                      /* products round blocks' weights to F16 */
    int cases, failures;
    char name[120]; /* of the case that runs */
    double worst;   /* largest error so far of this operation, as a fraction of its bound */
};

/* Starts a case; later failures carry its name. */
void check_begin(struct check *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_fail(struct check *, const char *format, ...) __attribute__((format(printf, 2, 3)));

uint32_t random_next(struct check *);
int random_int(struct check *, int low, int high); /* both inclusive */
double random_real(struct check *, double low, double high);
void random_floats(struct check *, float *,
                   size_t n); /* around 0, spread 1, one in a hundred 20 times as large */

/* A float32 matrix whose rows lie `stride` apart in memory of exactly that size; whatever is between and
 * around its rows holds a pattern that is a NaN, so that reading it shows and writing it is found out. */
struct matrix {
    struct tensor t;
    float *memory;
    size_t floats;
};

struct matrix matrix_new(int rows, int cols, int stride); /* filled with the pattern altogether */
struct matrix matrix_random(struct check *, int rows, int cols, int stride);
struct matrix matrix_like(struct matrix); /* same shape and stride, all pattern */
void matrix_release(struct matrix *);
bool matrix_guards_whole(struct matrix);
void matrix_copy(struct matrix to, struct matrix from, int first,
                 int n); /* rows first..: to row 0.. of `to` */

/* got against want[rows * cols] within bound[...] (absolute); NaN fails. */
void check_close(struct check *, struct matrix got, const double *want, const double *bound);
void check_same_rows(struct check *, const char *what, struct matrix a, int a_row, struct matrix b, int b_row,
                     int n);

/* Runs rows first..first+n-1 of a case on a backend into rows 0..n-1 of out. */
typedef void case_run(struct backend *, void *context, int first, int n, struct tensor out);

/* The whole protocol for an operation whose rows are independent. out: shape and stride of the result. */
void check_rows(struct check *, struct matrix out, const double *want, const double *bound, case_run *,
                void *context);

/* A weight of random values: the backend's input in any type, and the exact values. */
struct random_weight {
    void *data;
    struct host_matrix host;
    double *value; /* [rows * cols] */
};
struct random_weight weight_random(struct check *, enum dtype, int rows, int cols);
void weight_release(struct random_weight *);
struct weight *weight_open(struct check *, struct backend *, const struct random_weight *);

/* How much of its magnitude a product with such a weight may be off because of what is rounded before it:
 * weights of blocks where they become F16, and x where that is fast. */
double product_rounding(const struct check *, enum dtype);
/* The same of a convolution: its result too may be rounded to 16 bits. */
double conv_rounding(const struct check *, enum dtype);

double *doubles_new(size_t n);

/* The cases, one function an operation (cases_*.c). */
void case_embed(struct check *);
void case_gather(struct check *);
void case_scatter(struct check *);
void case_linear(struct check *);
void case_rms_norm(struct check *);
void case_layer_norm(struct check *);
void case_silu_mul(struct check *);
void case_add(struct check *);
void case_kv_write(struct check *);
void case_rope_write(struct check *);
void case_norm_write(struct check *);
void case_attention(struct check *);
void case_conv2d(struct check *);
void case_group_norm(struct check *);
void case_resize(struct check *);
void case_guide(struct check *);
void case_noise(struct check *);
void case_edit_logits(struct check *);
void case_sample(struct check *);
void case_nearest(struct check *);
void case_memory(struct check *);

/* bench.c: speeds of one backend, as figures and as shares of the machine's limits. */
int bench_run(struct backend *, const char *only);

#endif
