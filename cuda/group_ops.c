/* The operations of several cards (group.h): by parts where they can be, otherwise by all cards alike. */
#include "cuda/group.h"

#include <assert.h>

static struct backend *card(const struct cuda_group *g, int k)
{
    return &g->card[k]->base;
}

static struct tensor columns(const struct cuda_group *g, int k, struct tensor t, struct share s)
{
    return tensor_cols(group_tensor(g, k, t), s.first, s.n);
}

/* ---- by parts ---- */

static void group_linear(struct backend *be, struct tensor out, struct tensor x, const struct weight *weight,
                         const float *bias, enum activation activation)
{
    struct cuda_group *g = group_state(be);
    const struct group_weight *w = group_weight(weight);
    assert(out.cols == w->rows);
    group_read(g, x);
    if (w->each)
        group_write_parted(g, out, w->each);
    else
        group_write(g, out);
    for (int k = 0; k < g->n && group_ready(g); k++) {
        struct share own = share_of(w->rows, w->each, k);
        const float *b = group_at(g, k, bias);
        if (own.n > 0)
            cuda_linear(card(g, k), columns(g, k, out, own), group_tensor(g, k, x), w->card[k],
                        b ? b + own.first : NULL, activation);
    }
}

static void group_silu_mul(struct backend *be, struct tensor out, struct tensor gate, struct tensor up)
{
    struct cuda_group *g = group_state(be);
    int each = group_parted(g, gate);
    if (each && each == group_parted(g, up)) {
        group_write_parted(g, out, each);
    } else {
        each = 0;
        group_read(g, gate);
        group_read(g, up);
        group_write(g, out);
    }
    for (int k = 0; k < g->n && group_ready(g); k++) {
        struct share own = share_of(out.cols, each, k);
        cuda_silu_mul(card(g, k), columns(g, k, out, own), columns(g, k, gate, own), columns(g, k, up, own));
    }
}

/* Heads of a layer that each card has; 0: all of them, in memory that anything else may have written too. */
static int cache_heads_each(struct cuda_group *g, struct kv_layer kv)
{
    const struct piece *p = group_piece(g, kv.key);
    if (p->heads_each < p->heads)
        return p->heads_each;
    group_read_all(g);
    return 0;
}

/* Makes each card have at least its `each` columns of a view (0: all of them). */
static void read_parts(struct cuda_group *g, struct tensor t, int each)
{
    if (each == 0 || group_parted(g, t) != each)
        group_read(g, t);
}

static void group_kv_write(struct backend *be, struct kv_layer kv, struct tensor key, struct tensor value,
                           const int32_t *slot)
{
    struct cuda_group *g = group_state(be);
    int each = cache_heads_each(g, kv) * kv.head_dim;
    read_parts(g, key, each);
    read_parts(g, value, each);
    for (int k = 0; k < g->n && group_ready(g); k++) {
        struct share own = share_of(key.cols, each, k);
        if (own.n > 0)
            cuda_kv_write(card(g, k), group_cache(g, k, kv), columns(g, k, key, own),
                          columns(g, k, value, own), group_at(g, k, slot));
    }
}

/* The same of a view that each card changes, its `each` columns (0: all). */
static void change_parts(struct cuda_group *g, struct tensor t, int each)
{
    read_parts(g, t, each);
    if (each && group_parted(g, t) != each)
        group_write_parted(g, t, each);
}

/* Operands of the two that follow, and card k's columns of them. */
struct heads {
    struct tensor q, k, v;
    int q_each, each;
};

static struct heads heads_read(struct cuda_group *g, struct kv_layer kv, struct tensor q, struct tensor key,
                               struct tensor value)
{
    int each = cache_heads_each(g, kv);
    struct heads h = {q, key, value, each * (q.cols / kv.heads), each * kv.head_dim};
    change_parts(g, q, h.q_each);
    change_parts(g, key, h.each);
    read_parts(g, value, h.each);
    return h;
}

static struct heads heads_of_card(const struct cuda_group *g, int k, struct heads h)
{
    struct share queries = share_of(h.q.cols, h.q_each, k), keys = share_of(h.k.cols, h.each, k);
    return (struct heads){columns(g, k, h.q, queries), columns(g, k, h.k, keys), columns(g, k, h.v, keys),
                          h.q_each, h.each};
}

static void group_rope_write(struct backend *be, struct kv_layer kv, struct tensor q, struct tensor key,
                             struct tensor value, const int32_t *slot, const int32_t *position,
                             const float *inv_freq)
{
    struct cuda_group *g = group_state(be);
    struct heads all = heads_read(g, kv, q, key, value);
    for (int k = 0; k < g->n && group_ready(g); k++) {
        struct heads own = heads_of_card(g, k, all);
        if (own.k.cols > 0)
            cuda_rope_write(card(g, k), group_cache(g, k, kv), own.q, own.k, own.v, group_at(g, k, slot),
                            group_at(g, k, position), group_at(g, k, inv_freq));
    }
}

