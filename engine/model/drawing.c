#include "engine/model/drawing.h"

#include "base/memory.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- AdaLN: its condition is the same for every request, so what it computes are constants (docs/model.md,
 * section 6) --- */

static float silu(float x)
{
    return x / (1 + expf(-x));
}

/* parts vectors of C values: NAME.weight . SiLU(cond) + NAME.bias. Host memory, caller frees. */
static float *read_modulation(struct loader *l, struct model *m, int parts, const char *name)
{
    int width = m->decoder.width, n = parts * width;
    const struct backend_ops *op = m->op;
    const struct checkpoint_tensor *t = find_tensor(l, "%s.weight", name);
    float *bias = read_floats(l, n, "%s.bias", name), *out = NULL, *work = NULL, *device = NULL;
    struct weight *w = NULL;
    if (!t || !bias)
        goto out;
    if (t->n_dims != 2 || t->shape[0] != n || t->shape[1] != width) {
        refuse_shape(l, t, "[%d, %d]", n, width);
        goto out;
    }
    struct host_matrix matrix = {t->data, t->type, n, width, .stays = true};
    work = xcalloc((size_t)(n + width), sizeof *work);
    for (int i = 0; i < width; i++)
        work[i] = silu(m->decoder.cond[i]);
    device = op->alloc(m->be, (size_t)(n + width) * sizeof *device);
    if (!device || op->weight_load(m->be, &w, &matrix, l->err)) {
        error_set(l->err, STATUS_NO_MEMORY, "no memory to compute %s", name);
        goto out;
    }
    struct tensor x = {device, DTYPE_F32, 1, width, width}, y = {device + width, DTYPE_F32, 1, n, n};
    op->upload(m->be, device, work, (size_t)width * sizeof *work);
    op->linear(m->be, y, x, w, NULL, ACT_NONE);
    op->download(m->be, work, device + width, (size_t)n * sizeof *work);
    if (op->finish(m->be, l->err))
        goto out;
    for (int i = 0; i < n; i++)
        work[i] += bias[i];
    out = work;
    work = NULL;
    l->bytes_done += t->bytes;
out:
    op->weight_free(m->be, w);
    op->free(m->be, device);
    free(work);
    free(bias);
    return out;
}

/* LN(x) * (1 + scale) + shift as a norm with weight and bias. */
static struct norm folded_norm(struct loader *l, float *scale, const float *shift, int n)
{
    struct norm norm;
    for (int i = 0; i < n; i++)
        scale[i] += 1;
    norm.weight = keep_floats(l, scale, (size_t)n);
    norm.bias = keep_floats(l, shift, (size_t)n);
    return norm;
}

/* --- the image decoder --- */

static float *load_query_scale(struct loader *l, int heads, int i)
{
    float *scale = read_floats(l, heads, "vargpt_gen.blocks.%d.attn.scale_mul_1H11", i);
    for (int h = 0; scale && h < heads; h++)
        scale[h] = expf(fminf(scale[h], logf(100)));
    float *kept = keep_floats(l, scale, (size_t)heads);
    free(scale);
    return kept;
}

/* [q_bias, 0, v_bias] */
static float *load_qkv_bias(struct loader *l, int width, int i)
{
    float *q = read_floats(l, width, "vargpt_gen.blocks.%d.attn.q_bias", i);
    float *v = read_floats(l, width, "vargpt_gen.blocks.%d.attn.v_bias", i);
    float *kept = NULL;
    if (q && v) {
        size_t n = (size_t)width;
        float *all = xcalloc(3 * n, sizeof *all);
        memcpy(all, q, n * sizeof *all);
        memcpy(all + 2 * n, v, n * sizeof *all);
        kept = keep_floats(l, all, 3 * n);
        free(all);
    }
    free(q);
    free(v);
    return kept;
}

