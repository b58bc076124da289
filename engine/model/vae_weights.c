#include "engine/model/drawing.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_PICTURE_SIDE = 4096, MAX_PHI = 64 };

static size_t area(int side, int channels)
{
    return (size_t)side * (size_t)side * (size_t)channels;
}

static void need(size_t *most, size_t floats)
{
    *most = floats > *most ? floats : *most;
}

static void need_picture(struct model *m, int side, int channels)
{
    need(&m->vae.buffer_floats, area(side, channels));
    m->vae.most_channels = channels > m->vae.most_channels ? channels : m->vae.most_channels;
}

static struct norm load_group_norm(struct loader *l, struct model *m, int channels, const char *at,
                                   const char *name)
{
    int groups = m->config.drawing.norm_groups;
    if (channels % groups && l->err->status == STATUS_OK)
        error_set(l->err, STATUS_BAD_FILE,
                  "%s.%s: %d channels do not divide into %d groups (vae_norm_groups)", at, name, channels,
                  groups);
    return load_norm(l, channels, "%s.%s", at, name);
}

/* Returns the block's output channels. */
static int load_res_block(struct loader *l, struct model *m, struct res_block *r, int in, int side,
                          const char *at)
{
    r->norm1 = load_group_norm(l, m, in, at, "norm1");
    r->conv1 = load_conv(l, 0, in, "%s.conv1", at);
    int out = r->conv1.out ? r->conv1.out : in;
    r->norm2 = load_group_norm(l, m, out, at, "norm2");
    r->conv2 = load_conv(l, out, out, "%s.conv2", at);
    if (in != out)
        r->shortcut = load_conv(l, out, in, "%s.nin_shortcut", at);
    need_picture(m, side, in > out ? in : out);
    return out;
}

static void load_attention(struct loader *l, struct model *m, struct vae_attention *v, int channels, int side,
                           const char *at)
{
    v->channels = channels;
    v->norm = load_group_norm(l, m, channels, at, "norm");
    v->qkv = load_affine(l, 3 * channels, channels, WITH_BIAS, "%s.qkv", at);
    v->out = load_affine(l, channels, channels, WITH_BIAS, "%s.proj_out", at);
    need_picture(m, side, 3 * channels);
    need(&m->vae.attention_floats, (area(side, 1) + PAGE_TOKENS) * (size_t)channels);
    if (side > MAX_SCALE_SIDE && l->err->status == STATUS_OK)
        error_set(l->err, STATUS_BAD_FILE, "%s: attention over %d x %d positions is not supported", at, side,
                  side);
    if (side <= MAX_SCALE_SIDE && side * side > m->vae.attended_cells)
        m->vae.attended_cells = side * side;
}

/* The blocks of decoder.up.N or encoder.down.N; returns their output channels. */
static int load_level(struct loader *l, struct model *m, struct vae_level *v, int in, int side,
                      const char *at)
{
    char name[96];
    int channels = in;
    for (; v->n_blocks < VAE_MAX_BLOCKS; v->n_blocks++) {
        if (!find_optional(l, "%s.block.%d.conv1.weight", at, v->n_blocks))
            break;
        snprintf(name, sizeof name, "%s.block.%d", at, v->n_blocks);
        channels = load_res_block(l, m, &v->block[v->n_blocks], channels, side, name);
    }
    if (find_optional(l, "%s.attn.0.qkv.weight", at)) {
        for (; v->n_attentions < v->n_blocks; v->n_attentions++) {
            snprintf(name, sizeof name, "%s.attn.%d", at, v->n_attentions);
            load_attention(l, m, &v->attention[v->n_attentions], v->block[v->n_attentions].conv1.out, side,
                           name);
        }
    }
    return channels;
}

static int count_levels(struct loader *l, const char *half)
{
    int n = 0;
    while (n < VAE_MAX_LEVELS && find_optional(l, "%s.%d.block.0.conv1.weight", half, n))
        n++;
    if (n == 0 && l->err->status == STATUS_OK)
        error_set(l->err, STATUS_BAD_FILE, "tensor %s.0.block.0.conv1.weight is missing", half);
    return n;
}

static void load_middle(struct loader *l, struct model *m, struct vae_half *half, int channels, int side,
                        const char *name)
{
    char at[96];
    snprintf(at, sizeof at, "%s.mid.block_1", name);
    if (load_res_block(l, m, &half->mid1, channels, side, at) != channels && l->err->status == STATUS_OK)
        error_set(l->err, STATUS_BAD_FILE, "%s.conv1.weight: changes the number of channels", at);
    snprintf(at, sizeof at, "%s.mid.attn_1", name);
    load_attention(l, m, &half->mid_attention, channels, side, at);
    snprintf(at, sizeof at, "%s.mid.block_2", name);
    if (load_res_block(l, m, &half->mid2, channels, side, at) != channels && l->err->status == STATUS_OK)
        error_set(l->err, STATUS_BAD_FILE, "%s.conv1.weight: changes the number of channels", at);
}

