#include "engine/model/model.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

/* Patch by patch, each as the patch convolution's weights lie: channel, row, column. */
static void cut_patches(const struct vision_config *c, const float *pixels, float *patches)
{
    int side = c->image_size / c->patch_size;
    for (int p = 0; p < side * side; p++) {
        for (int channel = 0; channel < 3; channel++) {
            for (int y = 0; y < c->patch_size; y++) {
                int row = p / side * c->patch_size + y, column = p % side * c->patch_size;
                const float *from =
                    pixels + ((size_t)channel * (size_t)c->image_size + (size_t)row) * (size_t)c->image_size +
                    column;
                for (int x = 0; x < c->patch_size; x++)
                    *patches++ = from[x];
            }
        }
    }
}

static size_t rows_to_pages(size_t rows)
{
    return (rows + PAGE_TOKENS - 1) / PAGE_TOKENS * PAGE_TOKENS;
}

size_t vision_arena(const struct model *m)
{
    const struct vision_config *c = &m->config.vision;
    if (!model_sees(m))
        return 0;
    size_t rows = (size_t)m->vision.patches + 1, width = (size_t)c->hidden;
    size_t patch = 3 * (size_t)c->patch_size * (size_t)c->patch_size;
    return arena_bytes((rows - 1) * patch) + 3 * arena_bytes(rows * width) + arena_bytes(rows * 3 * width) +
           arena_bytes(rows * (size_t)c->intermediate) + 2 * arena_bytes(rows_to_pages(rows) * width) +
           arena_bytes(rows * (size_t)m->config.llm.hidden);
}

/* x = [class row; patches . W] + positions */
static void embed_patches(const struct model *m, struct arena *a, const float *pixels, struct tensor x)
{
    const struct vision_config *c = &m->config.vision;
    int n = m->vision.patches, width = 3 * c->patch_size * c->patch_size;
    struct tensor patches = arena_tensor(a, n, width);
    size_t bytes = (size_t)n * (size_t)width * sizeof(float);
    float *host = xmalloc(bytes);
    cut_patches(c, pixels, host);
    m->op->upload(m->be, patches.data, host, bytes);
    free(host);
    struct tensor class_row = {m->vision.class_row, DTYPE_F32, 1, c->hidden, c->hidden};
    struct tensor position = {m->vision.position, DTYPE_F32, n, c->hidden, c->hidden};
    m->op->gather(m->be, tensor_rows(x, 0, 1), class_row, m->iota);
    m->op->linear(m->be, tensor_rows(x, 1, n), patches, m->vision.patch, NULL, ACT_NONE);
    m->op->add(m->be, tensor_rows(x, 1, n), position, NULL);
}

void vision_forward(const struct model *m, struct arena *a, const float *pixels, struct tensor features,
                    struct tensor out)
{
    const struct backend_ops *op = m->op;
    struct backend *be = m->be;
    const struct vision_config *c = &m->config.vision;
    const struct vision *v = &m->vision;
    int rows = v->patches + 1, slots = (int)rows_to_pages((size_t)rows);
    int heads = c->heads, head_dim = c->hidden / heads;
    float scale = 1 / sqrtf((float)head_dim);
    struct span span = {.first_row = 0, .n_rows = rows, .first_position = 0, .first_page = 0};
    struct row_batch b = {
        .n_rows = rows, .n_spans = 1, .span = &span, .position = m->iota, .slot = m->iota, .page = m->iota};
    size_t mark = arena_mark(a);

    struct tensor x = arena_tensor(a, rows, c->hidden), h = arena_tensor(a, rows, c->hidden);
    struct tensor attended = arena_tensor(a, rows, c->hidden);
    struct tensor qkv = arena_tensor(a, rows, 3 * c->hidden), inner = arena_tensor(a, rows, c->intermediate);
    struct tensor q = tensor_cols(qkv, 0, c->hidden), k = tensor_cols(qkv, c->hidden, c->hidden);
    struct tensor value = tensor_cols(qkv, 2 * c->hidden, c->hidden);
    struct kv_layer kv = {.type = DTYPE_F32, .heads = heads, .head_dim = head_dim};
    kv.key = arena_floats(a, (size_t)slots * (size_t)c->hidden);
    kv.value = arena_floats(a, (size_t)slots * (size_t)c->hidden);

    struct residual added = {0};
    embed_patches(m, a, pixels, x);
    op->layer_norm(be, x, x, added, v->pre_norm.weight, v->pre_norm.bias, c->norm_eps);
    for (int i = 0; i < c->run_layers; i++) {
        const struct vision_layer *l = &v->layer[i];
        op->layer_norm(be, h, x, added, l->norm1.weight, l->norm1.bias, c->norm_eps);
        op->linear(be, q, h, l->q.w, l->q.bias, ACT_NONE);
        op->linear(be, k, h, l->k.w, l->k.bias, ACT_NONE);
        op->linear(be, value, h, l->v.w, l->v.bias, ACT_NONE);
        op->kv_write(be, kv, k, value, b.slot);
        op->attention(be, attended, q, kv, &b, MASK_FULL, scale);
        op->linear(be, h, attended, l->out.w, l->out.bias, ACT_NONE);
        added.y = h;
        op->layer_norm(be, h, x, added, l->norm2.weight, l->norm2.bias, c->norm_eps);
        op->linear(be, inner, h, l->fc1.w, l->fc1.bias, c->activation);
        op->linear(be, h, inner, l->fc2.w, l->fc2.bias, ACT_NONE);
        model_between_units(m);
    }
    if (c->run_layers > 0)
        op->add(be, x, h, NULL);
    int first = c->keep_class_row ? 0 : 1;
    struct tensor hidden = arena_tensor(a, features.rows, m->config.llm.hidden);
    op->gather(be, features, x, m->iota + first);
    op->linear(be, hidden, features, v->projector1.w, v->projector1.bias, c->projector_activation);
    op->linear(be, out, hidden, v->projector2.w, v->projector2.bias, ACT_NONE);
    arena_reset(a, mark);
}
