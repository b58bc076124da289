#include "engine/model/drawing.h"
#include "engine/model/weights.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the language model --- */

/* The file's own way to stretch them (docs/model.md, section 4), in float like the reference. */
static void scale_frequencies(float *inv_freq, int n, const struct rope_config *r)
{
    const float two_pi = 6.283185307179586f;
    float longest = (float)r->original_context / r->low_freq_factor;
    float shortest = (float)r->original_context / r->high_freq_factor;
    for (int i = 0; i < n; i++) {
        if (r->scaling == ROPE_SCALING_LINEAR)
            inv_freq[i] /= r->factor;
        if (r->scaling != ROPE_SCALING_LLAMA3)
            continue;
        float wavelength = two_pi / inv_freq[i];
        if (wavelength > longest) {
            inv_freq[i] /= r->factor;
        } else if (wavelength >= shortest) {
            float smooth = ((float)r->original_context / wavelength - r->low_freq_factor) /
                           (r->high_freq_factor - r->low_freq_factor);
            inv_freq[i] = (1 - smooth) * inv_freq[i] / r->factor + smooth * inv_freq[i];
        }
    }
}

/* Angles per position. In float, step by step like the reference: rounding a frequency otherwise would turn
 * the pairs at position 4000 by some 1e-4. */
static float *load_frequencies(struct loader *l, const struct llm_config *c)
{
    int n = c->head_dim / 2;
    float *inv_freq = xcalloc((size_t)n, sizeof *inv_freq);
    for (int i = 0; i < n; i++)
        inv_freq[i] = 1.0f / powf(c->rope.theta, (float)(2 * i) / (float)c->head_dim);
    scale_frequencies(inv_freq, n, &c->rope);
    if (find_optional(l, "rope_freqs.weight")) { /* GGUF: a divisor for each */
        float *divisor = read_floats(l, n, "rope_freqs.weight");
        for (int i = 0; divisor && i < n; i++)
            inv_freq[i] /= divisor[i];
        free(divisor);
    }
    float *kept = keep_floats(l, inv_freq, (size_t)n);
    free(inv_freq);
    return kept;
}

static void load_llm_layer(struct loader *l, const struct llm_config *c, struct llm_layer *y, int i)
{
    char at[64];
    int q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    enum bias attention = c->attention_bias ? WITH_BIAS : NO_BIAS, mlp = c->mlp_bias ? WITH_BIAS : NO_BIAS;
    snprintf(at, sizeof at, "language_model.model.layers.%d", i);
    bool out_bias = c->attention_bias &&
                    checkpoint_find(l->checkpoint, "language_model.model.layers.0.self_attn.o_proj.bias");
    y->attention_norm = load_vector(l, c->hidden, "%s.input_layernorm.weight", at);
    y->mlp_norm = load_vector(l, c->hidden, "%s.post_attention_layernorm.weight", at);
    y->q = load_layer(l, q, c->hidden, attention, "%s.self_attn.q_proj", at);
    y->k = load_layer(l, kv, c->hidden, attention, "%s.self_attn.k_proj", at);
    y->v = load_layer(l, kv, c->hidden, attention, "%s.self_attn.v_proj", at);
    y->out = load_layer(l, c->hidden, q, out_bias ? WITH_BIAS : NO_BIAS, "%s.self_attn.o_proj", at);
    y->gate = load_layer(l, c->intermediate, c->hidden, mlp, "%s.mlp.gate_proj", at);
    y->up = load_layer(l, c->intermediate, c->hidden, mlp, "%s.mlp.up_proj", at);
    y->down = load_layer(l, c->hidden, c->intermediate, mlp, "%s.mlp.down_proj", at);
}

static void load_llm(struct loader *l, struct model *m)
{
    const struct llm_config *c = &m->config.llm;
    m->llm.layer = xcalloc((size_t)c->layers, sizeof *m->llm.layer);
    m->llm.embedding = load_matrix(l, c->vocab, c->hidden, "language_model.model.embed_tokens.weight");
    for (int i = 0; i < c->layers; i++)
        load_llm_layer(l, c, &m->llm.layer[i], i);
    m->llm.final_norm = load_vector(l, c->hidden, "language_model.model.norm.weight");
    /* tied or not, a head of its own in the file is the one to use, as transformers 5 does */
    bool tied = c->tied_head && !find_optional(l, "language_model.lm_head.weight");
    m->llm.head =
        tied ? m->llm.embedding : load_head(l, c->vocab, c->hidden, "language_model.lm_head.weight");
    m->llm.inv_freq = load_frequencies(l, c);
}

/* --- the eye --- */

static void load_vision_layer(struct loader *l, const struct vision_config *c, struct vision_layer *y, int i)
{
    char at[64];
    snprintf(at, sizeof at, "vision_tower.vision_model.encoder.layers.%d", i);
    y->norm1 = load_norm(l, c->hidden, "%s.layer_norm1", at);
    y->norm2 = load_norm(l, c->hidden, "%s.layer_norm2", at);
    y->q = load_affine(l, c->hidden, c->hidden, WITH_BIAS, "%s.self_attn.q_proj", at);
    y->k = load_affine(l, c->hidden, c->hidden, WITH_BIAS, "%s.self_attn.k_proj", at);
    y->v = load_affine(l, c->hidden, c->hidden, WITH_BIAS, "%s.self_attn.v_proj", at);
    y->out = load_affine(l, c->hidden, c->hidden, WITH_BIAS, "%s.self_attn.out_proj", at);
    y->fc1 = load_affine(l, c->intermediate, c->hidden, WITH_BIAS, "%s.mlp.fc1", at);
    y->fc2 = load_affine(l, c->hidden, c->intermediate, WITH_BIAS, "%s.mlp.fc2", at);
}

