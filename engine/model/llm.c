#include "engine/model/model.h"

#include <math.h>

struct llm_work {
    struct tensor h, qkv, q, k, v, attended, gate, up;
};

static struct llm_work llm_work_take(const struct llm_config *c, struct arena *a, int rows)
{
    int q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    struct llm_work w = {
        .h = arena_tensor(a, rows, c->hidden),
        .qkv = arena_tensor(a, rows, q + 2 * kv),
        .attended = arena_tensor(a, rows, q),
        .gate = arena_tensor(a, rows, c->intermediate),
        .up = arena_tensor(a, rows, c->intermediate),
    };
    w.q = tensor_cols(w.qkv, 0, q);
    w.k = tensor_cols(w.qkv, q, kv);
    w.v = tensor_cols(w.qkv, q + kv, kv);
    return w;
}

size_t llm_arena(const struct model *m, int rows)
{
    const struct llm_config *c = &m->config.llm;
    size_t r = (size_t)rows, q = (size_t)c->heads * (size_t)c->head_dim,
           kv = (size_t)c->kv_heads * (size_t)c->head_dim;
    return arena_bytes(r * (size_t)c->hidden) + arena_bytes(r * (q + 2 * kv)) + arena_bytes(r * q) +
           2 * arena_bytes(r * (size_t)c->intermediate);
}

void llm_forward(const struct model *m, struct arena *a, struct tensor x, const struct kv_layer *cache,
                 const struct row_batch *b)
{
    const struct backend_ops *op = m->op;
    struct backend *be = m->be;
    const struct llm_config *c = &m->config.llm;
    float scale = 1 / sqrtf((float)c->head_dim);
    size_t mark = arena_mark(a);
    struct llm_work w = llm_work_take(c, a, x.rows);
    struct residual h = {0};

    for (int i = 0; i < c->layers; i++) {
        const struct llm_layer *l = &m->llm.layer[i];
        op->rms_norm(be, w.h, x, h, l->attention_norm, c->norm_eps);
        op->linear(be, w.q, w.h, l->q.w, l->q.bias, ACT_NONE);
        op->linear(be, w.k, w.h, l->k.w, l->k.bias, ACT_NONE);
        op->linear(be, w.v, w.h, l->v.w, l->v.bias, ACT_NONE);
        op->rope_write(be, cache[i], w.q, w.k, w.v, b->slot, b->position, m->llm.inv_freq);
        op->attention(be, w.attended, w.q, cache[i], b, MASK_CAUSAL, scale);
        op->linear(be, w.h, w.attended, l->out.w, l->out.bias, ACT_NONE);
        h.y = w.h;

        op->rms_norm(be, w.h, x, h, l->mlp_norm, c->norm_eps);
        op->linear(be, w.gate, w.h, l->gate.w, l->gate.bias, ACT_NONE);
        op->linear(be, w.up, w.h, l->up.w, l->up.bias, ACT_NONE);
        op->silu_mul(be, w.gate, w.gate, w.up);
        op->linear(be, w.h, w.gate, l->down.w, l->down.bias, ACT_NONE);
        model_between_units(m);
    }
    op->rms_norm(be, x, x, h, m->llm.final_norm, c->norm_eps);
    arena_reset(a, mark);
}
