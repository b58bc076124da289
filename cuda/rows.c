/* Operations on rows: what there is to check, and the launch. */
#include "cuda/backend_state.h"

#include <assert.h>

void cuda_embed(struct backend *be, struct tensor out, const struct weight *table, const int32_t *index)
{
    struct cuda_backend *c = cuda_state(be);
    assert(out.cols == table->cols);
    if (out.rows <= 0 || !cuda_ready(c))
        return;
    launch_embed(c->stream, view_of(out), weight_view_of(table), index);
    cuda_check_launch(c, "embed");
}

void cuda_gather(struct backend *be, struct tensor out, struct tensor x, const int32_t *index)
{
    struct cuda_backend *c = cuda_state(be);
    assert(out.cols == x.cols);
    if (out.rows <= 0 || out.cols <= 0 || !cuda_ready(c))
        return;
    launch_gather(c->stream, view_of(out), view_of(x), index);
    cuda_check_launch(c, "gather");
}

void cuda_scatter(struct backend *be, struct tensor out, const int32_t *index, struct tensor x)
{
    struct cuda_backend *c = cuda_state(be);
    assert(out.cols == x.cols);
    if (x.rows <= 0 || x.cols <= 0 || !cuda_ready(c))
        return;
    launch_scatter(c->stream, view_of(out), index, view_of(x));
    cuda_check_launch(c, "scatter");
}

void cuda_linear(struct backend *be, struct tensor out, struct tensor x, const struct weight *w,
                 const float *bias, enum activation activation)
{
    struct cuda_backend *c = cuda_state(be);
    assert(x.cols == w->cols && out.cols == w->rows && out.rows == x.rows);
    if (out.rows <= 0 || !cuda_ready(c))
        return;
    if (blas_lt_linear(c, out, x, w, bias, activation))
        return;
    if (c->fast && product_is_fast(weight_view_of(w)))
        launch_linear_fast(c->stream, view_of(out), view_of(x), weight_view_of(w), bias, (int)activation);
    else
        launch_linear(c->stream, view_of(out), view_of(x), weight_view_of(w), bias, (int)activation);
    cuda_check_launch(c, "linear");
}

void cuda_rms_norm(struct backend *be, struct tensor out, struct tensor x, struct residual residual,
                   const float *weight, float eps)
{
    struct cuda_backend *c = cuda_state(be);
    if (x.rows <= 0 || !cuda_ready(c))
        return;
    launch_rms_norm(c->stream, view_of(out), view_of(x), view_of(residual.y), residual.scale, weight, eps);
    cuda_check_launch(c, "rms_norm");
}

void cuda_layer_norm(struct backend *be, struct tensor out, struct tensor x, struct residual residual,
                     const float *weight, const float *bias, float eps)
{
    struct cuda_backend *c = cuda_state(be);
    if (x.rows <= 0 || !cuda_ready(c))
        return;
    launch_layer_norm(c->stream, view_of(out), view_of(x), view_of(residual.y), residual.scale, weight, bias,
                      eps);
    cuda_check_launch(c, "layer_norm");
}

void cuda_silu_mul(struct backend *be, struct tensor out, struct tensor gate, struct tensor up)
{
    struct cuda_backend *c = cuda_state(be);
    if (out.rows <= 0 || out.cols <= 0 || !cuda_ready(c))
        return;
    launch_silu_mul(c->stream, view_of(out), view_of(gate), view_of(up));
    cuda_check_launch(c, "silu_mul");
}

void cuda_add(struct backend *be, struct tensor x, struct tensor y, const float *scale)
{
    struct cuda_backend *c = cuda_state(be);
    if (x.rows <= 0 || x.cols <= 0 || !cuda_ready(c))
        return;
    launch_add(c->stream, view_of(x), view_of(y), scale);
    cuda_check_launch(c, "add");
}