static void group_norm_write(struct backend *be, struct kv_layer kv, struct tensor q, struct tensor key,
                             struct tensor value, const int32_t *slot, const float *query_scale)
{
    struct cuda_group *g = group_state(be);
    struct heads all = heads_read(g, kv, q, key, value);
    for (int k = 0; k < g->n && group_ready(g); k++) {
        struct heads own = heads_of_card(g, k, all);
        int first_head = share_of(q.cols, all.q_each, k).first / kv.head_dim;
        const float *scale = group_at(g, k, query_scale);
        if (own.k.cols > 0)
            cuda_norm_write(card(g, k), group_cache(g, k, kv), own.q, own.k, own.v, group_at(g, k, slot),
                            scale + first_head);
    }
}

static void group_attention(struct backend *be, struct tensor out, struct tensor q, struct kv_layer kv,
                            const struct row_batch *batch, enum mask mask, float scale)
{
    struct cuda_group *g = group_state(be);
    int queries = q.cols / kv.heads; /* columns of the query heads that read one head of the cache */
    int each = cache_heads_each(g, kv) * queries;
    read_parts(g, q, each);
    if (each)
        group_write_parted(g, out, each);
    else
        group_write(g, out);
    for (int k = 0; k < g->n && group_ready(g); k++) {
        struct share own = share_of(q.cols, each, k);
        struct row_batch b = group_batch(g, k, batch);
        if (own.n > 0)
            cuda_attention(card(g, k), columns(g, k, out, own), columns(g, k, q, own), group_cache(g, k, kv),
                           &b, mask, scale);
    }
}

/* ---- by all alike ---- */

static void group_embed(struct backend *be, struct tensor out, const struct weight *table,
                        const int32_t *index)
{
    struct cuda_group *g = group_state(be);
    group_write(g, out);
    for (int k = 0; k < g->n && group_ready(g); k++)
        cuda_embed(card(g, k), group_tensor(g, k, out), group_weight(table)->card[k], group_at(g, k, index));
}

static void group_gather(struct backend *be, struct tensor out, struct tensor x, const int32_t *index)
{
    struct cuda_group *g = group_state(be);
    group_read(g, x);
    group_write(g, out);
    for (int k = 0; k < g->n && group_ready(g); k++)
        cuda_gather(card(g, k), group_tensor(g, k, out), group_tensor(g, k, x), group_at(g, k, index));
}

static void group_scatter(struct backend *be, struct tensor out, const int32_t *index, struct tensor x)
{
    struct cuda_group *g = group_state(be);
    group_read(g, x);
    group_read(g, out); /* other rows of it stay */
    for (int k = 0; k < g->n && group_ready(g); k++)
        cuda_scatter(card(g, k), group_tensor(g, k, out), group_at(g, k, index), group_tensor(g, k, x));
}

static struct residual residual_of_card(const struct cuda_group *g, int k, struct residual r)
{
    if (r.y.cols == 0)
        return r;
    return (struct residual){group_tensor(g, k, r.y), group_at(g, k, r.scale)};
}

static void group_rms_norm(struct backend *be, struct tensor out, struct tensor x, struct residual residual,
                           const float *weight, float eps)
{
    struct cuda_group *g = group_state(be);
    group_read(g, x);
    group_read(g, residual.y);
    group_write(g, out);
    for (int k = 0; k < g->n && group_ready(g); k++)
        cuda_rms_norm(card(g, k), group_tensor(g, k, out), group_tensor(g, k, x),
                      residual_of_card(g, k, residual), group_at(g, k, weight), eps);
}

static void group_layer_norm(struct backend *be, struct tensor out, struct tensor x, struct residual residual,
                             const float *weight, const float *bias, float eps)
{
    struct cuda_group *g = group_state(be);
    group_read(g, x);
    group_read(g, residual.y);
    group_write(g, out);
    for (int k = 0; k < g->n && group_ready(g); k++)
        cuda_layer_norm(card(g, k), group_tensor(g, k, out), group_tensor(g, k, x),
                        residual_of_card(g, k, residual), group_at(g, k, weight), group_at(g, k, bias), eps);
}

static void group_add(struct backend *be, struct tensor x, struct tensor y, const float *scale)
{
    struct cuda_group *g = group_state(be);
    group_read(g, x);
    group_read(g, y);
    for (int k = 0; k < g->n && group_ready(g); k++)
        cuda_add(card(g, k), group_tensor(g, k, x), group_tensor(g, k, y), group_at(g, k, scale));
}

