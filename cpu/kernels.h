/* The single-thread kernels of one instruction set. The same code compiled for other vector widths: sums run
 * in an order fixed by the lengths alone, so a kernel's result does not depend on what else is computed
 * beside it. Alignment is never required, only welcome. */
#ifndef VARGPT_CPU_KERNELS_H
#define VARGPT_CPU_KERNELS_H

#include "cpu/cpu_backend.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    MATMUL_BLOCK = 1024, /* inner length of one block of a product's sum */
    MATMUL_TILE = 6, /* weight rows that kernels take at a time; outputs are best split at its multiples */
    MATMUL_SCRATCH = 6 * (1024 + 16) * 4, /* bytes of thread-private memory matmul() needs */
};

/* out[r][o] = (add ? out[r][o] : 0) + x[r] . w[o] over `inner` columns. Blocks of MATMUL_BLOCK columns are
 * summed each in vector order and added to `out` one after the other, so a long product may be cut at any
 * multiple of MATMUL_BLOCK. */
struct matmul {
    float *out;
    const float *x;
    const void *w;               /* row o begins at (char *)w + o * w_pitch */
    size_t out_stride, x_stride; /* floats */
    size_t w_pitch;              /* bytes */
    enum dtype type;             /* F32, F16, BF16 */
    int rows, outputs, inner;
    bool add;
    void *scratch;
};

struct cpu_kernels {
    enum cpu_level level;
    int lanes;

    void (*matmul)(const struct matmul *);
    /* x[i] = act(x[i] + bias[i]); bias may be NULL */
    void (*bias_act)(float *x, int n, const float *bias, enum activation);
    /* x[i] = act(x[i] * scale[i] + bias[i]) */
    void (*scale_bias_act)(float *out, const float *x, int n, const float *scale, const float *bias,
                           enum activation);
    void (*to_f32)(float *out, const void *in, enum dtype, int n); /* F32, F16, BF16 */
    void (*to_bf16)(uint16_t *out, const float *x, int n);
    /* out[i] = x[i] / scale to the nearest integer; returns the scale, max |x| / 127 (0 below 1e-30) */
    float (*to_i8)(int8_t *out, const float *x, int n);
    void (*from_i8)(float *out, const int8_t *in, float scale, int n);

    void (*rms_norm)(float *out, const float *x, int n, const float *weight, float eps);
    void (*layer_norm)(float *out, const float *x, int n, const float *weight, const float *bias, float eps);
    /* sum[i] += x[r][i], square[i] += x[r][i]^2, rows in an order that their number alone fixes */
    void (*column_sums)(double *restrict sum, double *restrict square, const float *x, size_t stride,
                        int rows, int n);
    void (*head_norm)(float *x, int n, float scale);
    /* (x[d], x[d+half]) rotated by the angle of cosine c[d] and sine s[d] */
    void (*rope)(float *x, int half, const float *c, const float *s);
    void (*silu_mul)(float *out, const float *gate, const float *up, int n);
    void (*add)(float *x, const float *y, const float *scale, int n); /* scale may be NULL */
    void (*guide)(float *out, const float *cond, const float *uncond, float t, int n);
    /* the index of the row of table [rows, n] nearest to x */
    int (*nearest)(const float *x, const float *table, int rows, int n);

    /* Scores for up to four rows of queries against keys: score[r][j] = scale * q[r] . key[j]. With ahead > 0
     * there are keys + ahead pointers, and a row is asked for while the one `ahead` before it is used. */
    void (*scores)(float *score, size_t score_stride, const float *const *q, int rows,
                   const float *const *key, int keys, int ahead, int n, float scale);
    /* x[0..n-1] = exp(x - max x); returns the sum of the results */
    float (*softmax)(float *x, int n);
    /* out[r] (+)= sum over j of p[r][j] * value[j], keys in order, for up to four rows; ahead as above */
    void (*weigh)(float *const *out, const float *p, size_t p_stride, int rows, const float *const *value,
                  int keys, int ahead, int n, bool add);
    void (*multiply)(float *x, float by, int n);

    /* for measuring the machine: `rounds` rounds of multiply-adds, returns how many floating-point operations
     * that was */
    double (*burn)(long rounds);
    float (*read_sum)(const float *x, size_t n);
};

/* The best kernels at or below `level` on this processor. */
const struct cpu_kernels *cpu_kernels_get(enum cpu_level level);

/* One a file; NULL where the compiler's target has no such instructions. */
const struct cpu_kernels *cpu_kernels_scalar(void);
const struct cpu_kernels *cpu_kernels_avx2(void);
const struct cpu_kernels *cpu_kernels_avx512(void);

#endif
