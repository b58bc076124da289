/* A backend is a device: it owns memory and runs these operations on it, in order.
 *
 * All calls come from one thread (the engine's). Operations return nothing and may run later: the host reads nothing that
 * they or download() wrote before finish() has returned. The first failure sticks: later operations do nothing, and
 * finish() reports it. With that it sticks no more, if finish() was given an error to fill and the device can go on (it
 * lacked memory, say); a device that is lost stays so. Unless said otherwise every pointer and tensor is backend memory and activations are float32.
 * `out` may be the same view as an input where it says "in place"; otherwise they must not overlap.
 *
 * Batch invariance: a row's result depends on that row (and, in attention, on its own keys) alone, to the bit: the order of
 * every sum is fixed by the shapes of the weights, never by the number of rows, of spans or of threads. */
#ifndef VARGPT_ENGINE_BACKEND_H
#define VARGPT_ENGINE_BACKEND_H

#include "base/choice.h"
#include "base/error.h"
#include "engine/row_batch.h"
#include "engine/tensor.h"

#include <stdbool.h>

struct backend_ops;

struct backend {
    const struct backend_ops *op;
    bool rows_vary; /* batch invariance was given up for speed (--batch-invariant off): as close, but not to the bit */
};

/* A matrix [rows, cols] in the device's own layout; opaque, so that quantised blocks and packed tiles fit behind it. */
struct weight;

/* A matrix in host memory, rows first, dense. */
struct host_matrix {
    const void *data; /* aligned to its element type */
    enum dtype type;  /* any but I32 */
    int rows, cols;
    bool stays;   /* data outlives the weight (a mapped file): the backend may use it in place */
    bool divides; /* for linear alone: a backend of several memories may keep some of the rows in each */
};

/* The keys and values of one layer: [slots][heads][head_dim] each. As DTYPE_I8 the numbers of a slot's head are multiples,
 * -127..127, of its scale, which is 1/127 of the largest of them. */
struct kv_layer {
    void *key, *value;
    enum dtype type; /* DTYPE_F32; DTYPE_BF16 (rounded to nearest, ties to even); DTYPE_I8 */
    int heads, head_dim;
    float *key_scale, *value_scale; /* DTYPE_I8: [slots][heads] each */
};

enum mask {
    MASK_CAUSAL, /* the row at position p sees keys 0..p */
    MASK_FULL,   /* every row of a span sees keys 0..first_position+n_rows-1 */
};

/* What a norm adds to its input first: y * scale[column], scale NULL = 1. y without columns: nothing. The norm's result may
 * take y's place. */
struct residual {
    struct tensor y;
    const float *scale;
};

/* A square-kernel convolution over a picture held as rows of channels: [height * width, channels], rows first. */
struct conv {
    int height, width; /* of the input, before upsampling */
    int kernel;        /* 1 or 3 */
    int stride;        /* 1 or 2 */
    int upsample;      /* 1, or 2: nearest-neighbour doubling in front of the convolution */
    bool pad_end_only; /* kernel 3: pad one row and column at the bottom and right only (the encoder's stride 2);
                          otherwise one on every side. Kernel 1: no padding */
};
/* Output height = (height * upsample + padding - kernel) / stride + 1, width likewise. */
static inline int conv_out(const struct conv *c, int size)
{
    int padding = c->kernel == 1 ? 0 : c->pad_end_only ? 1 : 2;
    return (size * c->upsample + padding - c->kernel) / c->stride + 1;
}

enum resize {
    RESIZE_BICUBIC, /* PyTorch's interpolate(mode="bicubic", align_corners=False): a = -0.75, no antialias, indices clamped */
    RESIZE_AREA,    /* PyTorch's adaptive average pooling: cell i covers floor(i*n/m) .. ceil((i+1)*n/m)-1 */
};

/* Which normals a row gets: base/random.h, RANDOM_NOISE. Host memory. */
struct noise_row {
    uint64_t seed;
    uint32_t position, ordinal;
};

/* A logit l before a choice: l > 0 ? l / repetition : l * repetition, then - less, then + more (-INFINITY: never chosen).
 * What becomes NaN is never chosen either. Host memory. */
struct logit_edit {
    int32_t row, id;
    float repetition, less, more;
};

