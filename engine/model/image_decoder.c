#include "engine/model/model.h"

static const float norm_eps = 1e-6f;

struct decoder_work {
    struct tensor x, h, qkv, q, k, v, attended, inner;
};

static struct decoder_work decoder_work_take(const struct image_decoder *d, struct arena *a, int rows)
{
    struct decoder_work w = {
        .x = arena_tensor(a, rows, d->width),
        .h = arena_tensor(a, rows, d->width),
        .qkv = arena_tensor(a, rows, 3 * d->width),
        .attended = arena_tensor(a, rows, d->width),
        .inner = arena_tensor(a, rows, d->intermediate),
    };
    w.q = tensor_cols(w.qkv, 0, d->width);
    w.k = tensor_cols(w.qkv, d->width, d->width);
    w.v = tensor_cols(w.qkv, 2 * d->width, d->width);
    return w;
}

size_t image_decoder_arena(const struct model *m, int rows)
{
    const struct image_decoder *d = &m->decoder;
    if (!model_draws(m))
        return 0;
    size_t r = (size_t)rows, width = (size_t)d->width, hidden = (size_t)m->config.llm.hidden;
    size_t forward = arena_bytes(r * hidden) + 3 * arena_bytes(r * width) + arena_bytes(r * 3 * width) +
                     arena_bytes(r * (size_t)d->intermediate);
    size_t rows_in = arena_bytes(r * width);
    size_t next_map = arena_bytes(r * (size_t)d->code_width);
    size_t most = forward > rows_in ? forward : rows_in;
    return most > next_map ? most : next_map;
}

void image_decoder_rows_in(const struct model *m, struct arena *a, struct tensor maps, struct tensor rows)
{
    const struct image_decoder *d = &m->decoder;
    size_t mark = arena_mark(a);
    struct tensor h = arena_tensor(a, maps.rows, d->width);
    m->op->linear(m->be, h, maps, d->in1.w, d->in1.bias, ACT_GELU);
    m->op->linear(m->be, rows, h, d->in2.w, d->in2.bias, ACT_NONE);
    arena_reset(a, mark);
}

void image_decoder_forward(const struct model *m, struct arena *a, struct tensor hidden, struct tensor logits,
                           const struct kv_layer *cache, const struct row_batch *b)
{
    const struct backend_ops *op = m->op;
    struct backend *be = m->be;
    const struct image_decoder *d = &m->decoder;
    size_t mark = arena_mark(a);
    struct tensor projected = arena_tensor(a, hidden.rows, hidden.cols);
    struct decoder_work w = decoder_work_take(d, a, hidden.rows);

    op->linear(be, projected, hidden, d->out1.w, d->out1.bias, ACT_GELU);
    op->linear(be, w.x, projected, d->out2.w, d->out2.bias, ACT_NONE);
    struct residual h = {0};
    for (int i = 0; i < d->depth; i++) {
        const struct decoder_block *l = &d->block[i];
        op->layer_norm(be, w.h, w.x, h, l->norm1.weight, l->norm1.bias, norm_eps);
        op->linear(be, w.qkv, w.h, l->qkv.w, l->qkv.bias, ACT_NONE);
        op->norm_write(be, cache[i], w.q, w.k, w.v, b->slot, l->query_scale);
        op->attention(be, w.attended, w.q, cache[i], b, MASK_FULL, 1);
        op->linear(be, w.h, w.attended, l->out.w, l->out.bias, ACT_NONE);
        h = (struct residual){w.h, l->gamma1};
        op->layer_norm(be, w.h, w.x, h, l->norm2.weight, l->norm2.bias, norm_eps);
        op->linear(be, w.inner, w.h, l->fc1.w, l->fc1.bias, ACT_GELU_TANH);
        op->linear(be, w.h, w.inner, l->fc2.w, l->fc2.bias, ACT_NONE);
        h = (struct residual){w.h, l->gamma2};
        model_between_units(m);
    }
    op->layer_norm(be, w.h, w.x, h, d->head_norm.weight, d->head_norm.bias, norm_eps);
    op->linear(be, logits, w.h, d->head.w, d->head.bias, ACT_NONE);
    arena_reset(a, mark);
}

void image_decoder_first_map(const struct model *m, struct tensor map)
{
    int width = m->decoder.width;
    struct tensor first = {m->decoder.first_map, DTYPE_F32, 1, width, width};
    m->op->gather(m->be, map, first, m->iota);
}

void image_decoder_next_map(const struct model *m, struct arena *a, struct tensor f_hat, int scale,
                            struct tensor map)
{
    const struct image_decoder *d = &m->decoder;
    int side = m->config.drawing.scale[scale];
    size_t mark = arena_mark(a);
    struct tensor small = arena_tensor(a, side * side, d->code_width);
    struct tensor place = {d->level_position, DTYPE_F32, m->n_positions, d->width, d->width};
    m->op->resize(m->be, small, f_hat, m->vae.side, side, RESIZE_AREA);
    m->op->linear(m->be, map, small, d->word_embed.w, d->word_embed.bias, ACT_NONE);
    m->op->add(m->be, map, tensor_rows(place, m->scale_first[scale], side * side), NULL);
    arena_reset(a, mark);
}