static void load_block(struct loader *l, struct model *m, struct decoder_block *b, int i)
{
    struct image_decoder *d = &m->decoder;
    int c = d->width;
    char name[64];
    snprintf(name, sizeof name, "vargpt_gen.blocks.%d.ada_lin.1", i);
    float *modulation = read_modulation(l, m, 6, name); /* gamma1 gamma2 sigma1 sigma2 beta1 beta2 */
    if (modulation) {
        b->gamma1 = keep_floats(l, modulation, (size_t)c);
        b->gamma2 = keep_floats(l, modulation + c, (size_t)c);
        b->norm1 = folded_norm(l, modulation + 2 * c, modulation + 4 * c, c);
        b->norm2 = folded_norm(l, modulation + 3 * c, modulation + 5 * c, c);
    }
    free(modulation);
    b->qkv = load_layer(l, 3 * c, c, NO_BIAS, "vargpt_gen.blocks.%d.attn.mat_qkv", i);
    b->qkv.bias = load_qkv_bias(l, c, i);
    b->query_scale = load_query_scale(l, d->heads, i);
    b->out = load_layer(l, c, c, WITH_BIAS, "vargpt_gen.blocks.%d.attn.proj", i);
    b->fc1 = load_layer(l, d->intermediate, c, WITH_BIAS, "vargpt_gen.blocks.%d.ffn.fc1", i);
    b->fc2 = load_layer(l, c, d->intermediate, WITH_BIAS, "vargpt_gen.blocks.%d.ffn.fc2", i);
}

/* cond: the row behind the image-start token's in class_emb, the same for both branches. */
static void load_cond(struct loader *l, struct model *m)
{
    struct image_decoder *d = &m->decoder;
    const struct checkpoint_tensor *t = find_tensor(l, "vargpt_gen.class_emb.weight");
    int row = m->config.drawing.start_id + 1;
    if (!t)
        return;
    if (t->n_dims != 2 || t->shape[1] != d->width || t->shape[0] <= row) {
        refuse_shape(l, t, "[more than %d, %d]", row, d->width);
        return;
    }
    d->cond = xcalloc((size_t)d->width, sizeof *d->cond);
    checkpoint_to_f32(t, (size_t)row * (size_t)d->width, (size_t)d->width, d->cond);
    l->bytes_done += t->bytes;
}

/* level_position[j] = lvl_embed[scale of j] + pos_1LC[j]; first_map = cond + pos_start + level_position[0] */
static void load_places(struct loader *l, struct model *m)
{
    struct image_decoder *d = &m->decoder;
    int c = d->width, n = m->n_positions, scales = m->config.drawing.n_scales;
    float *level = read_floats(l, scales * c, "vargpt_gen.lvl_embed.weight");
    float *place = read_floats(l, n * c, "vargpt_gen.pos_1LC");
    float *first = read_floats(l, c, "vargpt_gen.pos_start");
    if (level && place && first && d->cond) {
        for (int s = 0; s < scales; s++) {
            for (int j = m->scale_first[s]; j < m->scale_first[s + 1]; j++) {
                for (int i = 0; i < c; i++)
                    place[(size_t)j * (size_t)c + (size_t)i] += level[(size_t)s * (size_t)c + (size_t)i];
            }
        }
        for (int i = 0; i < c; i++)
            first[i] += d->cond[i] + place[i];
        d->level_position = keep_floats(l, place, (size_t)n * (size_t)c);
        d->first_map = keep_floats(l, first, (size_t)c);
    }
    free(level);
    free(place);
    free(first);
}

/* Values in a vector, or rows (dim 0) or columns (dim 1) of a matrix; 0 after a problem. */
static int read_size(struct loader *l, const char *name, int n_dims, int dim)
{
    const struct checkpoint_tensor *t = find_tensor(l, "%s", name);
    if (!t)
        return 0;
    if (t->n_dims != n_dims || t->shape[dim] < 1 || t->shape[dim] > (1 << 17)) {
        refuse_shape(l, t, "of %d dimensions up to %d", n_dims, 1 << 17);
        return 0;
    }
    return (int)t->shape[dim];
}