/* How one row of logits is chosen from. Host memory. */
struct choice_row {
    struct choice_filter filter;
    double u; /* in (0,1) */
};

/* A pass that may come again: the same operations on the same memory, whose numbers alone are others. Only spans of one
 * row; their row_batch has device_span. */
struct pass_shape {
    const void *memory; /* tells passes on other memory apart: an address that all of them have of their own */
    int n_rows;
    int most_keys; /* of the longest context */
};

/* What operations will be called with at most; 0: with none of the kind. */
struct work_limits {
    int rows;          /* of matrices that linear reads and writes */
    size_t row_values; /* rows * columns of one */
    /* attention's spans of one row in a batch, the longest context of one, heads of the query */
    int single_rows, keys, heads, head_dim;
    /* pictures of conv2d and group_norm: height and width, channels, values of one after upsampling */
    int picture_side, channels;
    size_t picture_values;
};

enum replay {
    REPLAY_NOT,     /* call the operations */
    REPLAY_RECORDS, /* call them, and replay_end after the last */
    REPLAY_DONE,    /* they run as they were recorded; do not call them */
};

struct backend_ops {
    const char *name; /* "cpu", "cuda", "cuda-emulated" */
    unsigned cache_types; /* 1 << type of each that a kv_layer may have beside DTYPE_F32 */

    /* memory: alloc gives 64-byte aligned, uninitialised memory or NULL. upload's source may be reused at once. free waits
     * for nothing: operations that were called before may still use the memory, and those called later on the same line
     * come after them; what another line does with it must have been ordered (after, finish). */
    void *(*alloc)(struct backend *, size_t bytes);
    void (*free)(struct backend *, void *memory); /* accepts NULL */
    /* Memory for kv_layers of so many heads each, whose places in it are multiples of 64 bytes and of heads, to be given
     * to the operations on kv_layers alone: a backend of several memories may keep some of the heads in each, so much nearer
     * to each other. NULL: alloc. free takes it */
    void *(*alloc_cache)(struct backend *, size_t bytes, int heads);
    /* How many of a cache's heads a memory of those keeps at most. NULL: all */
    int (*heads_each)(struct backend *, int heads);
    /* What alloc could still give, in each of several memories: the device's own, of which all is there already. NULL: as
     * much as the machine's memory allows, which others use too */
    size_t (*memory_left)(struct backend *);
    /* Takes what memory the device needs of its own for operations within these limits, so that they need not take it
     * later. May be called again, with others. Failure: STATUS_NO_MEMORY or STATUS_DEVICE. NULL: it needs none */
    enum status (*reserve)(struct backend *, const struct work_limits *, struct error *);
    void (*upload)(struct backend *, void *to, const void *from_host, size_t bytes);
    void (*download)(struct backend *, void *to_host, const void *from, size_t bytes); /* readable after finish */
    enum status (*finish)(struct backend *, struct error *);

    /* A second line of work: what is called on it may run beside what is called on the first. It is a backend of its own,
     * with its own failures and finish(), on the same memory and weights; it is closed with the first, and asking again gives
     * the same one. NULL: the device does one thing after the other. Failure: STATUS_DEVICE. */
    enum status (*aside)(struct backend *, struct backend **out, struct error *);
    /* What is called on it from now on comes after what has been called on its other line. NULL where aside is. */
    void (*after)(struct backend *, struct backend *other);
    /* Whether finish() would have to wait. NULL: it never would */
    bool (*pending)(struct backend *);

    /* Passes that repeat, so that a device need not be told each operation again. Between REPLAY_RECORDS and replay_end come
     * operations on weights and rows only: no memory is taken, given back or copied to or from the host, and nothing
     * waits. NULL: REPLAY_NOT always. */
    enum replay (*replay)(struct backend *, const struct pass_shape *);
    void (*replay_end)(struct backend *);

    /* weights. Those of blocks are for embed and linear only */
    enum status (*weight_load)(struct backend *, struct weight **out, const struct host_matrix *, struct error *);
    void (*weight_free)(struct backend *, struct weight *); /* accepts NULL */

