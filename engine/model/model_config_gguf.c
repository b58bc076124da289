/* The configuration of a GGUF file, from its metadata. */
#include "engine/model/model_config_parts.h"

#include <string.h>

static bool text_is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

static int gguf_size(const struct checkpoint *ck, const char *key, int64_t fallback, int64_t high,
                     struct error *err)
{
    int64_t value = fallback;
    if (checkpoint_gguf_has(ck, key) && !checkpoint_gguf_int(ck, key, &value) && err->status == STATUS_OK)
        error_set(err, STATUS_BAD_FILE, "%.100s: %s is not an integer", checkpoint_path(ck), key);
    if (err->status == STATUS_OK && (value < 1 || value > high))
        error_set(err, STATUS_BAD_FILE, "%.100s: %s is %s, must be 1 to %lld", checkpoint_path(ck), key,
                  checkpoint_gguf_has(ck, key) ? "out of range" : "missing", (long long)high);
    return err->status == STATUS_OK ? (int)value : 1;
}

static void read_gguf_rope(struct llm_config *c, const struct checkpoint *ck, struct error *err)
{
    double value;
    c->rope.theta = checkpoint_gguf_float(ck, "llama.rope.freq_base", &value) ? (float)value : 10000;
    const char *scaling = checkpoint_gguf_string(ck, "llama.rope.scaling.type");
    if (text_is(scaling, "linear") && checkpoint_gguf_float(ck, "llama.rope.scaling.factor", &value)) {
        c->rope.scaling = ROPE_SCALING_LINEAR;
        c->rope.factor = (float)value;
    } else if (scaling && !text_is(scaling, "none") && err->status == STATUS_OK) {
        error_set(err, STATUS_BAD_FILE, "%.100s: llama.rope.scaling.type \"%.40s\" is not supported",
                  checkpoint_path(ck), scaling);
    }
    if (!(c->rope.theta >= 1) || (c->rope.scaling && !(c->rope.factor > 0)))
        error_set(err, STATUS_BAD_FILE, "%.100s: its rotary base or factor is out of range",
                  checkpoint_path(ck));
}

enum status model_config_read_gguf(struct model_config *c, const struct checkpoint *ck, struct error *err)
{
    struct llm_config *l = &c->llm;
    const char *architecture = checkpoint_gguf_string(ck, "general.architecture");
    if (!text_is(architecture, "llama"))
        return error_set(err, STATUS_BAD_FILE, "%.100s: architecture \"%.40s\" is not supported (llama is)",
                         checkpoint_path(ck), architecture ? architecture : "");
    const struct checkpoint_tensor *embedding =
        checkpoint_find(ck, "language_model.model.embed_tokens.weight");
    c->kind = MODEL_LLAMA;
    l->hidden = gguf_size(ck, "llama.embedding_length", 0, MAX_WIDTH, err);
    l->intermediate = gguf_size(ck, "llama.feed_forward_length", 0, MAX_WIDTH * 8, err);
    l->layers = gguf_size(ck, "llama.block_count", 0, MAX_LAYERS, err);
    l->heads = gguf_size(ck, "llama.attention.head_count", 0, MAX_WIDTH, err);
    l->kv_heads = gguf_size(ck, "llama.attention.head_count_kv", l->heads, MAX_WIDTH, err);
    l->head_dim = gguf_size(ck, "llama.attention.key_length", l->hidden / l->heads, MAX_WIDTH, err);
    l->context = gguf_size(ck, "llama.context_length", 2048, MAX_CONTEXT, err);
    l->vocab = embedding && embedding->n_dims == 2 && embedding->shape[0] <= MAX_VOCAB
                   ? (int)embedding->shape[0]
                   : 1;
    l->tied_head = !checkpoint_find(ck, "language_model.lm_head.weight");
    l->attention_bias = checkpoint_find(ck, "language_model.model.layers.0.self_attn.q_proj.bias") != NULL;
    double eps;
    l->norm_eps =
        checkpoint_gguf_float(ck, "llama.attention.layer_norm_rms_epsilon", &eps) ? (float)eps : 1e-5f;
    if (err->status == STATUS_OK && !(l->norm_eps >= 0 && l->norm_eps <= 1))
        error_set(err, STATUS_BAD_FILE, "%.100s: llama.attention.layer_norm_rms_epsilon is out of range",
                  checkpoint_path(ck));
    if (err->status == STATUS_OK &&
        (l->heads % l->kv_heads || l->head_dim % 2 || l->heads * (int64_t)l->head_dim > MAX_WIDTH))
        error_set(err, STATUS_BAD_FILE,
                  "%.100s: %d heads, %d key/value heads of %d values do not fit together",
                  checkpoint_path(ck), l->heads, l->kv_heads, l->head_dim);
    if (err->status == STATUS_OK &&
        gguf_size(ck, "llama.rope.dimension_count", l->head_dim, MAX_WIDTH, err) != l->head_dim)
        error_set(err, STATUS_BAD_FILE, "%.100s: llama.rope.dimension_count must be the head size %d",
                  checkpoint_path(ck), l->head_dim);
    if (checkpoint_gguf_has(ck, "llama.expert_count"))
        error_set(err, STATUS_BAD_FILE, "%.100s: llama.expert_count: mixtures of experts are not supported",
                  checkpoint_path(ck));
    read_gguf_rope(l, ck, err);
    int64_t id;
    c->bos_id =
        checkpoint_gguf_int(ck, "tokenizer.ggml.bos_token_id", &id) && id < l->vocab ? (int32_t)id : -1;
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (checkpoint_gguf_int(ck, ends[i], &id))
            model_config_add_end(c, id);
    }
    return err->status;
}
