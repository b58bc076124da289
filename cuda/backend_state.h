/* What the files of the CUDA backend share. All state belongs to the thread that calls the backend's
 * operations. */
#ifndef VARGPT_CUDA_BACKEND_STATE_H
#define VARGPT_CUDA_BACKEND_STATE_H

#include "cuda/arena.h"
#include "cuda/kernels/launch.h"
#include "engine/backend.h"

/* Pinned host memory with a device twin of the same size: what goes down is copied from one to the other at
 * the same place, what comes up lies in the host's half until finish() hands it on. Filled from the front and
 * emptied by finish(). */
struct staging {
    char *host, *device;
    size_t bytes, used;
};

/* A download that finish() must still hand on. */
struct handover {
    void *to;
    const void *from; /* staging */
    size_t bytes;
};

enum { MOST_HANDOVERS = 64 };

struct cuda_backend {
    struct backend base;
    int device;
    bool fast;               /* cuda_backend_set_fast */
    struct blas_lt *blas_lt; /* cuda_backend_use_libraries; NULL: not used */
    struct cudnn *cudnn;
    struct cuda_backend *aside; /* the second line, once it was asked for */
    struct card_arena *arena;   /* the card's: both lines' */
    cudaStream_t stream;
    cudaEvent_t place;     /* in the stream, for cuda_after */
    struct graphs *graphs; /* graphs.c; NULL: passes are not recorded */
    struct staging staging;
    struct handover handover[MOST_HANDOVERS];
    int n_handovers;
    void *scratch; /* device memory of one operation */
    size_t scratch_bytes;
    struct error failure; /* the first one; sticks */
    char name[320];
};

struct weight {
    void *data; /* device memory, as struct weight_view has it */
    enum dtype type;
    int rows, cols;
    const void *scale; /* of blocks; part of data */
};

static inline struct cuda_backend *cuda_state(struct backend *be)
{
    return (struct cuda_backend *)be;
}

/* False after a failure; otherwise the calling thread's device is this backend's from here on. */
bool cuda_ready(struct cuda_backend *);
/* Notes a failed call as the backend's failure, unless one came before. True when it did not fail. */
bool cuda_check(struct cuda_backend *, cudaError_t, const char *what);
/* After launches: notes a refused one. */
void cuda_check_launch(struct cuda_backend *, const char *operation);
/* Waits for the device and hands downloads on; false on failure. */
bool cuda_wait(struct cuda_backend *);
/* Device memory for one operation, valid until the next call of this; NULL, with the failure noted, when
 * there is none. Takes a larger piece where cuda_reserve did not foresee so much. */
void *cuda_scratch(struct cuda_backend *, size_t bytes);
/* Device copy of small host memory, valid for operations up to the next finish(); NULL on failure. */
const void *cuda_stage(struct cuda_backend *, const void *from_host, size_t bytes);

/* memory.c */
bool cuda_memory_open(struct cuda_backend *); /* false, with the failure noted: nothing is lost, close it */
void cuda_memory_close(struct cuda_backend *);
void *cuda_alloc(struct backend *, size_t bytes);
void cuda_free(struct backend *, void *memory);
size_t cuda_memory_left(struct backend *);
enum status cuda_reserve(struct backend *, const struct work_limits *, struct error *);
void cuda_upload(struct backend *, void *to, const void *from_host, size_t bytes);
void cuda_download(struct backend *, void *to_host, const void *from, size_t bytes);
enum status cuda_finish(struct backend *, struct error *);
bool cuda_pending(struct backend *);

/* graphs.c */
void cuda_graphs_open(struct cuda_backend *);
void cuda_graphs_close(struct cuda_backend *);
/* Memory that graphs use is going, and they with it; none may be running. */
void cuda_graphs_forget(struct cuda_backend *);
bool cuda_is_recording(const struct cuda_backend *);
enum replay cuda_replay(struct backend *, const struct pass_shape *);
void cuda_replay_end(struct backend *);

/* weight.c */
enum status cuda_weight_load(struct backend *, struct weight **, const struct host_matrix *, struct error *);
void cuda_weight_free(struct backend *, struct weight *);

