#include "engine/model/model.h"

#include <assert.h>
#include <math.h>

static const float norm_eps = 1e-6f;

/* A picture on its way through a half of the VAE, on the arena's backend: x holds it, h and y are for what is
 * being made of it. All three are as large as the largest picture on the way. */
struct pass {
    const struct model *m;
    struct backend *be;
    struct tensor x, h, y;
    float *key, *value;
    int side;
};

static struct tensor shaped(const struct pass *p, struct tensor buffer, int side, int channels)
{
    size_t floats = (size_t)side * (size_t)side * (size_t)channels;
    assert(floats <= p->m->vae.buffer_floats);
    return (struct tensor){buffer.data, DTYPE_F32, side * side, channels, channels};
}

/* out = v(in), where `out` is shaped already; in is side x side. */
static void convolve_into(const struct pass *p, struct tensor out, struct tensor in, int side,
                          const struct vae_conv *v, int stride, int upsample)
{
    struct conv conv = {side, side, v->kernel, stride, upsample, .pad_end_only = stride == 2};
    p->m->op->conv2d(p->be, out, in, &conv, v->w, v->bias);
}

/* The same into a buffer; returns the side of what it then holds. */
static int convolve(const struct pass *p, struct tensor *buffer, struct tensor in, int side,
                    const struct vae_conv *v, int stride, int upsample)
{
    int out_side = stride == 2 ? side / 2 : side * upsample;
    *buffer = shaped(p, *buffer, out_side, v->out);
    convolve_into(p, *buffer, in, side, v, stride, upsample);
    return out_side;
}

/* x = v(picture) */
static struct pass pass_begin(const struct model *m, struct arena *a, struct tensor picture, int side,
                              const struct vae_conv *v)
{
    struct pass p = {.m = m, .be = a->be};
    struct tensor *buffer[] = {&p.x, &p.h, &p.y};
    for (int i = 0; i < 3; i++)
        *buffer[i] = (struct tensor){.data = arena_floats(a, m->vae.buffer_floats), .type = DTYPE_F32};
    p.key = arena_floats(a, m->vae.attention_floats);
    p.value = arena_floats(a, m->vae.attention_floats);
    p.side = convolve(&p, &p.x, picture, side, v, 1, 1);
    return p;
}

static void normalise(const struct pass *p, struct tensor out, struct tensor in, const struct norm *n,
                      enum activation act)
{
    p->m->op->group_norm(p->be, out, in, p->m->config.drawing.norm_groups, n->weight, n->bias, norm_eps, act);
}

static void swap(struct tensor *a, struct tensor *b)
{
    struct tensor t = *a;
    *a = *b;
    *b = t;
}

/* x = conv(x) */
static void pass_conv(struct pass *p, const struct vae_conv *v, int stride, int upsample)
{
    p->side = convolve(p, &p->h, p->x, p->side, v, stride, upsample);
    swap(&p->x, &p->h);
    model_between_units(p->m);
}

/* x = conv2(silu(norm2(conv1(silu(norm1 x))))) + shortcut(x) */
static void pass_res_block(struct pass *p, const struct res_block *r)
{
    p->h = shaped(p, p->h, p->side, p->x.cols);
    normalise(p, p->h, p->x, &r->norm1, ACT_SILU);
    convolve(p, &p->y, p->h, p->side, &r->conv1, 1, 1);
    normalise(p, p->y, p->y, &r->norm2, ACT_SILU);
    convolve(p, &p->h, p->y, p->side, &r->conv2, 1, 1);
    if (r->shortcut.w) {
        convolve(p, &p->y, p->x, p->side, &r->shortcut, 1, 1);
        swap(&p->x, &p->y);
    }
    p->m->op->add(p->be, p->x, p->h, NULL);
    model_between_units(p->m);
}

/* x += out(attention(qkv(norm x))), one head over all positions */
static void pass_attention(struct pass *p, const struct vae_attention *v)
{
    const struct backend_ops *op = p->m->op;
    struct backend *be = p->be;
    int n = p->side * p->side, c = v->channels;
    struct span span = {0, n, 0, 0};
    const int32_t *iota = p->m->iota;
    struct row_batch b = {
        .n_rows = n, .n_spans = 1, .span = &span, .position = iota, .slot = iota, .page = iota};
    struct kv_layer kv = {.key = p->key, .value = p->value, .type = DTYPE_F32, .heads = 1, .head_dim = c};
    p->h = shaped(p, p->h, p->side, c);
    p->y = shaped(p, p->y, p->side, 3 * c);
    normalise(p, p->h, p->x, &v->norm, ACT_NONE);
    op->linear(be, p->y, p->h, v->qkv.w, v->qkv.bias, ACT_NONE);
    op->kv_write(be, kv, tensor_cols(p->y, c, c), tensor_cols(p->y, 2 * c, c), b.slot);
    op->attention(be, p->h, tensor_cols(p->y, 0, c), kv, &b, MASK_FULL, 1 / sqrtf((float)c));
    p->y = shaped(p, p->y, p->side, c);
    op->linear(be, p->y, p->h, v->out.w, v->out.bias, ACT_NONE);
    op->add(be, p->x, p->y, NULL);
}

static void pass_blocks(struct pass *p, const struct vae_level *l)
{
    for (int i = 0; i < l->n_blocks; i++) {
        pass_res_block(p, &l->block[i]);
        if (l->n_attentions)
            pass_attention(p, &l->attention[i]);
    }
}

