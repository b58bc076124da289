/* Every operation once more, in double, by the most obvious loop. Results are dense. `bound` is how far a
 * float32 implementation may be off: a few roundings of the magnitudes that went into a value. */
#ifndef VARGPT_TESTS_OPS_REFERENCE_H
#define VARGPT_TESTS_OPS_REFERENCE_H

#include "engine/backend.h"

/* rounding: how far, relatively, an implementation may round the operands of its products (0: not at all). */
void reference_values(double *out, const void *data, enum dtype, size_t n);
double reference_activation(double x, enum activation);

/* w: [O, K] */
void reference_linear(double *out, double *bound, struct tensor x, const double *w, int outputs,
                      const float *bias, enum activation, double weight_error);
void reference_rms_norm(double *out, double *bound, struct tensor x, const float *weight, double eps);
void reference_layer_norm(double *out, double *bound, struct tensor x, const float *weight, const float *bias,
                          double eps);
void reference_head_norm(double *out, double *bound, struct tensor x, int head_dim, const float *scale);
void reference_rope(double *out, double *bound, struct tensor x, int head_dim, const int32_t *position,
                    const float *inv_freq);
void reference_silu_mul(double *out, double *bound, struct tensor gate, struct tensor up);
/* A slot's head, [head_dim] floats, as a cache of its type holds it: to its place in memory and scale[at], at
 * being slot * heads + head. Plain rounding in double. */
void reference_cache_put(struct kv_layer, void *memory, float *scale, size_t at, const float *x);
/* And read again, exactly. */
void reference_cache_get(double *out, struct kv_layer, const void *memory, const float *scale, size_t at);
void reference_attention(double *out, double *bound, struct tensor q, struct kv_layer,
                         const struct row_batch *, enum mask, double scale, double rounding);
void reference_conv(double *out, double *bound, struct tensor x, const struct conv *, const double *w,
                    int outputs, const float *bias, double rounding);
void reference_group_norm(double *out, double *bound, struct tensor x, int groups, const float *weight,
                          const float *bias, double eps, enum activation);
void reference_resize(double *out, double *bound, struct tensor x, int from, int to, enum resize);
int32_t reference_choice(const float *logits, int n, const struct choice_filter *, double u);

#endif