static void derive_sizes(struct loader *l, struct image_decoder *d)
{
    d->width = read_size(l, "vargpt_gen.word_embed.weight", 2, 0);
    d->code_width = read_size(l, "vargpt_gen.word_embed.weight", 2, 1);
    d->n_codes = read_size(l, "vae_local.quantize.embedding.weight", 2, 0);
    d->heads = read_size(l, "vargpt_gen.blocks.0.attn.scale_mul_1H11", 4, 1);
    d->intermediate = read_size(l, "vargpt_gen.blocks.0.ffn.fc1.weight", 2, 0);
    while (d->depth < 1024 && find_optional(l, "vargpt_gen.blocks.%d.attn.mat_qkv.weight", d->depth))
        d->depth++;
    if (l->err->status)
        return;
    if (d->width % d->heads)
        error_set(l->err, STATUS_BAD_FILE, "vargpt_gen: a width of %d does not divide into %d heads",
                  d->width, d->heads);
    d->head_dim = d->width / d->heads;
}

/* The scale list is in config.json or the published one; the tensors say how many scales and positions there
 * are. */
static void check_scales(struct loader *l, struct model *m)
{
    const struct drawing_config *c = &m->config.drawing;
    int levels = read_size(l, "vargpt_gen.lvl_embed.weight", 2, 0);
    int positions = read_size(l, "vargpt_gen.pos_1LC", 3, 1);
    for (int s = 0; s < c->n_scales; s++)
        m->scale_first[s + 1] = m->scale_first[s] + c->scale[s] * c->scale[s];
    m->n_positions = m->scale_first[c->n_scales];
    if (l->err->status == STATUS_OK && (levels != c->n_scales || positions != m->n_positions))
        error_set(l->err, STATUS_BAD_FILE,
                  "vargpt_gen has %d scales and %d positions, %s %d and %d: var_patch_nums in config.json "
                  "must list them",
                  levels, positions, c->scales_given ? "config.json" : "the published model", c->n_scales,
                  m->n_positions);
    if (l->err->status == STATUS_OK && (int64_t)positions * m->decoder.width > INT_MAX)
        error_set(l->err, STATUS_BAD_FILE, "tensor vargpt_gen.pos_1LC: %d positions of width %d are too many",
                  positions, m->decoder.width);
}

void load_drawing(struct loader *l, struct model *m)
{
    struct image_decoder *d = &m->decoder;
    int hidden = m->config.llm.hidden;
    derive_sizes(l, d);
    check_scales(l, m);
    load_cond(l, m);
    if (l->err->status)
        return;
    int c = d->width;
    load_places(l, m);
    d->in1 = load_affine(l, c, c, WITH_BIAS, "image_gen_projector.mlp.0");
    d->in2 = load_affine(l, hidden, c, WITH_BIAS, "image_gen_projector.mlp.2");
    d->out1 = load_affine(l, hidden, hidden, WITH_BIAS, "image_gen_projector_out.mlp.0");
    d->out2 = load_affine(l, c, hidden, WITH_BIAS, "image_gen_projector_out.mlp.2");
    d->word_embed = load_affine(l, c, d->code_width, WITH_BIAS, "vargpt_gen.word_embed");
    d->block = xcalloc((size_t)d->depth, sizeof *d->block);
    for (int i = 0; i < d->depth; i++)
        load_block(l, m, &d->block[i], i);
    float *modulation = read_modulation(l, m, 2, "vargpt_gen.head_nm.ada_lin.1"); /* s, b */
    if (modulation)
        d->head_norm = folded_norm(l, modulation, modulation + c, c);
    free(modulation);
    d->head = load_affine(l, d->n_codes, c, WITH_BIAS, "vargpt_gen.head");
    load_vae(l, m);
}
