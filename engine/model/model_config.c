#include "engine/model/checkpoint_parts.h"
#include "engine/model/json_fields.h"
#include "engine/model/model_config_parts.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int published_scales[] = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
enum { PUBLISHED_SCALES = sizeof published_scales / sizeof *published_scales };

static bool text_is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

/* A key that changes results and is not implemented must have the value that changes nothing. */
static void refuse_unless(const struct json_fields *f, const char *key, bool harmless)
{
    if (field_get(f, key) && !harmless)
        field_fail(f, key, "has a value that is not supported");
}

static void refuse_if_set(const struct json_fields *f, const char *key)
{
    if (field_get(f, key))
        field_fail(f, key, "is not supported");
}

/* --- the language model --- */

static void read_rope_scaling(struct rope_config *rope, const struct json_fields *f, int context)
{
    const char *type = field_text(f, "rope_type", field_text(f, "type", "default"));
    refuse_unless(f, "partial_rotary_factor", field_real(f, "partial_rotary_factor", 1, 0, 1) == 1);
    rope->theta = (float)field_real(f, "rope_theta", rope->theta, 1, 1e12);
    if (text_is(type, "default"))
        return;
    rope->factor = (float)field_real(f, "factor", 1, 1e-3, 1e6);
    if (text_is(type, "linear")) {
        rope->scaling = ROPE_SCALING_LINEAR;
    } else if (text_is(type, "llama3")) {
        rope->scaling = ROPE_SCALING_LLAMA3;
        rope->low_freq_factor = (float)field_real(f, "low_freq_factor", 1, 1e-3, 1e6);
        rope->high_freq_factor = (float)field_real(f, "high_freq_factor", 4, 1e-3, 1e6);
        rope->original_context =
            (int)field_int(f, "original_max_position_embeddings", context, 1, MAX_CONTEXT);
        if (rope->high_freq_factor <= rope->low_freq_factor)
            field_fail(f, "high_freq_factor", "must be above low_freq_factor");
    } else {
        field_fail(f, "rope_type", "\"%.40s\" is not supported (default, linear and llama3 are)", type);
    }
}

static void read_llm(struct llm_config *c, const struct json_fields *f)
{
    const char *model_type = field_text(f, "model_type", "llama");
    if (!text_is(model_type, "llama"))
        field_fail(f, "model_type", "\"%.40s\" is not supported (llama is)", model_type);
    c->hidden = (int)field_int(f, "hidden_size", 4096, 1, MAX_WIDTH);
    c->intermediate = (int)field_int(f, "intermediate_size", 11008, 1, MAX_WIDTH * 8);
    c->layers = (int)field_int(f, "num_hidden_layers", 32, 1, MAX_LAYERS);
    c->heads = (int)field_int(f, "num_attention_heads", 32, 1, MAX_WIDTH);
    c->kv_heads = (int)field_int(f, "num_key_value_heads", c->heads, 1, MAX_WIDTH);
    c->head_dim = (int)field_int(f, "head_dim", c->hidden / c->heads, 1, MAX_WIDTH);
    c->vocab = (int)field_int(f, "vocab_size", 32000, 1, MAX_VOCAB);
    c->context = (int)field_int(f, "max_position_embeddings", 2048, 1, MAX_CONTEXT);
    c->norm_eps = (float)field_real(f, "rms_norm_eps", 1e-6, 0, 1);
    c->tied_head = field_bool(f, "tie_word_embeddings", false);
    c->attention_bias = field_bool(f, "attention_bias", false);
    c->mlp_bias = field_bool(f, "mlp_bias", false);
    if (c->heads % c->kv_heads)
        field_fail(f, "num_key_value_heads", "is %d, which does not divide %d heads", c->kv_heads, c->heads);
    if (c->head_dim % 2)
        field_fail(f, "head_dim", "is %d, must be even", c->head_dim);
    if ((int64_t)c->heads * c->head_dim > MAX_WIDTH)
        field_fail(f, "head_dim", "is %d, too large for %d heads", c->head_dim, c->heads);
    const char *act = field_text(f, "hidden_act", "silu");
    if (!text_is(act, "silu") && !text_is(act, "swish"))
        field_fail(f, "hidden_act", "\"%.40s\" is not supported (silu is)", act);

    c->rope.theta = (float)field_real(f, "rope_theta", 10000, 1, 1e12);
    struct json_fields scaling = field_object(f, "rope_scaling", "config.json: rope_scaling");
    struct json_fields parameters = field_object(f, "rope_parameters", "config.json: rope_parameters");
    read_rope_scaling(&c->rope, scaling.object ? &scaling : &parameters, c->context);

    refuse_unless(f, "partial_rotary_factor", field_real(f, "partial_rotary_factor", 1, 0, 1) == 1);
    refuse_if_set(f, "sliding_window");
    refuse_if_set(f, "quantization_config");
    refuse_if_set(f, "num_experts");
    refuse_if_set(f, "num_local_experts");
}