static void load_decoder(struct loader *l, struct model *m)
{
    struct vae_half *half = &m->vae.decoder;
    char at[64];
    int side = m->vae.side, width = m->decoder.code_width;
    m->vae.post_quant_conv = load_conv(l, width, width, "vae_local.post_quant_conv");
    half->conv_in = load_conv(l, 0, width, "vae_local.decoder.conv_in");
    int channels = half->conv_in.out;
    need_picture(m, side, channels > width ? channels : width);
    load_middle(l, m, half, channels, side, "vae_local.decoder");
    half->n_levels = count_levels(l, "vae_local.decoder.up");
    for (int i = half->n_levels - 1; i >= 0 && l->err->status == STATUS_OK; i--) {
        snprintf(at, sizeof at, "vae_local.decoder.up.%d", i);
        channels = load_level(l, m, &half->level[i], channels, side, at);
        if (!find_optional(l, "%s.upsample.conv.weight", at))
            continue;
        half->level[i].resample = load_conv(l, 0, channels, "%s.upsample.conv", at);
        side *= 2;
        need_picture(m, side, channels); /* as it is doubled, before the convolution */
        channels = half->level[i].resample.out;
        need_picture(m, side, channels);
        if (side > MAX_PICTURE_SIDE)
            error_set(l->err, STATUS_BAD_FILE, "%s: makes pictures of over %d pixels a side", at,
                      MAX_PICTURE_SIDE);
    }
    snprintf(at, sizeof at, "vae_local.decoder");
    half->norm_out = load_group_norm(l, m, channels, at, "norm_out");
    half->conv_out = load_conv(l, 3, channels, "%s.conv_out", at);
    m->vae.picture_side = side;
}

static void load_encoder(struct loader *l, struct model *m)
{
    struct vae_half *half = &m->vae.encoder;
    char at[64];
    int side = m->vae.picture_side, width = m->decoder.code_width;
    half->conv_in = load_conv(l, 0, 3, "vae_local.encoder.conv_in");
    int channels = half->conv_in.out;
    need_picture(m, side, channels);
    half->n_levels = count_levels(l, "vae_local.encoder.down");
    for (int i = 0; i < half->n_levels && l->err->status == STATUS_OK; i++) {
        snprintf(at, sizeof at, "vae_local.encoder.down.%d", i);
        channels = load_level(l, m, &half->level[i], channels, side, at);
        if (!find_optional(l, "%s.downsample.conv.weight", at))
            continue;
        half->level[i].resample = load_conv(l, 0, channels, "%s.downsample.conv", at);
        channels = half->level[i].resample.out;
        side /= 2;
        need_picture(m, side, channels);
    }
    if (side != m->vae.side && l->err->status == STATUS_OK)
        error_set(l->err, STATUS_BAD_FILE,
                  "vae_local.encoder: makes %d x %d cells, the decoder takes %d x %d", side, side,
                  m->vae.side, m->vae.side);
    load_middle(l, m, half, channels, side, "vae_local.encoder");
    snprintf(at, sizeof at, "vae_local.encoder");
    half->norm_out = load_group_norm(l, m, channels, at, "norm_out");
    half->conv_out = load_conv(l, width, channels, "%s.conv_out", at);
    m->vae.quant_conv = load_conv(l, width, width, "vae_local.quant_conv");
}

static void load_phi(struct loader *l, struct model *m)
{
    int width = m->decoder.code_width;
    struct vae *v = &m->vae;
    while (v->n_phi < MAX_PHI &&
           find_optional(l, "vae_local.quantize.quant_resi.qresi_ls.%d.weight", v->n_phi))
        v->n_phi++;
    if (v->n_phi == 0)
        find_tensor(l, "vae_local.quantize.quant_resi.qresi_ls.0.weight");
    v->phi = xcalloc((size_t)v->n_phi + 1, sizeof *v->phi);
    for (int i = 0; i < v->n_phi; i++)
        v->phi[i] = load_conv(l, width, width, "vae_local.quantize.quant_resi.qresi_ls.%d", i);
}

static float *keep_constant(struct loader *l, int n, float value)
{
    float *values = xcalloc((size_t)n, sizeof *values);
    for (int i = 0; i < n; i++)
        values[i] = value;
    float *kept = keep_floats(l, values, (size_t)n);
    free(values);
    return kept;
}

void load_vae(struct loader *l, struct model *m)
{
    struct vae *v = &m->vae;
    v->side = m->config.drawing.scale[m->config.drawing.n_scales - 1];
    v->codebook =
        load_matrix(l, m->decoder.n_codes, m->decoder.code_width, "vae_local.quantize.embedding.weight");
    v->half = keep_constant(l, m->decoder.code_width, 0.5f);
    v->minus_half = keep_constant(l, m->decoder.code_width, -0.5f);
    load_phi(l, m);
    load_decoder(l, m);
    load_encoder(l, m);
}
