#include "cli/inspection.h"

#include "engine/model/model_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct part {
    const char *name;
    const char *prefix;
};

/* The first prefix that fits names the part. */
static const struct part parts[] = {
    {"vision", "vision_tower."},
    {"projector", "multi_modal_projector."},
    {"llm", "language_model."},
    {"image projectors", "image_gen_projector"},
    {"image decoder", "vargpt_gen."},
    {"vae encoder", "vae_local.encoder."},
    {"vae decoder", "vae_local.decoder."},
    {"vae codebook", "vae_local."},
    {"other", ""},
};
enum { N_PARTS = sizeof parts / sizeof *parts };

struct part_sum {
    json_int_t tensors, parameters, bytes, type_bytes[DTYPE_COUNT];
};

static int part_of(const char *tensor)
{
    int i = 0;
    while (strncmp(tensor, parts[i].prefix, strlen(parts[i].prefix)) != 0)
        i++;
    return i;
}

static json_int_t count_values(const struct checkpoint_tensor *t)
{
    json_int_t n = 1;
    for (int d = 0; d < t->n_dims; d++)
        n *= t->shape[d];
    return n;
}

static json_t *part_json(const char *name, const struct part_sum *sum)
{
    json_t *types = json_object();
    for (int t = 0; t < DTYPE_COUNT; t++) {
        if (sum->type_bytes[t])
            json_object_set_new(types, dtype_name((enum dtype)t), json_integer(sum->type_bytes[t]));
    }
    return json_pack("{s:s, s:I, s:I, s:I, s:o}", "part", name, "tensors", sum->tensors, "parameters",
                     sum->parameters, "bytes", sum->bytes, "types", types);
}

static json_t *describe_parts(const struct checkpoint *c)
{
    struct part_sum sum[N_PARTS] = {0}, total = {0};
    json_t *list = json_array();
    for (size_t i = 0; i < checkpoint_count(c); i++) {
        const struct checkpoint_tensor *t = checkpoint_at(c, i);
        struct part_sum *both[] = {&sum[part_of(t->name)], &total};
        for (int j = 0; j < 2; j++) {
            both[j]->tensors++;
            both[j]->parameters += count_values(t);
            both[j]->bytes += (json_int_t)t->bytes;
            both[j]->type_bytes[t->type] += (json_int_t)t->bytes;
        }
    }
    for (int i = 0; i < N_PARTS; i++) {
        if (sum[i].tensors)
            json_array_append_new(list, part_json(parts[i].name, &sum[i]));
    }
    json_array_append_new(list, part_json("total", &total));
    return list;
}

/* ---- sizes ---- */

static json_t *describe_llm(const struct llm_config *c)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f}", "hidden", c->hidden, "intermediate",
                     c->intermediate, "layers", c->layers, "heads", c->heads, "kv_heads", c->kv_heads,
                     "head_dim", c->head_dim, "vocabulary", c->vocab, "context", c->context, "rope_theta",
                     (double)c->rope.theta);
}

static json_t *describe_vision(const struct vision_config *c)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "image_size", c->image_size, "patch_size",
                     c->patch_size, "hidden", c->hidden, "intermediate", c->intermediate, "layers", c->layers,
                     "heads", c->heads);
}

/* Sizes of the drawing half, from the tensors' shapes; 0 where a tensor is missing. */
struct drawing_sizes {
    int width, depth, codes, code_width, positions, side;
};

static int dimension(const struct checkpoint *c, const char *name, int d)
{
    const struct checkpoint_tensor *t = checkpoint_find(c, name);
    return t && d < t->n_dims ? (int)t->shape[d] : 0;
}

/* How many of PREFIX0SUFFIX, PREFIX1SUFFIX, ... there are. */
static int count_tensors(const struct checkpoint *c, const char *prefix, const char *suffix)
{
    char name[128];
    for (int n = 0;; n++) {
        snprintf(name, sizeof name, "%s%d%s", prefix, n, suffix);
        if (!checkpoint_find(c, name))
            return n;
    }
}

static struct drawing_sizes drawing_sizes(const struct checkpoint *c, const struct drawing_config *d)
{
    struct drawing_sizes s = {
        .width = dimension(c, "vargpt_gen.word_embed.weight", 0),
        .depth = count_tensors(c, "vargpt_gen.blocks.", ".attn.proj.weight"),
        .codes = dimension(c, "vae_local.quantize.embedding.weight", 0),
        .code_width = dimension(c, "vae_local.quantize.embedding.weight", 1),
    };
    int levels = count_tensors(c, "vae_local.decoder.up.", ".block.0.conv1.weight");
    for (int i = 0; i < d->n_scales; i++)
        s.positions += d->scale[i] * d->scale[i];
    if (d->n_scales > 0 && levels > 0)
        s.side = d->scale[d->n_scales - 1] << (levels - 1);
    return s;
}

