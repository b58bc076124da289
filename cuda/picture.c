/* Operations on pictures, and choosing. */
#include "cuda/backend_state.h"

#include <assert.h>

void cuda_conv2d(struct backend *be, struct tensor out, struct tensor x, const struct conv *conv,
                 const struct weight *w, const float *bias)
{
    struct cuda_backend *c = cuda_state(be);
    assert(w->cols == conv->kernel * conv->kernel * x.cols && out.cols == w->rows);
    assert(out.rows == conv_out(conv, conv->height) * conv_out(conv, conv->width));
    if (conv->kernel == 1 && conv->stride == 1 && conv->upsample == 1) {
        cuda_linear(be, out, x, w, bias, ACT_NONE);
        return;
    }
    assert(!w->scale);
    if (out.rows <= 0 || !cuda_ready(c) || cudnn_conv2d(c, out, x, conv, w, bias))
        return;
    struct picture_shape shape = {
        .height = conv->height,
        .width = conv->width,
        .channels = x.cols,
        .stride = x.stride,
        .kernel = conv->kernel,
        .step = conv->stride,
        .upsample = conv->upsample,
        .before = conv->kernel == 1 || conv->pad_end_only ? 0 : 1,
        .out_width = conv_out(conv, conv->width),
    };
    if (c->fast && product_is_fast(weight_view_of(w)))
        launch_conv_fast(c->stream, view_of(out), x.data, shape, weight_view_of(w), bias);
    else
        launch_conv(c->stream, view_of(out), x.data, shape, weight_view_of(w), bias);
    cuda_check_launch(c, "conv2d");
}

void cuda_group_norm(struct backend *be, struct tensor out, struct tensor x, int groups, const float *weight,
                     const float *bias, float eps, enum activation activation)
{
    struct cuda_backend *c = cuda_state(be);
    assert(groups > 0 && x.cols % groups == 0);
    if (x.rows <= 0 || !cuda_ready(c))
        return;
    void *scratch = cuda_scratch(c, group_norm_scratch(x.rows, x.cols));
    if (!scratch)
        return;
    launch_group_norm(c->stream, view_of(out), view_of(x), groups, weight, bias, eps, (int)activation,
                      scratch);
    cuda_check_launch(c, "group_norm");
}

void cuda_resize(struct backend *be, struct tensor out, struct tensor x, int from, int to, enum resize how)
{
    struct cuda_backend *c = cuda_state(be);
    assert(x.rows == from * from && out.rows == to * to && out.cols == x.cols);
    if (out.rows <= 0 || !cuda_ready(c))
        return;
    launch_resize(c->stream, view_of(out), view_of(x), from, to, how == RESIZE_AREA);
    cuda_check_launch(c, "resize");
}

void cuda_guide(struct backend *be, struct tensor out, struct tensor cond, struct tensor uncond,
                const float *t)
{
    struct cuda_backend *c = cuda_state(be);
    if (out.rows <= 0 || !cuda_ready(c))
        return;
    const float *staged = cuda_stage(c, t, (size_t)out.rows * sizeof *t);
    if (!staged)
        return;
    launch_guide(c->stream, view_of(out), view_of(cond), view_of(uncond), staged);
    cuda_check_launch(c, "guide");
}

void cuda_noise(struct backend *be, struct tensor out, const struct noise_row *row)
{
    struct cuda_backend *c = cuda_state(be);
    if (out.rows <= 0 || !cuda_ready(c))
        return;
    const struct noise_row *staged = cuda_stage(c, row, (size_t)out.rows * sizeof *row);
    if (!staged)
        return;
    launch_noise(c->stream, view_of(out), staged);
    cuda_check_launch(c, "noise");
}

void cuda_edit_logits(struct backend *be, struct tensor logits, const struct logit_edit *edit, int n)
{
    struct cuda_backend *c = cuda_state(be);
    enum { AT_ONCE = 1 << 15 }; /* as staging memory has room for */
    for (int at = 0; at < n && cuda_ready(c); at += AT_ONCE) {
        int some = n - at < AT_ONCE ? n - at : AT_ONCE;
        const struct logit_edit *staged = cuda_stage(c, edit + at, (size_t)some * sizeof *edit);
        if (!staged)
            return;
        launch_edit_logits(c->stream, view_of(logits), staged, some);
        cuda_check_launch(c, "edit_logits");
    }
}

void cuda_sample(struct backend *be, int32_t *out, struct tensor logits, const struct choice_row *how)
{
    struct cuda_backend *c = cuda_state(be);
    if (logits.rows <= 0 || !cuda_ready(c))
        return;
    const struct choice_row *staged = cuda_stage(c, how, (size_t)logits.rows * sizeof *how);
    if (!staged)
        return;
    launch_sample(c->stream, out, view_of(logits), staged);
    cuda_check_launch(c, "sample");
}

void cuda_nearest(struct backend *be, int32_t *out, struct tensor x, const struct weight *table)
{
    struct cuda_backend *c = cuda_state(be);
    assert(table->cols == x.cols && !table->scale);
    if (x.rows <= 0 || !cuda_ready(c))
        return;
    launch_nearest(c->stream, out, view_of(x), weight_view_of(table));
    cuda_check_launch(c, "nearest");
}
