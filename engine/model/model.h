/* A loaded model: weights in a backend's memory, and the forward functions over them, one file a part:
 *   vision.c          pixels -> feature rows                     (docs/model.md, section 3)
 *   llm.c             rows of width H -> rows of width H         (section 4)
 *   image_decoder.c   hidden rows -> logits of image codes       (section 5, steps 1 and 4 to 5)
 *   vae.c             codes <-> feature map <-> picture          (section 5, step 8 and after)
 * Only the engine's folder includes this. Functions run operations on the backend and return at once; nothing here can
 * fail after loading. Sizes are named as the documents do: H the LLM's width, C the image decoder's, V codes of width
 * Cvae, cells = side * side of the feature map. */
#ifndef VARGPT_ENGINE_MODEL_MODEL_H
#define VARGPT_ENGINE_MODEL_MODEL_H

#include "engine/backend.h"
#include "engine/model/arena.h"
#include "engine/model/model_config.h"

/* weight, and bias or NULL */
struct affine {
    struct weight *w;
    float *bias;
};

struct norm {
    float *weight, *bias;
};

struct llm_layer {
    float *attention_norm, *mlp_norm;
    struct affine q, k, v, out, gate, up, down;
};

struct llm {
    struct weight *embedding, *head;
    float *final_norm;
    float *inv_freq; /* [head_dim / 2] */
    struct llm_layer *layer;
};

struct vision_layer {
    struct norm norm1, norm2;
    struct affine q, k, v, out, fc1, fc2;
};

struct vision {
    int patches; /* rows of a picture without the class row */
    struct weight *patch;  /* [hidden, 3 * patch * patch] */
    float *class_row;      /* [hidden] class embedding + its position */
    float *position;       /* [patches, hidden] */
    struct norm pre_norm;
    struct vision_layer *layer; /* [run_layers] */
    struct affine projector1, projector2;
};

/* One block, its AdaLN modulation (constant, section 6) folded into norms and residual scales. */
struct decoder_block {
    struct norm norm1, norm2;   /* 1 + sigma, beta */
    float *gamma1, *gamma2;     /* [C] */
    struct affine qkv, out, fc1, fc2;
    float *query_scale;         /* [heads] exp(min(scale_mul, ln 100)) */
};

struct image_decoder {
    int width, heads, head_dim, intermediate, depth, n_codes, code_width; /* C, .., V, Cvae */
    struct affine in1, in2;   /* image_gen_projector: C -> C -> H */
    struct affine out1, out2; /* image_gen_projector_out: H -> H -> C */
    struct affine word_embed; /* Cvae -> C */
    float *first_map;         /* [C] cond + pos_start + lvl_pos[0] */
    float *level_position;    /* [positions, C] */
    struct decoder_block *block;
    struct norm head_norm;
    struct affine head;
    float *cond; /* [C] host memory, for engine_adaln */
};

struct vae_conv {
    struct weight *w; /* [O, k * k * C] */
    float *bias;
    int in, out, kernel;
};

struct res_block {
    struct norm norm1, norm2;
    struct vae_conv conv1, conv2, shortcut; /* shortcut.w NULL: the identity */
};

struct vae_attention {
    struct norm norm;
    struct affine qkv, out;
    int channels;
};

enum { VAE_MAX_LEVELS = 8, VAE_MAX_BLOCKS = 8 };

struct vae_level {
    int n_blocks, n_attentions; /* n_attentions is 0 or n_blocks */
    struct res_block block[VAE_MAX_BLOCKS];
    struct vae_attention attention[VAE_MAX_BLOCKS];
    struct vae_conv resample; /* resample.w NULL: none */
};

struct vae_half {
    int n_levels;
    struct vae_level level[VAE_MAX_LEVELS];
    struct vae_conv conv_in, conv_out;
    struct res_block mid1, mid2;
    struct vae_attention mid_attention;
    struct norm norm_out;
};

struct vae {
    int side;         /* of the feature map: the last scale */
    int picture_side; /* in pixels */
    struct weight *codebook; /* [V, Cvae] */
    struct vae_conv *phi;    /* [n_phi] */
    int n_phi;
    struct vae_conv quant_conv, post_quant_conv;
    struct vae_half decoder, encoder;
    float *half, *minus_half; /* [Cvae] */
    size_t buffer_floats;     /* of one of the three buffers that a pass through either half needs */
    size_t attention_floats;  /* of its keys (and again of its values) */
    int attended_cells;       /* of the largest picture that attention goes over */
    int most_channels;        /* of a picture on its way through either half */
};

/* Called between the units of long passes (a layer, a block of the VAE): whoever runs the model may put something shorter
 * in between, on the same arena above what is taken. */