static json_t *describe_drawing(const struct drawing_config *d, const struct drawing_sizes *s)
{
    json_t *scales = json_array();
    for (int i = 0; i < d->n_scales; i++)
        json_array_append_new(scales, json_integer(d->scale[i]));
    return json_pack("{s:o, s:i, s:i, s:i, s:i, s:i, s:i}", "scales", scales, "positions", s->positions,
                     "side", s->side, "codes", s->codes, "code_width", s->code_width, "width", s->width,
                     "depth", s->depth);
}

/* ---- special tokens ---- */

static void add_token(json_t *list, const struct tokenizer *t, const char *name, int32_t id)
{
    struct buffer text;
    if (id < 0)
        return;
    buffer_init(&text, 256);
    if (t)
        tokenizer_token_bytes(t, id, &text);
    json_t *spelt = json_string(text.data ? text.data : "");
    json_array_append_new(list, json_pack("{s:s, s:i, s:o}", "name", name, "id", (int)id, "text",
                                          spelt ? spelt : json_string("")));
    buffer_release(&text);
}

static void describe_tokens(json_t *root, const struct checkpoint *c, struct model_config *model)
{
    struct model_text text;
    struct error problem = {0};
    bool opened = model_text_open(&text, c, model, &problem) == STATUS_OK;
    const struct tokenizer *t = opened ? text.tokenizer : NULL;
    json_t *list = json_array();
    add_token(list, t, "bos", model->bos_id);
    for (int i = 0; i < model->n_end_ids; i++)
        add_token(list, t, "end", model->end_id[i]);
    if (model->kind != MODEL_LLAMA)
        add_token(list, t, "image", model->image_id);
    if (model->kind == MODEL_VARGPT) {
        add_token(list, t, "image_gen_start", model->drawing.start_id);
        add_token(list, t, "image_gen_end", model->drawing.end_id);
        add_token(list, t, "image_gen_pad", model->drawing.pad_id);
    }
    json_object_set_new(root, "special_tokens", list);
    if (opened)
        model_text_release(&text);
    else
        json_object_set_new(root, "tokenizer_problem", json_string(problem.message));
}

/* ---- memory ---- */

/* Keys and values are float32. A picture takes its positions and two tokens in the LLM's cache, and its
 * positions twice (with and without the prompt) in the image decoder's. */
static json_t *describe_memory(const struct checkpoint *c, const struct model_config *m,
                               const struct drawing_sizes *d)
{
    json_int_t weights = 0, token = 2 * 4 * (json_int_t)m->llm.layers * m->llm.kv_heads * m->llm.head_dim;
    for (size_t i = 0; i < checkpoint_count(c); i++)
        weights += (json_int_t)checkpoint_at(c, i)->bytes;
    json_t *memory = json_pack("{s:I, s:I, s:I}", "weights", weights, "cache_per_token", token,
                               "cache_of_context", token * m->llm.context);
    if (m->kind == MODEL_VARGPT) {
        json_int_t decoder = 2 * 4 * (json_int_t)d->depth * d->width * 2 * d->positions;
        json_object_set_new(memory, "picture", json_integer(decoder + token * (d->positions + 2)));
    }
    return memory;
}

enum status inspection_make(json_t **out, const char *path, struct error *err)
{
    static const char *const kinds[] = {
        [MODEL_LLAMA] = "llama", [MODEL_LLAVA] = "llava", [MODEL_VARGPT] = "vargpt"};
    struct checkpoint *c = NULL;
    struct model_config model;
    enum status status = checkpoint_open(&c, path, err);
    if (status == STATUS_OK)
        status = model_config_read(&model, c, err);
    if (status == STATUS_OK) {
        struct drawing_sizes sizes = {0};
        json_t *root = json_pack("{s:s, s:s, s:s, s:s, s:o}", "path", path, "format",
                                 checkpoint_is_gguf(c) ? "gguf" : "safetensors", "name", model.name, "kind",
                                 kinds[model.kind], "llm", describe_llm(&model.llm));
        if (model.kind != MODEL_LLAMA)
            json_object_set_new(root, "vision", describe_vision(&model.vision));
        if (model.kind == MODEL_VARGPT) {
            sizes = drawing_sizes(c, &model.drawing);
            json_object_set_new(root, "drawing", describe_drawing(&model.drawing, &sizes));
        }
        json_object_set_new(root, "parts", describe_parts(c));
        describe_tokens(root, c, &model);
        json_object_set_new(root, "memory", describe_memory(c, &model, &sizes));
        *out = root;
    }
    checkpoint_close(c);
    return status;
}
