/* What a checkpoint says of itself: config.json, generation_config.json, preprocessor_config.json, or GGUF metadata,
 * checked, with the library's defaults filled in (docs/model.md, "Checkpoint layout"). Sizes of the drawing half are
 * not in any file: weights.c derives them from shapes. */
#ifndef VARGPT_ENGINE_MODEL_MODEL_CONFIG_H
#define VARGPT_ENGINE_MODEL_MODEL_CONFIG_H

#include "base/choice.h"
#include "engine/model/checkpoint.h"
#include "engine/picture/vision_input.h"

enum model_kind {
    MODEL_LLAMA,  /* text only: LlamaForCausalLM, or a GGUF of architecture llama */
    MODEL_LLAVA,  /* text and vision: LlavaForConditionalGeneration */
    MODEL_VARGPT, /* all of it: VARGPTLlavaForConditionalGeneration */
};

enum rope_scaling { ROPE_SCALING_NONE, ROPE_SCALING_LINEAR, ROPE_SCALING_LLAMA3 };

struct rope_config {
    float theta;
    enum rope_scaling scaling;
    float factor, low_freq_factor, high_freq_factor;
    int original_context;
};

struct llm_config {
    int hidden, intermediate, layers, heads, kv_heads, head_dim, vocab;
    int context; /* max_position_embeddings */
    float norm_eps;
    struct rope_config rope;
    bool tied_head; /* where the file has no other */
    bool attention_bias, mlp_bias;
};

struct vision_config {
    int hidden, intermediate, layers, heads, image_size, patch_size;
    float norm_eps;
    enum activation activation, projector_activation;
    int run_layers;      /* how many layers to run so that the last output is the wanted hidden state */
    bool keep_class_row; /* feature strategy "full" */
    bool projector_bias;
    struct vision_preprocess preprocess;
};

enum { MAX_SCALES = 16, MAX_SCALE_SIDE = 64, MAX_END_IDS = 16 };

struct drawing_config {
    int n_scales, scale[MAX_SCALES]; /* var_patch_nums; published: 1 2 3 4 5 6 8 10 13 16 */
    bool scales_given;               /* config.json carries var_patch_nums (else the published list must fit the shapes) */
    int norm_groups;                 /* of the VAE's group norms */
    int32_t start_id, end_id, pad_id;
    /* how a request's pictures are drawn where it does not say: generation_config's "image_generation", or 1.5 and
     * temperature 1, top_k 900, top_p 0.96 */
    float guidance;
    struct choice_filter filter;
};

struct model_config {
    enum model_kind kind;
    char name[128]; /* the folder's or file's name, for /v1/models */
    struct llm_config llm;
    struct vision_config vision;   /* kind >= MODEL_LLAVA */
    struct drawing_config drawing; /* kind == MODEL_VARGPT */
    int32_t image_id;              /* the image placeholder token; -1 = none */
    int32_t bos_id;                /* -1 = none */
    int32_t end_id[MAX_END_IDS];   /* any of them ends a reply */
    int n_end_ids;
    /* generation_config's sampling defaults; 1, 1, 0 when it gives none or do_sample is absent */
    float temperature, top_p;
    int top_k;
};

/* Reads and checks. A key that would change results and is not implemented is STATUS_BAD_FILE naming key and file. */
enum status model_config_read(struct model_config *out, const struct checkpoint *, struct error *err);

#endif