/* --- the eye --- */

static bool parse_activation(const char *name, enum activation *out)
{
    static const struct {
        const char *name;
        enum activation act;
    } table[] = {
        {"quick_gelu", ACT_QUICK_GELU},
        {"gelu", ACT_GELU},
        {"gelu_python", ACT_GELU},
        {"gelu_new", ACT_GELU_TANH},
        {"gelu_fast", ACT_GELU_TANH},
        {"gelu_pytorch_tanh", ACT_GELU_TANH},
        {"silu", ACT_SILU},
        {"swish", ACT_SILU},
    };
    for (size_t i = 0; name && i < sizeof table / sizeof *table; i++) {
        if (strcmp(name, table[i].name) == 0) {
            *out = table[i].act;
            return true;
        }
    }
    return false;
}

static void read_activation(const struct json_fields *f, const char *key, const char *fallback,
                            enum activation *out)
{
    const char *name = field_text(f, key, fallback);
    if (!parse_activation(name, out))
        field_fail(f, key, "\"%.40s\" is not supported", name);
}

/* A number, or a list of one; of several the reference would lay the features side by side. */
static void read_feature_layer(struct vision_config *c, const struct json_fields *top)
{
    const json_t *value = field_get(top, "vision_feature_layer"), *only = json_array_get(value, 0);
    int64_t layer = -2;
    if (json_is_array(value) && (json_array_size(value) != 1 || !json_is_integer(only)))
        field_fail(top, "vision_feature_layer", "as a list of several is not supported");
    else
        layer =
            only ? json_integer_value(only) : field_int(top, "vision_feature_layer", -2, INT_MIN, INT_MAX);
    if (layer < -c->layers - 1 || layer > c->layers)
        field_fail(top, "vision_feature_layer", "is %lld, but the vision tower has %d layers",
                   (long long)layer, c->layers);
    else
        c->run_layers =
            (int)(layer < 0 ? c->layers + 1 + layer : layer); /* hidden state 0 is the embeddings */
}

static void read_vision(struct vision_config *c, const struct json_fields *f, const struct json_fields *top)
{
    const char *model_type = field_text(f, "model_type", "clip_vision_model");
    if (!text_is(model_type, "clip_vision_model"))
        field_fail(f, "model_type", "\"%.40s\" is not supported (clip_vision_model is)", model_type);
    c->hidden = (int)field_int(f, "hidden_size", 768, 1, MAX_WIDTH);
    c->intermediate = (int)field_int(f, "intermediate_size", 3072, 1, MAX_WIDTH * 8);
    c->layers = (int)field_int(f, "num_hidden_layers", 12, 1, MAX_LAYERS);
    c->heads = (int)field_int(f, "num_attention_heads", 12, 1, MAX_WIDTH);
    c->image_size = (int)field_int(f, "image_size", 224, 1, MAX_PICTURE_SIDE);
    c->patch_size = (int)field_int(f, "patch_size", 32, 1, MAX_PICTURE_SIDE);
    c->norm_eps = (float)field_real(f, "layer_norm_eps", 1e-5, 0, 1);
    if (c->hidden % c->heads)
        field_fail(f, "num_attention_heads", "is %d, which does not divide a width of %d", c->heads,
                   c->hidden);
    if (c->patch_size > c->image_size)
        field_fail(f, "patch_size", "is larger than image_size");
    int64_t side = c->image_size / c->patch_size;
    if ((side * side + 1) * c->hidden > INT_MAX)
        field_fail(f, "patch_size", "is %d: too many patches of width %d", c->patch_size, c->hidden);
    if (field_int(f, "num_channels", 3, 1, 64) != 3)
        field_fail(f, "num_channels", "must be 3");
    read_activation(f, "hidden_act", "quick_gelu", &c->activation);
    read_activation(top, "projector_hidden_act", "gelu", &c->projector_activation);

    read_feature_layer(c, top);
    const char *strategy = field_text(top, "vision_feature_select_strategy", "default");
    c->keep_class_row = text_is(strategy, "full");
    if (!c->keep_class_row && !text_is(strategy, "default"))
        field_fail(top, "vision_feature_select_strategy", "\"%.40s\" is not supported", strategy);
    c->projector_bias = field_bool(top, "multimodal_projector_bias", true);
}