static void pass_middle(struct pass *p, const struct vae_half *half)
{
    pass_res_block(p, &half->mid1);
    pass_attention(p, &half->mid_attention);
    pass_res_block(p, &half->mid2);
}

static void pass_norm_out(struct pass *p, const struct vae_half *half)
{
    normalise(p, p->x, p->x, &half->norm_out, ACT_SILU);
}

void vae_decode(const struct model *m, struct arena *a, struct tensor f_hat, struct tensor rgb)
{
    const struct vae_half *half = &m->vae.decoder;
    size_t mark = arena_mark(a);
    struct pass p = pass_begin(m, a, f_hat, m->vae.side, &m->vae.post_quant_conv);
    pass_conv(&p, &half->conv_in, 1, 1);
    pass_middle(&p, half);
    for (int l = half->n_levels - 1; l >= 0; l--) {
        pass_blocks(&p, &half->level[l]);
        if (half->level[l].resample.w)
            pass_conv(&p, &half->level[l].resample, 1, 2);
    }
    pass_norm_out(&p, half);
    convolve_into(&p, rgb, p.x, p.side, &half->conv_out, 1, 1);
    arena_reset(a, mark);
}

void vae_encode(const struct model *m, struct arena *a, struct tensor rgb, struct tensor f)
{
    const struct vae_half *half = &m->vae.encoder;
    size_t mark = arena_mark(a);
    struct pass p = pass_begin(m, a, rgb, m->vae.picture_side, &half->conv_in);
    for (int l = 0; l < half->n_levels; l++) {
        pass_blocks(&p, &half->level[l]);
        if (half->level[l].resample.w)
            pass_conv(&p, &half->level[l].resample, 2, 1);
    }
    pass_middle(&p, half);
    pass_norm_out(&p, half);
    pass_conv(&p, &half->conv_out, 1, 1);
    convolve_into(&p, f, p.x, p.side, &m->vae.quant_conv, 1, 1);
    arena_reset(a, mark);
}

/* j = argmin |ticks - s/(S-1)|, ticks evenly from 1/2K to 1 - 1/2K (for four: 1/12 to 11/12), the first of
 * equals. The published scales 2 and 7 lie half way between two ticks, so there the rounding of the reference
 * decides: in double, each tick as j * step + first, as numpy's linspace computes it. */
static const struct vae_conv *choose_phi(const struct model *m, int scale)
{
    int n = m->vae.n_phi, scales = m->config.drawing.n_scales, best = 0;
    double first = n == 4 ? 1.0 / 3 / 4 : 1.0 / 2 / n, last = 1 - first;
    double step = n > 1 ? (last - first) / (n - 1) : 0, best_distance = INFINITY;
    double at = scales > 1 ? (double)scale / (scales - 1) : 0;
    for (int j = 0; j < n; j++) {
        double tick = j > 0 && j == n - 1 ? last : j * step + first;
        if (fabs(tick - at) < best_distance) {
            best_distance = fabs(tick - at);
            best = j;
        }
    }
    return &m->vae.phi[best];
}

/* What the codes of a scale stand for, at full size: h = 0.5 u + 0.5 phi(u). Adds factor * h to f (factor:
 * the vector of 0.5 or -0.5). */
static void add_codes(const struct model *m, struct arena *a, struct tensor f, const int32_t *codes,
                      int scale, const float *factor)
{
    int p = m->config.drawing.scale[scale], side = m->vae.side, width = m->decoder.code_width;
    size_t mark = arena_mark(a);
    struct tensor e = arena_tensor(a, p * p, width);
    struct tensor u = arena_tensor(a, side * side, width), v = arena_tensor(a, side * side, width);
    const struct vae_conv *phi = choose_phi(m, scale);
    struct conv conv = {.height = side, .width = side, .kernel = phi->kernel, .stride = 1, .upsample = 1};
    m->op->embed(m->be, e, m->vae.codebook, codes);
    if (p == side)
        u = e;
    else
        m->op->resize(m->be, u, e, p, side, RESIZE_BICUBIC);
    m->op->conv2d(m->be, v, u, &conv, phi->w, phi->bias);
    m->op->add(m->be, f, u, factor);
    m->op->add(m->be, f, v, factor);
    arena_reset(a, mark);
}

void vae_add_scale(const struct model *m, struct arena *a, struct tensor f_hat, const int32_t *codes,
                   int scale)
{
    add_codes(m, a, f_hat, codes, scale, m->vae.half);
}

void vae_quantize(const struct model *m, struct arena *a, struct tensor f, int32_t *codes)
{
    const struct drawing_config *d = &m->config.drawing;
    for (int s = 0; s < d->n_scales; s++) {
        int p = d->scale[s];
        size_t mark = arena_mark(a);
        struct tensor small = f;
        if (p != m->vae.side) {
            small = arena_tensor(a, p * p, m->decoder.code_width);
            m->op->resize(m->be, small, f, m->vae.side, p, RESIZE_AREA);
        }
        m->op->nearest(m->be, codes + m->scale_first[s], small, m->vae.codebook);
        arena_reset(a, mark);
        add_codes(m, a, f, codes + m->scale_first[s], s, m->vae.minus_half);
    }
}

size_t vae_arena(const struct model *m)
{
    if (!model_draws(m))
        return 0;
    size_t cells = (size_t)m->vae.side * (size_t)m->vae.side;
    size_t halves = 3 * arena_bytes(m->vae.buffer_floats) + 2 * arena_bytes(m->vae.attention_floats);
    size_t quantize = 4 * arena_bytes(cells * (size_t)m->decoder.code_width);
    return halves > quantize ? halves : quantize;
}