static void group_conv2d(struct backend *be, struct tensor out, struct tensor x, const struct conv *conv,
                         const struct weight *w, const float *bias)
{
    struct cuda_group *g = group_state(be);
    group_read(g, x);
    group_write(g, out);
    for (int k = 0; k < g->n && group_ready(g); k++)
        cuda_conv2d(card(g, k), group_tensor(g, k, out), group_tensor(g, k, x), conv,
                    group_weight(w)->card[k], group_at(g, k, bias));
}

static void group_group_norm(struct backend *be, struct tensor out, struct tensor x, int groups,
                             const float *weight, const float *bias, float eps, enum activation activation)
{
    struct cuda_group *g = group_state(be);
    group_read(g, x);
    group_write(g, out);
    for (int k = 0; k < g->n && group_ready(g); k++)
        cuda_group_norm(card(g, k), group_tensor(g, k, out), group_tensor(g, k, x), groups,
                        group_at(g, k, weight), group_at(g, k, bias), eps, activation);
}

static void group_resize(struct backend *be, struct tensor out, struct tensor x, int from, int to,
                         enum resize how)
{
    struct cuda_group *g = group_state(be);
    group_read(g, x);
    group_write(g, out);
    for (int k = 0; k < g->n && group_ready(g); k++)
        cuda_resize(card(g, k), group_tensor(g, k, out), group_tensor(g, k, x), from, to, how);
}

static void group_guide(struct backend *be, struct tensor out, struct tensor cond, struct tensor uncond,
                        const float *t)
{
    struct cuda_group *g = group_state(be);
    group_read(g, cond);
    group_read(g, uncond);
    group_write(g, out);
    for (int k = 0; k < g->n && group_ready(g); k++)
        cuda_guide(card(g, k), group_tensor(g, k, out), group_tensor(g, k, cond), group_tensor(g, k, uncond),
                   t);
}

static void group_noise(struct backend *be, struct tensor out, const struct noise_row *row)
{
    struct cuda_group *g = group_state(be);
    group_write(g, out);
    for (int k = 0; k < g->n && group_ready(g); k++)
        cuda_noise(card(g, k), group_tensor(g, k, out), row);
}

static void group_edit_logits(struct backend *be, struct tensor logits, const struct logit_edit *edit, int n)
{
    struct cuda_group *g = group_state(be);
    group_read(g, logits);
    for (int k = 0; k < g->n && group_ready(g); k++)
        cuda_edit_logits(card(g, k), group_tensor(g, k, logits), edit, n);
}

static void group_sample(struct backend *be, int32_t *out, struct tensor logits, const struct choice_row *how)
{
    struct cuda_group *g = group_state(be);
    group_read(g, logits);
    group_write_bytes(g, out, (size_t)logits.rows * sizeof *out);
    for (int k = 0; k < g->n && group_ready(g); k++)
        cuda_sample(card(g, k), group_at(g, k, out), group_tensor(g, k, logits), how);
}

static void group_nearest(struct backend *be, int32_t *out, struct tensor x, const struct weight *table)
{
    struct cuda_group *g = group_state(be);
    group_read(g, x);
    group_write_bytes(g, out, (size_t)x.rows * sizeof *out);
    for (int k = 0; k < g->n && group_ready(g); k++)
        cuda_nearest(card(g, k), group_at(g, k, out), group_tensor(g, k, x), group_weight(table)->card[k]);
}

const struct backend_ops cuda_group_ops = {
    .name = "cuda",
    .cache_types = 1u << DTYPE_BF16 | 1u << DTYPE_I8,
    .alloc = group_alloc,
    .free = group_free,
    .alloc_cache = group_alloc_cache,
    .heads_each = group_heads_each,
    .memory_left = group_memory_left,
    .reserve = group_reserve,
    .upload = group_upload,
    .download = group_download,
    .finish = group_finish,
    .weight_load = group_weight_load,
    .weight_free = group_weight_free,
    .embed = group_embed,
    .gather = group_gather,
    .scatter = group_scatter,
    .linear = group_linear,
    .rms_norm = group_rms_norm,
    .layer_norm = group_layer_norm,
    .silu_mul = group_silu_mul,
    .add = group_add,
    .kv_write = group_kv_write,
    .rope_write = group_rope_write,
    .norm_write = group_norm_write,
    .attention = group_attention,
    .conv2d = group_conv2d,
    .group_norm = group_group_norm,
    .resize = group_resize,
    .guide = group_guide,
    .noise = group_noise,
    .edit_logits = group_edit_logits,
    .sample = group_sample,
    .nearest = group_nearest,
};