/* {"height": h, "width": w} or one number for both. */
static void read_size(const struct json_fields *f, const char *key, int fallback, int *height, int *width)
{
    *height = *width = fallback;
    const json_t *value = field_get(f, key);
    if (json_is_integer(value)) {
        *height = *width = (int)field_int(f, key, fallback, 1, MAX_PICTURE_SIDE);
        return;
    }
    struct json_fields size = field_object(f, key, "preprocessor_config.json: size");
    *height = (int)field_int(&size, "height", fallback, 1, MAX_PICTURE_SIDE);
    *width = (int)field_int(&size, "width", fallback, 1, MAX_PICTURE_SIDE);
}

static void read_three(const struct json_fields *f, const char *key, const float fallback[3], bool divisor,
                       float out[3])
{
    const json_t *list = field_get(f, key);
    memcpy(out, fallback, 3 * sizeof *out);
    if (!list)
        return;
    if (json_array_size(list) != 3) {
        field_fail(f, key, "must be three numbers");
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        const json_t *item = json_array_get(list, i);
        out[i] = (float)json_number_value(item);
        if (!json_is_number(item) || !isfinite(out[i]) || (divisor && out[i] == 0))
            field_fail(f, key, "must be three %s", divisor ? "numbers other than 0" : "numbers");
    }
}

static void read_preprocess(struct vision_preprocess *p, const struct json_fields *f, int image_size)
{
    static const float clip_mean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
    static const float clip_std[3] = {0.26862954f, 0.26130258f, 0.27577711f};
    p->resize = field_bool(f, "do_resize", true);
    p->center_crop = field_bool(f, "do_center_crop", true);
    p->rescale = field_bool(f, "do_rescale", true);
    p->normalize = field_bool(f, "do_normalize", true);
    p->rescale_factor = field_real(f, "rescale_factor", 1 / 255.0, 1e-9, 1e9);
    p->resample =
        (enum resample)field_int(f, "resample", RESAMPLE_BICUBIC, RESAMPLE_NEAREST, RESAMPLE_BICUBIC);
    read_three(f, "image_mean", clip_mean, false, p->mean);
    read_three(f, "image_std", clip_std, true, p->std);
    read_size(f, "crop_size", image_size, &p->crop_height, &p->crop_width);
    const json_t *size = field_get(f, "size");
    if (json_is_object(size) && json_object_get(size, "height")) {
        read_size(f, "size", image_size, &p->resize_height, &p->resize_width);
    } else if (json_is_object(size)) {
        struct json_fields inner = field_object(f, "size", "preprocessor_config.json: size");
        p->shortest_edge = (int)field_int(&inner, "shortest_edge", image_size, 1, MAX_PICTURE_SIDE);
        refuse_if_set(&inner, "longest_edge");
    } else {
        p->shortest_edge = (int)field_int(f, "size", image_size, 1, MAX_PICTURE_SIDE);
    }
    if (p->crop_height != image_size || p->crop_width != image_size)
        field_fail(f, "crop_size", "is %d x %d, but the vision tower takes %d x %d", p->crop_width,
                   p->crop_height, image_size, image_size);
    if (!p->center_crop && (p->resize_height != image_size || p->resize_width != image_size))
        field_fail(f, "do_center_crop", "may be off only where size is that of the vision tower");
}

/* --- drawing --- */

static void read_scales(struct drawing_config *d, const struct json_fields *f)
{
    const json_t *list = field_get(f, "var_patch_nums");
    d->n_scales = PUBLISHED_SCALES;
    memcpy(d->scale, published_scales, sizeof published_scales);
    d->scales_given = list != NULL;
    if (!list)
        return;
    if (!json_is_array(list) || json_array_size(list) < 1 || json_array_size(list) > MAX_SCALES) {
        field_fail(f, "var_patch_nums", "must be a list of 1 to %d sizes", MAX_SCALES);
        return;
    }
    d->n_scales = (int)json_array_size(list);
    for (int i = 0; i < d->n_scales; i++) {
        json_int_t p = json_integer_value(json_array_get(list, (size_t)i));
        if (i == 0 ? p != 1 : p <= d->scale[i - 1] || p > MAX_SCALE_SIDE) {
            field_fail(f, "var_patch_nums", "must be rising sizes from 1, the first, to %d", MAX_SCALE_SIDE);
            return;
        }
        d->scale[i] = (int)p;
    }
}

