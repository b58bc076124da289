/* What the C side of the CUDA backend may start: one function a kernel (or a few that make one operation).
 * All pointers are device memory, matrices are float32, `stride` counts values; a launch with nothing to do
 * is the caller's to avoid. They return nothing: a launch that was refused shows in cudaGetLastError. */
#ifndef VARGPT_CUDA_KERNELS_LAUNCH_H
#define VARGPT_CUDA_KERNELS_LAUNCH_H

#include "engine/backend.h"

#include <cuda_runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A matrix of activations. */
struct matrix_view {
    float *data;
    int rows, cols, stride;
};

/* A weight: rows first, dense; or blocks taken apart, rows filled up with zeros to groups of WEIGHT_GROUP
 * columns. Q8_0: scale F16 [rows][blocks of a row]; a group's numbers are 128 int8, column k at place k / 64
 * * 64 + k % 32 / 8 * 16 + k % 64 / 32 * 8 + k % 8 Q4_0: scale the same; a group's numbers are 64 bytes. The
 * eight columns from k on (k % 8 = 0) are the four at k % 32 / 8 * 16 + k / 32 * 4, read as a word: its bits
 * 4i..4i+3 are column k + 2i, and 16 + 4i.. column k + 2i + 1 Q4_1: likewise, scale being pairs of a scale
 * and what is to be added */
enum { WEIGHT_GROUP = 128 };
struct weight_view {
    const void *data;
    enum dtype type; /* F32, F16, BF16; Q8_0, Q4_0, Q4_1 */
    int rows, cols;
    const void *scale; /* of blocks */
};

/* ---- rows.cu ---- */
void launch_embed(cudaStream_t, struct matrix_view out, struct weight_view table, const int32_t *index);
void launch_gather(cudaStream_t, struct matrix_view out, struct matrix_view x, const int32_t *index);
void launch_scatter(cudaStream_t, struct matrix_view out, const int32_t *index, struct matrix_view x);
void launch_silu_mul(cudaStream_t, struct matrix_view out, struct matrix_view gate, struct matrix_view up);
void launch_add(cudaStream_t, struct matrix_view x, struct matrix_view y, const float *scale);
void launch_guide(cudaStream_t, struct matrix_view out, struct matrix_view cond, struct matrix_view uncond,
                  const float *t);

/* ---- kv_write.cu ---- */
void launch_kv_write(cudaStream_t, struct kv_layer, struct matrix_view k, struct matrix_view v,
                     const int32_t *slot);
void launch_rope_write(cudaStream_t, struct kv_layer, struct matrix_view q, struct matrix_view k,
                       struct matrix_view v, const int32_t *slot, const int32_t *position,
                       const float *inv_freq);
void launch_norm_write(cudaStream_t, struct kv_layer, struct matrix_view q, struct matrix_view k,
                       struct matrix_view v, const int32_t *slot, const float *query_scale);

/* ---- norms.cu ---- */
/* y, scale: the residual; y without columns: there is none */
void launch_rms_norm(cudaStream_t, struct matrix_view out, struct matrix_view x, struct matrix_view y,
                     const float *scale, const float *weight, float eps);
void launch_layer_norm(cudaStream_t, struct matrix_view out, struct matrix_view x, struct matrix_view y,
                       const float *scale, const float *weight, const float *bias, float eps);
/* scratch: group_norm_scratch bytes */
size_t group_norm_scratch(int rows, int cols);
void launch_group_norm(cudaStream_t, struct matrix_view out, struct matrix_view x, int groups,
                       const float *weight, const float *bias, float eps, int activation, void *scratch);

/* ---- product.cu ---- */
/* The rows of a product: a matrix, or the neighbourhoods of a picture's pixels. */
struct picture_shape {
    int height, width, channels, stride; /* of the input; stride: values between its pixels */
    int kernel, step, upsample, before;  /* step: of the convolution; before: rows and columns of padding */
    int out_width;
};
void launch_linear(cudaStream_t, struct matrix_view out, struct matrix_view x, struct weight_view,
                   const float *bias, int activation);
