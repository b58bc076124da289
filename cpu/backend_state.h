/* What the files of the CPU backend share. All state belongs to the thread that calls the backend's
 * operations; within an operation each worker has its own scratch. */
#ifndef VARGPT_CPU_BACKEND_STATE_H
#define VARGPT_CPU_BACKEND_STATE_H

#include "cpu/kernels.h"
#include "cpu/thread_pool.h"

struct cpu_backend {
    struct backend base;
    const struct cpu_kernels *k;
    struct thread_pool *pool;
    int threads;
    int panel_rows; /* rows of x that a product takes at a time: their block stays in second-level cache */
    void **scratch; /* [threads] */
    size_t scratch_bytes;
    struct error failure; /* the first one; sticks */
};

struct weight {
    const void *data; /* rows first, dense */
    enum dtype type;  /* F32, F16, BF16 */
    int rows, cols;
    void *owned; /* NULL when data is the caller's */
};

static inline struct cpu_backend *cpu_state(struct backend *be)
{
    return (struct cpu_backend *)be;
}

/* False, with the failure noted, unless every thread has `bytes` of scratch and nothing has failed before. */
bool cpu_scratch_reserve(struct cpu_backend *, size_t bytes);

/* Runs `n` items as tasks of a length that suits their cost (rough nanoseconds an item), on the calling
 * thread alone where waking others costs more than it saves. Results must not depend on the cut. */
typedef void range_task(struct cpu_backend *, void *context, int first, int n, int thread);
void cpu_for_ranges(struct cpu_backend *, int n, double cost, range_task *, void *context);

/* Tasks of one item each; small = true runs them here. */
void cpu_for_tasks(struct cpu_backend *, int n, bool small, pool_task *, void *context);

/* weight.c */
enum status cpu_weight_load(struct backend *, struct weight **, const struct host_matrix *, struct error *);
void cpu_weight_free(struct backend *, struct weight *);
static inline const void *weight_row(const struct weight *w, int row)
{
    return (const char *)w->data + (size_t)row * dtype_bytes(w->type, (size_t)w->cols);
}

/* linear.c */
void cpu_linear(struct backend *, struct tensor out, struct tensor x, const struct weight *,
                const float *bias, enum activation);
/* rows.c */
void cpu_embed(struct backend *, struct tensor out, const struct weight *table, const int32_t *index);
void cpu_gather(struct backend *, struct tensor out, struct tensor x, const int32_t *index);
void cpu_scatter(struct backend *, struct tensor out, const int32_t *index, struct tensor x);
void cpu_rms_norm(struct backend *, struct tensor out, struct tensor x, struct residual, const float *weight,
                  float eps);
void cpu_layer_norm(struct backend *, struct tensor out, struct tensor x, struct residual,
                    const float *weight, const float *bias, float eps);
void cpu_silu_mul(struct backend *, struct tensor out, struct tensor gate, struct tensor up);
void cpu_add(struct backend *, struct tensor x, struct tensor y, const float *scale);
void cpu_guide(struct backend *, struct tensor out, struct tensor cond, struct tensor uncond, const float *t);
/* kv_write.c */
void cpu_kv_write(struct backend *, struct kv_layer, struct tensor k, struct tensor v, const int32_t *slot);
void cpu_rope_write(struct backend *, struct kv_layer, struct tensor q, struct tensor k, struct tensor v,
                    const int32_t *slot, const int32_t *position, const float *inv_freq);
void cpu_norm_write(struct backend *, struct kv_layer, struct tensor q, struct tensor k, struct tensor v,
                    const int32_t *slot, const float *query_scale);
/* attention.c */
void cpu_attention(struct backend *, struct tensor out, struct tensor q, struct kv_layer,
                   const struct row_batch *, enum mask, float scale);
/* conv.c */
void cpu_conv2d(struct backend *, struct tensor out, struct tensor x, const struct conv *,
                const struct weight *, const float *bias);
/* picture.c */
void cpu_group_norm(struct backend *, struct tensor out, struct tensor x, int groups, const float *weight,
                    const float *bias, float eps, enum activation);
void cpu_resize(struct backend *, struct tensor out, struct tensor x, int from, int to, enum resize);
/* choose.c */
void cpu_noise(struct backend *, struct tensor out, const struct noise_row *);
void cpu_edit_logits(struct backend *, struct tensor logits, const struct logit_edit *, int n);
void cpu_sample(struct backend *, int32_t *out, struct tensor logits, const struct choice_row *);
void cpu_nearest(struct backend *, int32_t *out, struct tensor x, const struct weight *table);

#endif
