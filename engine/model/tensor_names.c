#include "engine/model/checkpoint_parts.h"

#include <stdio.h>
#include <string.h>

bool tensor_name_is_sane(const char *name, size_t length)
{
    if (length == 0 || length > TENSOR_NAME_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return true;
}

struct name_rule {
    const char *from, *to;
};

/* Writes to + rest when name is from + rest. */
static bool replace_prefix(const char *name, const struct name_rule *rule, char out[CANONICAL_NAME_SIZE])
{
    size_t n = strlen(rule->from);
    if (strncmp(name, rule->from, n) != 0)
        return false;
    snprintf(out, CANONICAL_NAME_SIZE, "%s%s", rule->to, name + n);
    return true;
}

/* The prefixes of newer libraries, by the first rule that fits. */
static void replace_hf_prefix(const char *name, char out[CANONICAL_NAME_SIZE])
{
    /* "model." last: what it holds in a text-only checkpoint */
    static const struct name_rule rules[] = {
        {"lm_head.", "language_model.lm_head."},
        {"model.language_model.", "language_model.model."},
        {"model.vision_tower.", "vision_tower."},
        {"model.multi_modal_projector.", "multi_modal_projector."},
        {"model.image_gen_projector.", "image_gen_projector."},
        {"model.image_gen_projector_out.", "image_gen_projector_out."},
        {"model.vargpt_gen.", "vargpt_gen."},
        {"model.vae_local.", "vae_local."},
        {"model.", "language_model.model."},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (replace_prefix(name, &rules[i], out))
            return;
    }
    snprintf(out, CANONICAL_NAME_SIZE, "%s", name);
}

void canonical_name_from_hf(const char *name, char out[CANONICAL_NAME_SIZE])
{
    /* transformers 5 saves the vision tower without its inner "vision_model." */
    static const struct name_rule inner[] = {
        {"vision_tower.embeddings.", "vision_tower.vision_model.embeddings."},
        {"vision_tower.pre_layrnorm.", "vision_tower.vision_model.pre_layrnorm."},
        {"vision_tower.encoder.", "vision_tower.vision_model.encoder."},
        {"vision_tower.post_layernorm.", "vision_tower.vision_model.post_layernorm."},
    };
    char outer[CANONICAL_NAME_SIZE];
    replace_hf_prefix(name, outer);
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
        if (replace_prefix(outer, &inner[i], out))
            return;
    }
    snprintf(out, CANONICAL_NAME_SIZE, "%s", outer);
}

/* The length of a decimal number without leading zeros at the start of text; 0 when there is none. */
static size_t plain_number_length(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n > 1 && text[0] == '0' ? 0 : n;
}

void canonical_name_from_gguf(const char *name, char out[CANONICAL_NAME_SIZE])
{
    static const struct name_rule whole[] = {
        {"token_embd.", "language_model.model.embed_tokens."},
        {"output_norm.", "language_model.model.norm."},
        {"output.", "language_model.lm_head."},
    };
    static const struct name_rule in_layer[] = {
        {"attn_norm.", "input_layernorm."}, {"ffn_norm.", "post_attention_layernorm."},
        {"attn_q.", "self_attn.q_proj."},   {"attn_k.", "self_attn.k_proj."},
        {"attn_v.", "self_attn.v_proj."},   {"attn_output.", "self_attn.o_proj."},
        {"ffn_gate.", "mlp.gate_proj."},    {"ffn_up.", "mlp.up_proj."},
        {"ffn_down.", "mlp.down_proj."},
    };
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        if (replace_prefix(name, &whole[i], out))
            return;
    }
    if (strncmp(name, "blk.", 4) == 0) {
        size_t digits = plain_number_length(name + 4);
        const char *rest = name + 4 + digits;
        for (size_t i = 0; digits && *rest == '.' && i < sizeof in_layer / sizeof *in_layer; i++) {
            const struct name_rule *rule = &in_layer[i];
            size_t n = strlen(rule->from);
            if (strncmp(rest + 1, rule->from, n) != 0)
                continue;
            snprintf(out, CANONICAL_NAME_SIZE, "language_model.model.layers.%.*s.%s%s", (int)digits, name + 4,
                     rule->to, rest + 1 + n);
            return;
        }
    }
    snprintf(out, CANONICAL_NAME_SIZE, "%s", name);
}