void launch_conv(cudaStream_t, struct matrix_view out, const float *picture, struct picture_shape,
                 struct weight_view, const float *bias);

/* ---- product_fast.cu: the same with x rounded to the weight's 16 bits, on tensor cores ---- */
/* Whether it takes such a weight; says nothing about rows, so that they cannot decide which kernel computes
 * them. */
bool product_is_fast(struct weight_view);
void launch_linear_fast(cudaStream_t, struct matrix_view out, struct matrix_view x, struct weight_view,
                        const float *bias, int activation);
void launch_conv_fast(cudaStream_t, struct matrix_view out, const float *picture, struct picture_shape,
                      struct weight_view, const float *bias);

/* ---- around.cu: what stands around a library's product ---- */
/* x rounded to BF16 or F16 (beyond F16's range: to its largest numbers); cols a multiple of 8; to: dense,
 * 16-byte aligned */
void launch_round_rows(cudaStream_t, uint16_t *to, enum dtype, struct matrix_view x);
/* The same of a picture's pixels, `rows` of them in lines of shape.out_width, doubled and with zeros around
 * as the shape says, which has a kernel of 1 and a step of 1. */
void launch_round_picture(cudaStream_t, uint16_t *to, enum dtype, const float *picture, struct picture_shape,
                          int rows);
/* out = from (BF16 or F16, dense, 16-byte aligned) * scale + bias (may be NULL); cols a multiple of 4 */
void launch_widen_rows(cudaStream_t, struct matrix_view out, const uint16_t *from, enum dtype, float scale,
                       const float *bias);
/* in place */
void launch_activate(cudaStream_t, struct matrix_view x, int activation);

/* ---- attention.cu ---- */
/* Spans of one row are split over their context; the blocks of the others walk it. Both add up in the same
 * order. */
struct attention_shape {
    const struct span *span; /* [n_spans] */
    int n_spans;
    const int32_t *page;
    const void *key, *value; /* [slots][kv_heads][head_dim] */
    const float *key_scale, *value_scale;
    enum dtype type; /* F32, BF16, I8: struct kv_layer */
    int kv_heads, head_dim, group, full;
    float scale;
    int single_rows, single_splits; /* spans of one row, and splits of the longest of their contexts */
    int query_blocks;               /* of the other spans, attention_blocks() each */
    float *partial;                 /* attention_scratch() bytes */
};
int attention_blocks(int rows, int group); /* of a span of so many rows */
int attention_blocks_fast(int rows, int group);
int attention_splits(int keys);
size_t attention_scratch(const struct attention_shape *); /* 0: needs none */
void launch_attention(cudaStream_t, struct matrix_view out, struct matrix_view q, struct attention_shape);

/* ---- attention_fast.cu: the same with all operands rounded to BF16, on tensor cores ---- */
bool attention_is_fast(const struct attention_shape *);
void launch_attention_fast(cudaStream_t, struct matrix_view out, struct matrix_view q,
                           struct attention_shape);
/* attention.cu's second half for spans of one row, which both use */
void launch_attention_merge(cudaStream_t, struct matrix_view out, struct attention_shape);

/* ---- picture.cu ---- */
void launch_resize(cudaStream_t, struct matrix_view out, struct matrix_view x, int from, int to, int area);

/* ---- choose.cu ---- */
void launch_noise(cudaStream_t, struct matrix_view out, const struct noise_row *);
void launch_edit_logits(cudaStream_t, struct matrix_view logits, const struct logit_edit *, int n);
void launch_sample(cudaStream_t, int32_t *out, struct matrix_view logits, const struct choice_row *);
void launch_nearest(cudaStream_t, int32_t *out, struct matrix_view x, struct weight_view table);

#ifdef __cplusplus
}
#endif

#endif