void cuda_kv_write(struct backend *be, struct kv_layer kv, struct tensor k, struct tensor v,
                   const int32_t *slot)
{
    struct cuda_backend *c = cuda_state(be);
    assert(k.cols == kv.heads * kv.head_dim && v.cols == k.cols);
    if (k.rows <= 0 || !cuda_ready(c))
        return;
    launch_kv_write(c->stream, kv, view_of(k), view_of(v), slot);
    cuda_check_launch(c, "kv_write");
}

void cuda_rope_write(struct backend *be, struct kv_layer kv, struct tensor q, struct tensor k,
                     struct tensor v, const int32_t *slot, const int32_t *position, const float *inv_freq)
{
    struct cuda_backend *c = cuda_state(be);
    assert(q.cols % kv.head_dim == 0 && k.cols == kv.heads * kv.head_dim && v.cols == k.cols);
    if (k.rows <= 0 || !cuda_ready(c))
        return;
    launch_rope_write(c->stream, kv, view_of(q), view_of(k), view_of(v), slot, position, inv_freq);
    cuda_check_launch(c, "rope_write");
}

void cuda_norm_write(struct backend *be, struct kv_layer kv, struct tensor q, struct tensor k,
                     struct tensor v, const int32_t *slot, const float *query_scale)
{
    struct cuda_backend *c = cuda_state(be);
    assert(q.cols % kv.head_dim == 0 && k.cols == kv.heads * kv.head_dim && v.cols == k.cols);
    if (k.rows <= 0 || !cuda_ready(c))
        return;
    launch_norm_write(c->stream, kv, view_of(q), view_of(k), view_of(v), slot, query_scale);
    cuda_check_launch(c, "norm_write");
}

int cuda_splits(int keys)
{
    int splits = 1;
    while (splits < attention_splits(keys))
        splits *= 2;
    return splits;
}

/* How the batch's spans are cut into blocks; the device finds each block's span by the same counts. */
static void count_blocks(struct attention_shape *s, const struct row_batch *batch, bool fast)
{
    int most_keys = 1;
    for (int i = 0; i < batch->n_spans; i++) {
        const struct span *span = &batch->span[i];
        if (span->n_rows != 1) {
            s->query_blocks += fast ? attention_blocks_fast(span->n_rows, s->group)
                                    : attention_blocks(span->n_rows, s->group);
            continue;
        }
        int keys = span->first_position + 1;
        s->single_rows++;
        most_keys = keys > most_keys ? keys : most_keys;
    }
    s->single_splits = cuda_splits(most_keys);
}

void cuda_attention(struct backend *be, struct tensor out, struct tensor q, struct kv_layer kv,
                    const struct row_batch *batch, enum mask mask, float scale)
{
    struct cuda_backend *c = cuda_state(be);
    assert(q.cols % (kv.heads * kv.head_dim) == 0);
    struct attention_shape s = {
        .span = batch->device_span,
        .n_spans = batch->n_spans,
        .page = batch->page,
        .key = kv.key,
        .value = kv.value,
        .key_scale = kv.key_scale,
        .value_scale = kv.value_scale,
        .type = kv.type,
        .kv_heads = kv.heads,
        .head_dim = kv.head_dim,
        .group = q.cols / (kv.heads * kv.head_dim),
        .full = mask == MASK_FULL,
        .scale = scale,
    };
    bool fast = c->fast && attention_is_fast(&s);
    count_blocks(&s, batch, fast);
    if ((s.single_rows == 0 && s.query_blocks == 0) || !cuda_ready(c))
        return;
    if (!s.span && !(s.span = cuda_stage(c, batch->span, (size_t)batch->n_spans * sizeof *batch->span)))
        return;
    size_t scratch = attention_scratch(&s);
    if (scratch && !(s.partial = cuda_scratch(c, scratch)))
        return;
    if (fast)
        launch_attention_fast(c->stream, view_of(out), view_of(q), s);
    else
        launch_attention(c->stream, view_of(out), view_of(q), s);
    cuda_check_launch(c, "attention");
}