static int32_t read_special(const struct json_fields *special, const char *key, int vocab)
{
    if (!field_get(special, key))
        field_fail(special, key, "is missing: it says which token starts, fills or ends a picture");
    return (int32_t)field_int(special, key, -1, 0, vocab - 1);
}

static void read_drawing(struct drawing_config *d, const struct json_fields *f, int vocab)
{
    struct json_fields special = field_object(f, "special_tokens", "config.json: special_tokens");
    read_scales(d, f);
    d->norm_groups = (int)field_int(f, "vae_norm_groups", 32, 1, MAX_WIDTH);
    d->start_id = read_special(&special, "image_gen_start_token_id", vocab);
    d->end_id = read_special(&special, "image_gen_end_token_id", vocab);
    d->pad_id = read_special(&special, "image_gen_pad_token_id", vocab);
}

/* --- the whole --- */

void model_config_add_end(struct model_config *c, int64_t id)
{
    if (id < 0 || id >= c->llm.vocab || c->n_end_ids == MAX_END_IDS)
        return;
    for (int i = 0; i < c->n_end_ids; i++) {
        if (c->end_id[i] == id)
            return;
    }
    c->end_id[c->n_end_ids++] = (int32_t)id;
}

/* A number or a list of them. */
static void read_end_ids(struct model_config *c, const struct json_fields *f)
{
    const json_t *value = field_get(f, "eos_token_id");
    if (json_is_integer(value))
        model_config_add_end(c, json_integer_value(value));
    size_t i;
    const json_t *item;
    json_array_foreach(value, i, item)
    {
        if (json_is_integer(item))
            model_config_add_end(c, json_integer_value(item));
    }
}

/* A key of this server's own: how small models draw best depends on the model. */
static void read_image_generation(struct drawing_config *d, const struct json_fields *f)
{
    struct json_fields own = field_object(f, "image_generation", "generation_config.json: image_generation");
    d->guidance = (float)field_real(&own, "guidance_scale", d->guidance, 0, 20);
    d->filter.temperature = (float)field_real(&own, "temperature", d->filter.temperature, 0, 10);
    d->filter.top_p = (float)field_real(&own, "top_p", d->filter.top_p, 1e-6, 1);
    d->filter.top_k = (int)field_int(&own, "top_k", d->filter.top_k, 0, INT32_MAX);
}

static void read_generation(struct model_config *c, const struct json_fields *f)
{
    read_end_ids(c, f);
    read_image_generation(&c->drawing, f);
    if (c->bos_id < 0)
        c->bos_id = (int32_t)field_int(f, "bos_token_id", -1, -1, MAX_VOCAB);
    if (!field_bool(f, "do_sample", false))
        return;
    c->temperature = (float)field_real(f, "temperature", 1, 0, 100);
    c->top_p = (float)field_real(f, "top_p", 1, 0, 1);
    c->top_k = (int)field_int(f, "top_k", 0, 0, MAX_VOCAB);
}

static void name_from_path(struct model_config *c, const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    const char *begin = path + n;
    while (begin > path && begin[-1] != '/')
        begin--;
    size_t length = n - (size_t)(begin - path);
    if (length > 5 && strncmp(begin + length - 5, ".gguf", 5) == 0)
        length -= 5;
    snprintf(c->name, sizeof c->name, "%.*s", (int)(length > 100 ? 100 : length), length ? begin : "model");
}

/* A side file's object in *out (NULL when the file does not exist). */
static enum status read_side_file(const struct checkpoint *ck, const char *name, json_t **out,
                                  struct error *err)
{
    size_t length;
    *out = NULL;
    char *text = checkpoint_read_file(ck, name, &length, err);
    if (!text)
        return err->status;
    *out = json_object_read(text, length, name, err);
    free(text);
    return *out ? STATUS_OK : err->status;
}