/* The class row never changes: its embedding and its position are added here, once. */
static void load_positions(struct loader *l, const struct vision_config *c, struct vision *v)
{
    int n = v->patches;
    float *class_row = read_floats(l, c->hidden, "vision_tower.vision_model.embeddings.class_embedding");
    float *position =
        read_floats(l, (n + 1) * c->hidden, "vision_tower.vision_model.embeddings.position_embedding.weight");
    if (class_row && position) {
        for (int i = 0; i < c->hidden; i++)
            class_row[i] += position[i];
        v->class_row = keep_floats(l, class_row, (size_t)c->hidden);
        v->position = keep_floats(l, position + c->hidden, (size_t)n * (size_t)c->hidden);
    }
    free(class_row);
    free(position);
}

static void load_vision(struct loader *l, struct model *m)
{
    const struct vision_config *c = &m->config.vision;
    struct vision *v = &m->vision;
    int side = c->image_size / c->patch_size, hidden = m->config.llm.hidden;
    v->patches = side * side;
    v->layer = xcalloc((size_t)c->run_layers + 1, sizeof *v->layer);
    v->patch = load_matrix(l, c->hidden, 3 * c->patch_size * c->patch_size,
                           "vision_tower.vision_model.embeddings.patch_embedding.weight");
    load_positions(l, c, v);
    v->pre_norm = load_norm(l, c->hidden, "vision_tower.vision_model.pre_layrnorm");
    for (int i = 0; i < c->run_layers; i++)
        load_vision_layer(l, c, &v->layer[i], i);
    enum bias bias = c->projector_bias ? WITH_BIAS : NO_BIAS;
    v->projector1 = load_affine(l, hidden, c->hidden, bias, "multi_modal_projector.linear_1");
    v->projector2 = load_affine(l, hidden, hidden, bias, "multi_modal_projector.linear_2");
}

/* --- the whole --- */

static bool contains_any(const char *name, const char *const *part, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strstr(name, part[i]))
            return true;
    }
    return false;
}

/* Tensors that published checkpoints carry and inference does not use (docs/model.md, section 1). */
static bool ignored(const struct model *m, const char *name)
{
    static const char *const always[] = {
        ".rotary_emb.inv_freq", "vision_model.post_layernorm.",     ".ln_q.",
        "vargpt_gen.lvl_1L",    "vargpt_gen.attn_bias_for_masking", ".zero_k_bias",
        "ema_vocab_hit_SV",     ".embeddings.position_ids",
    };
    int layer, end = 0;
    if (sscanf(name, "vision_tower.vision_model.encoder.layers.%d.%n", &layer, &end) == 1 && end)
        return layer >= m->config.vision.run_layers && layer < m->config.vision.layers;
    return contains_any(name, always, sizeof always / sizeof *always);
}

static void load_iota(struct loader *l, struct model *m)
{
    int n = model_sees(m) ? m->vision.patches + 1 : 1, cells = m->vae.attended_cells;
    n = (n > cells ? n : cells) + PAGE_TOKENS;
    int32_t *values = xcalloc((size_t)n, sizeof *values);
    for (int i = 0; i < n; i++)
        values[i] = i;
    m->iota = keep_ints(l, values, (size_t)n);
    free(values);
}

static enum status load_all(struct model *m, enum dtype layers, load_progress *progress, void *context,
                            struct error *err)
{
    struct loader l = {m->be, m->checkpoint, m->weights, err, progress, context, 0, 0, layers};
    for (size_t i = 0; i < checkpoint_count(m->checkpoint); i++)
        l.bytes_total += checkpoint_at(m->checkpoint, i)->bytes;
    load_llm(&l, m);
    if (model_sees(m))
        load_vision(&l, m);
    if (model_draws(m))
        load_drawing(&l, m);
    load_iota(&l, m);
    refuse_unused(&l, ignored, m);
    if (err->status == STATUS_OK)
        m->be->op->finish(m->be, err);
    if (err->status == STATUS_OK && progress)
        progress(context, 1);
    m->weight_bytes = weights_bytes(m->weights);
    return err->status;
}

enum status model_open(struct model **out, struct backend *be, const char *path, enum dtype layers,
                       load_progress *progress, void *context, struct error *err)
{
    struct error own = {0};
    struct model *m = xcalloc(1, sizeof *m);
    *out = NULL;
    m->be = be;
    m->op = be->op;
    m->weights = weights_open(be);
    enum status status = checkpoint_open(&m->checkpoint, path, &own);
    if (status == STATUS_OK)
        status = model_config_read(&m->config, m->checkpoint, &own);
    if (status == STATUS_OK)
        status = load_all(m, layers, progress, context, &own);
    if (status) {
        model_close(m);
        if (err)
            *err = own;
        return status;
    }
    *out = m;
    return STATUS_OK;
}

void model_close(struct model *m)
{
    if (!m)
        return;
    weights_close(m->weights);
    checkpoint_close(m->checkpoint);
    free(m->llm.layer);
    free(m->vision.layer);
    free(m->decoder.block);
    free(m->decoder.cond);
    free(m->vae.phi);
    free(m);
}