/* rows.c */
void cuda_embed(struct backend *, struct tensor out, const struct weight *table, const int32_t *index);
void cuda_gather(struct backend *, struct tensor out, struct tensor x, const int32_t *index);
void cuda_scatter(struct backend *, struct tensor out, const int32_t *index, struct tensor x);
void cuda_linear(struct backend *, struct tensor out, struct tensor x, const struct weight *,
                 const float *bias, enum activation);
void cuda_rms_norm(struct backend *, struct tensor out, struct tensor x, struct residual, const float *weight,
                   float eps);
void cuda_layer_norm(struct backend *, struct tensor out, struct tensor x, struct residual,
                     const float *weight, const float *bias, float eps);
void cuda_silu_mul(struct backend *, struct tensor out, struct tensor gate, struct tensor up);
void cuda_add(struct backend *, struct tensor x, struct tensor y, const float *scale);
void cuda_kv_write(struct backend *, struct kv_layer, struct tensor k, struct tensor v, const int32_t *slot);
void cuda_rope_write(struct backend *, struct kv_layer, struct tensor q, struct tensor k, struct tensor v,
                     const int32_t *slot, const int32_t *position, const float *inv_freq);
void cuda_norm_write(struct backend *, struct kv_layer, struct tensor q, struct tensor k, struct tensor v,
                     const int32_t *slot, const float *query_scale);
/* For how many splits attention to so many keys is launched: the next power of two, so that a graph lasts a
 * while. */
int cuda_splits(int keys);
void cuda_attention(struct backend *, struct tensor out, struct tensor q, struct kv_layer,
                    const struct row_batch *, enum mask, float scale);

/* picture.c */
void cuda_conv2d(struct backend *, struct tensor out, struct tensor x, const struct conv *,
                 const struct weight *, const float *bias);
void cuda_group_norm(struct backend *, struct tensor out, struct tensor x, int groups, const float *weight,
                     const float *bias, float eps, enum activation);
void cuda_resize(struct backend *, struct tensor out, struct tensor x, int from, int to, enum resize);
void cuda_guide(struct backend *, struct tensor out, struct tensor cond, struct tensor uncond,
                const float *t);
void cuda_noise(struct backend *, struct tensor out, const struct noise_row *);
void cuda_edit_logits(struct backend *, struct tensor logits, const struct logit_edit *, int n);
void cuda_sample(struct backend *, int32_t *out, struct tensor logits, const struct choice_row *);
void cuda_nearest(struct backend *, int32_t *out, struct tensor x, const struct weight *table);

/* blas_lt.c: cuBLASLt. */
struct blas_lt;
/* Failure: STATUS_DEVICE, nothing is left open. */
enum status blas_lt_open(struct blas_lt **, struct error *);
void blas_lt_close(struct blas_lt *); /* accepts NULL; after the stream's work is done */
/* cuda_linear by it, bias and activation included; false when it is not used, or not for such a product:
 * nothing was done then. A failure is noted. */
bool blas_lt_linear(struct cuda_backend *, struct tensor out, struct tensor x, const struct weight *,
                    const float *bias, enum activation);
/* The most scratch memory that a product within those limits takes; 0 for NULL. */
size_t blas_lt_scratch(const struct blas_lt *, const struct work_limits *);

/* cudnn.c: cuDNN, in the same manner. */
struct cudnn;
enum status cudnn_open(struct cudnn **, struct error *);
void cudnn_close(struct cudnn *);
bool cudnn_conv2d(struct cuda_backend *, struct tensor out, struct tensor x, const struct conv *,
                  const struct weight *, const float *bias);
size_t cudnn_scratch(const struct cudnn *, const struct work_limits *);

static inline struct matrix_view view_of(struct tensor t)
{
    return (struct matrix_view){t.data, t.rows, t.cols, t.stride};
}

static inline struct weight_view weight_view_of(const struct weight *w)
{
    return (struct weight_view){w->data, w->type, w->rows, w->cols, w->scale};
}

#endif