static enum status read_model_kind(struct model_config *c, const struct json_fields *f)
{
    const char *type = field_text(f, "model_type", "");
    if (text_is(type, "vargpt_llava"))
        c->kind = MODEL_VARGPT;
    else if (text_is(type, "llava"))
        c->kind = MODEL_LLAVA;
    else if (text_is(type, "llama"))
        c->kind = MODEL_LLAMA;
    else
        field_fail(f, "model_type", "\"%.40s\" is not supported (vargpt_llava, llava and llama are)", type);
    return f->err->status;
}

static enum status read_config_json(struct model_config *c, const json_t *json, struct error *err)
{
    struct json_fields f = {json, "config.json", err};
    if (read_model_kind(c, &f))
        return err->status;
    struct json_fields text = field_object(&f, "text_config", "config.json: text_config");
    read_llm(&c->llm, c->kind == MODEL_LLAMA ? &f : &text);
    refuse_if_set(&f, "quantization_config");
    c->bos_id = (int32_t)field_int(c->kind == MODEL_LLAMA ? &f : &text, "bos_token_id", -1, -1, MAX_VOCAB);
    read_end_ids(c, &f);
    read_end_ids(c, &text);
    if (c->kind == MODEL_LLAMA)
        return err->status;
    struct json_fields vision = field_object(&f, "vision_config", "config.json: vision_config");
    read_vision(&c->vision, &vision, &f);
    c->llm.tied_head = c->llm.tied_head || field_bool(&f, "tie_word_embeddings", false);
    const char *key = field_get(&f, "image_token_index") ? "image_token_index" : "image_token_id";
    c->image_id = (int32_t)field_int(&f, key, 32000, 0, c->llm.vocab - 1);
    if (c->image_id >= c->llm.vocab)
        field_fail(&f, key, "is missing, and 32000 is not one of the %d tokens", c->llm.vocab);
    if (c->kind == MODEL_VARGPT) {
        if (field_int(&f, "hidden_size", c->llm.hidden, 1, MAX_WIDTH) != c->llm.hidden &&
            field_get(&text, "hidden_size"))
            field_fail(&f, "hidden_size", "is not that of text_config");
        read_drawing(&c->drawing, &f, c->llm.vocab);
    }
    return err->status;
}

static enum status read_folder(struct model_config *c, const struct checkpoint *ck, struct error *err)
{
    json_t *config = NULL, *generation = NULL, *preprocessor = NULL, *processor = NULL;
    enum status status = read_side_file(ck, "config.json", &config, err);
    if (status == STATUS_OK && !config)
        status = error_set(err, STATUS_BAD_FILE, "%.150s: holds no config.json", checkpoint_path(ck));
    if (status || (status = read_config_json(c, config, err)))
        goto out;
    if ((status = read_side_file(ck, "generation_config.json", &generation, err)))
        goto out;
    struct json_fields f = {generation, "generation_config.json", err};
    read_generation(c, &f);
    if (c->kind != MODEL_LLAMA && err->status == STATUS_OK) {
        if ((status = read_side_file(ck, "preprocessor_config.json", &preprocessor, err)))
            goto out;
        if (!preprocessor && (status = read_side_file(ck, "processor_config.json", &processor, err)))
            goto out;
        struct json_fields p = {preprocessor, "preprocessor_config.json", err};
        struct json_fields whole = {processor, "processor_config.json", err};
        if (processor) /* where transformers 5 saves it */
            p = field_object(&whole, "image_processor", "processor_config.json: image_processor");
        read_preprocess(&c->vision.preprocess, &p, c->vision.image_size);
    }
    status = err->status;
out:
    json_decref(config);
    json_decref(generation);
    json_decref(preprocessor);
    json_decref(processor);
    return status;
}

enum status model_config_read(struct model_config *out, const struct checkpoint *ck, struct error *err)
{
    struct error own = {0};
    struct model_config c = {
        .image_id = -1,
        .bos_id = -1,
        .temperature = 1,
        .top_p = 1,
        .drawing = {.guidance = 1.5f, .filter = {.temperature = 1, .top_k = 900, .top_p = 0.96f}},
    };
    name_from_path(&c, checkpoint_path(ck));
    enum status status =
        checkpoint_is_gguf(ck) ? model_config_read_gguf(&c, ck, &own) : read_folder(&c, ck, &own);
    if (status) {
        if (err)
            *err = own;
        return status;
    }
    *out = c;
    return STATUS_OK;
}