struct unit_hook {
    void (*call)(void *context); /* NULL: none */
    void *context;
};

struct model {
    struct backend *be;
    const struct backend_ops *op;
    struct model_config config;
    struct checkpoint *checkpoint;
    struct llm llm;
    struct vision vision;
    struct image_decoder decoder;
    struct vae vae;
    int n_positions;               /* image codes of a picture: the sum of the scales' squares */
    int scale_first[MAX_SCALES + 1]; /* first position of each scale */
    int32_t *iota;                 /* 0, 1, 2, ...: positions, slots and pages of unpaged attention */
    size_t weight_bytes;
    struct weights *weights; /* owns all of the above's memory */
    struct unit_hook between_units;
};

static inline void model_between_units(const struct model *m)
{
    if (m->between_units.call)
        m->between_units.call(m->between_units.context);
}

typedef void load_progress(void *context, double fraction);

/* Opens a checkpoint and loads its weights. layers: DTYPE_Q8_0 or DTYPE_Q4_0, what the matrices of the language model's
 * and the image decoder's layers become while loading; DTYPE_F32: they stay as they are. On failure *out is NULL and err
 * says which file, tensor and why. */
enum status model_open(struct model **out, struct backend *, const char *path, enum dtype layers, load_progress *,
                       void *context, struct error *err);
void model_close(struct model *); /* accepts NULL */

static inline bool model_draws(const struct model *m)
{
    return m->config.kind == MODEL_VARGPT;
}
static inline bool model_sees(const struct model *m)
{
    return m->config.kind != MODEL_LLAMA;
}
/* The codes of a scale. */
static inline int model_scale_rows(const struct model *m, int scale)
{
    return m->scale_first[scale + 1] - m->scale_first[scale];
}
/* The codes of the last, largest scale; 0 when the model does not draw. */
static inline int model_largest_scale(const struct model *m)
{
    return model_draws(m) ? model_scale_rows(m, m->config.drawing.n_scales - 1) : 0;
}
/* The rows that a seen picture takes in the prompt. */
static inline int model_seen_rows(const struct model *m)
{
    return m->vision.patches + (m->config.vision.keep_class_row ? 1 : 0);
}

/* --- llm.c --- */

/* x: [R, H] in: input rows, out: after the final norm. cache: [layers]; the rows' keys and values are added to it. */
void llm_forward(const struct model *, struct arena *, struct tensor x, const struct kv_layer *cache,
                 const struct row_batch *);
size_t llm_arena(const struct model *, int rows); /* bytes that llm_forward takes */

/* --- vision.c --- */

/* pixels: host [3][image_size][image_size]. features: [patches (+1), hidden] the selected hidden state; out: the same
 * number of rows, [.., H]. */
void vision_forward(const struct model *, struct arena *, const float *pixels, struct tensor features, struct tensor out);
size_t vision_arena(const struct model *);

/* --- image_decoder.c --- */

/* Maps [n, C] to the LLM's input rows [n, H]. */
void image_decoder_rows_in(const struct model *, struct arena *, struct tensor maps, struct tensor rows);
/* hidden: [N, H] of all branches (LLM rows or noise) -> logits [N, V]. cache: [depth]. */
void image_decoder_forward(const struct model *, struct arena *, struct tensor hidden, struct tensor logits,
                           const struct kv_layer *cache, const struct row_batch *);
/* The first map: [1, C]. */
void image_decoder_first_map(const struct model *, struct tensor map);
/* The map [p * p, C] that scale `scale` (from 1) starts from: f_hat [cells, Cvae] averaged down, embedded, placed. */
void image_decoder_next_map(const struct model *, struct arena *, struct tensor f_hat, int scale, struct tensor map);
size_t image_decoder_arena(const struct model *, int rows);

/* --- vae.c --- */

/* f_hat += what the codes (device memory, [p * p]) of a scale stand for. */
void vae_add_scale(const struct model *, struct arena *, struct tensor f_hat, const int32_t *codes, int scale);
/* f_hat -> rgb [picture_side^2, 3], before clamping; on the arena's backend, which may be the second line. */
void vae_decode(const struct model *, struct arena *, struct tensor f_hat, struct tensor rgb);
/* rgb [picture_side^2, 3] in -1..1 -> f [cells, Cvae]. */
void vae_encode(const struct model *, struct arena *, struct tensor rgb, struct tensor f);
/* f (destroyed) -> codes [n_positions], device memory. */
void vae_quantize(const struct model *, struct arena *, struct tensor f, int32_t *codes);
size_t vae_arena(const struct model *);

#endif