    /* rows.   R rows, C columns, O outputs */
    /* out[r] = table[index[r]] as float32; indices must be in range */
    void (*embed)(struct backend *, struct tensor out, const struct weight *table, const int32_t *index);
    /* out[r] = x[index[r]]  and  out[index[r]] = x[r] */
    void (*gather)(struct backend *, struct tensor out, struct tensor x, const int32_t *index);
    void (*scatter)(struct backend *, struct tensor out, const int32_t *index, struct tensor x);
    /* out[R,O] = act(x[R,C] . w[O,C]^T + bias[O]); bias may be NULL */
    void (*linear)(struct backend *, struct tensor out, struct tensor x, const struct weight *w, const float *bias,
                   enum activation);
    /* First x += the residual; then, in place allowed, out = x / sqrt(mean(x^2) + eps) * weight */
    void (*rms_norm)(struct backend *, struct tensor out, struct tensor x, struct residual, const float *weight,
                     float eps);
    /* The same with out = (x - mean) / sqrt(var + eps) * weight + bias */
    void (*layer_norm)(struct backend *, struct tensor out, struct tensor x, struct residual, const float *weight,
                       const float *bias, float eps);
    /* in place allowed (out = gate). out = gate * sigmoid(gate) * up */
    void (*silu_mul)(struct backend *, struct tensor out, struct tensor gate, struct tensor up);
    /* x += y * scale[column]; scale NULL = 1 */
    void (*add)(struct backend *, struct tensor x, struct tensor y, const float *scale);

    /* paged key/value memory. k, v: [R, heads * head_dim]. All sums are float32 whatever the cache's type */
    void (*kv_write)(struct backend *, struct kv_layer, struct tensor k, struct tensor v, const int32_t *slot);
    /* The same, when in q ([R, q_heads * head_dim]) and k, in place, of each head the half-split rotary pairs
     * (d, d + head_dim/2) have been turned by the angle position[r] * inv_freq[d] (float32) */
    void (*rope_write)(struct backend *, struct kv_layer, struct tensor q, struct tensor k, struct tensor v,
                       const int32_t *slot, const int32_t *position, const float *inv_freq);
    /* The same, when in q and k, in place, each head has been divided by max(its length, 1e-12), and those of q
     * multiplied by query_scale[head] */
    void (*norm_write)(struct backend *, struct kv_layer, struct tensor q, struct tensor k, struct tensor v,
                       const int32_t *slot, const float *query_scale);
    /* q, out: [R, q_heads * head_dim]; query head h reads kv head h / (q_heads / kv heads).
     * out = softmax(scale * q . k^T under the mask) . v */
    void (*attention)(struct backend *, struct tensor out, struct tensor q, struct kv_layer, const struct row_batch *,
                      enum mask, float scale);

    /* pictures: [height * width, channels] */
    /* w: [O, kernel * kernel * C], a row being (ky, kx, channel), channel fastest; bias[O] */
    void (*conv2d)(struct backend *, struct tensor out, struct tensor x, const struct conv *, const struct weight *w,
                   const float *bias);
    /* in place allowed. Statistics over all rows of each group of C/groups columns, then act(norm * weight + bias) */
    void (*group_norm)(struct backend *, struct tensor out, struct tensor x, int groups, const float *weight,
                       const float *bias, float eps, enum activation);
    /* x: [from*from, C] -> out: [to*to, C] */
    void (*resize)(struct backend *, struct tensor out, struct tensor x, int from, int to, enum resize);

    /* choosing */
    /* classifier-free guidance: out[r] = (1 + t[r]) * cond[r] - t[r] * uncond[r]; t: [R] host memory; in place allowed */
    void (*guide)(struct backend *, struct tensor out, struct tensor cond, struct tensor uncond, const float *t);
    /* out[r] = standard normals for row[r] */
    void (*noise)(struct backend *, struct tensor out, const struct noise_row *row);
    /* in place: the logits that edit[0..n-1] name, none of them twice */
    void (*edit_logits)(struct backend *, struct tensor logits, const struct logit_edit *edit, int n);
    /* out[r] = the token chosen from logits[r] by how[r] */
    void (*sample)(struct backend *, int32_t *out, struct tensor logits, const struct choice_row *how);
    /* out[r] = the row of table nearest to x[r] by squared distance; ties take the lower index */
    void (*nearest)(struct backend *, int32_t *out, struct tensor x, const struct weight *table);
};

#endif
