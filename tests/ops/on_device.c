#include "on_device.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST_OPERANDS = 12 };

struct operand {
    void *host;
    char *memory, *device; /* where the device memory begins; where the operand lies in it */
    size_t bytes;
    bool result;
};

struct on_device {
    struct backend base;
    struct backend *device;
    const struct backend_ops *op;
    struct backend_ops ops; /* base's: as many cache types as the device has */
    void (*before)(int context);
    int context, n;
    struct operand operand[MOST_OPERANDS];
};

static struct on_device *begin(struct backend *be)
{
    struct on_device *d = (struct on_device *)be;
    d->n = 0;
    if (d->before)
        d->before(d->context);
    return d;
}

/* The device's copy of [host, host + bytes), as misaligned as that is to 16 bytes. */
static void *take(struct on_device *d, const void *host, size_t bytes, bool result)
{
    if (!host || bytes == 0)
        return NULL;
    for (int i = 0; i < d->n; i++) {
        if (d->operand[i].host == host && d->operand[i].bytes >= bytes) {
            d->operand[i].result |= result;
            return d->operand[i].device;
        }
    }
    size_t off = (uintptr_t)host % 16;
    struct operand *o = &d->operand[d->n++];
    *o = (struct operand){(void *)host, d->op->alloc(d->device, off + bytes), NULL, bytes, result};
    if (!o->memory) {
        fprintf(stderr, "check_ops: no device memory for %zu bytes\n", bytes);
        exit(2);
    }
    o->device = o->memory + off;
    d->op->upload(d->device, o->device, host, bytes);
    return o->device;
}

static struct tensor tensor_on(struct on_device *d, struct tensor t, bool result)
{
    size_t values = t.rows > 0 && t.cols > 0 ? (size_t)(t.rows - 1) * (size_t)t.stride + (size_t)t.cols : 0;
    t.data = take(d, t.data, values * sizeof(float), result);
    return t;
}

static const void *array_on(struct on_device *d, const void *host, size_t n, size_t size)
{
    return take(d, host, n * size, false);
}

static const float *floats_on(struct on_device *d, const float *host, int n)
{
    return array_on(d, host, (size_t)n, sizeof *host);
}

static const int32_t *ints_on(struct on_device *d, const int32_t *host, int n)
{
    return array_on(d, host, (size_t)n, sizeof *host);
}

/* A layer's first `slots` slots. */
static struct kv_layer cache_on(struct on_device *d, struct kv_layer kv, size_t slots, bool result)
{
    size_t heads = slots * (size_t)kv.heads, bytes = dtype_bytes(kv.type, heads * (size_t)kv.head_dim);
    kv.key = take(d, kv.key, bytes, result);
    kv.value = take(d, kv.value, bytes, result);
    size_t scales = kv.type == DTYPE_I8 ? heads * sizeof(float) : 0;
    kv.key_scale = take(d, kv.key_scale, scales, result);
    kv.value_scale = take(d, kv.value_scale, scales, result);
    return kv;
}

static void end(struct on_device *d)
{
    for (int i = 0; i < d->n; i++) {
        struct operand *o = &d->operand[i];
        if (o->result)
            d->op->download(d->device, o->host, o->device, o->bytes);
    }
    d->op->finish(d->device, NULL); /* a failure sticks */
    for (int i = 0; i < d->n; i++)
        d->op->free(d->device, d->operand[i].memory);
}

static void *device_alloc(struct backend *be, size_t bytes)
{
    struct on_device *d = begin(be);
    return d->op->alloc(d->device, bytes);
}

static void device_free(struct backend *be, void *memory)
{
    struct on_device *d = begin(be);
    d->op->free(d->device, memory);
}

static void device_upload(struct backend *be, void *to, const void *from, size_t bytes)
{
    struct on_device *d = begin(be);
    d->op->upload(d->device, to, from, bytes);
}

static void device_download(struct backend *be, void *to, const void *from, size_t bytes)
{
    struct on_device *d = begin(be);
    d->op->download(d->device, to, from, bytes);
}

static enum status device_finish(struct backend *be, struct error *err)
{
    struct on_device *d = begin(be);
    return d->op->finish(d->device, err);
}

static enum status device_weight_load(struct backend *be, struct weight **out, const struct host_matrix *m,
                                      struct error *err)
{
    struct on_device *d = begin(be);
    return d->op->weight_load(d->device, out, m, err);
}

static void device_weight_free(struct backend *be, struct weight *w)
{
    struct on_device *d = begin(be);
    d->op->weight_free(d->device, w);
}

static void device_embed(struct backend *be, struct tensor out, const struct weight *table,
                         const int32_t *index)
{
    struct on_device *d = begin(be);
    d->op->embed(d->device, tensor_on(d, out, true), table, ints_on(d, index, out.rows));
    end(d);
}

static void device_gather(struct backend *be, struct tensor out, struct tensor x, const int32_t *index)
{
    struct on_device *d = begin(be);
    d->op->gather(d->device, tensor_on(d, out, true), tensor_on(d, x, false), ints_on(d, index, out.rows));
    end(d);
}

static void device_scatter(struct backend *be, struct tensor out, const int32_t *index, struct tensor x)
{
    struct on_device *d = begin(be);
    d->op->scatter(d->device, tensor_on(d, out, true), ints_on(d, index, x.rows), tensor_on(d, x, false));
    end(d);
}

static void device_linear(struct backend *be, struct tensor out, struct tensor x, const struct weight *w,
                          const float *bias, enum activation activation)
{
    struct on_device *d = begin(be);
    d->op->linear(d->device, tensor_on(d, out, true), tensor_on(d, x, false), w, floats_on(d, bias, out.cols),
                  activation);
    end(d);
}

static struct residual residual_on(struct on_device *d, struct residual r)
{
    return (struct residual){tensor_on(d, r.y, false), floats_on(d, r.scale, r.y.cols)};
}

static void device_rms_norm(struct backend *be, struct tensor out, struct tensor x, struct residual residual,
                            const float *weight, float eps)
{
    struct on_device *d = begin(be);
    d->op->rms_norm(d->device, tensor_on(d, out, true), tensor_on(d, x, residual.y.cols > 0),
                    residual_on(d, residual), floats_on(d, weight, x.cols), eps);
    end(d);
}

static void device_layer_norm(struct backend *be, struct tensor out, struct tensor x,
                              struct residual residual, const float *weight, const float *bias, float eps)
{
    struct on_device *d = begin(be);
    d->op->layer_norm(d->device, tensor_on(d, out, true), tensor_on(d, x, residual.y.cols > 0),
                      residual_on(d, residual), floats_on(d, weight, x.cols), floats_on(d, bias, x.cols),
                      eps);
    end(d);
}

static void device_silu_mul(struct backend *be, struct tensor out, struct tensor gate, struct tensor up)
{
    struct on_device *d = begin(be);
    d->op->silu_mul(d->device, tensor_on(d, out, true), tensor_on(d, gate, false), tensor_on(d, up, false));
    end(d);
}

static void device_add(struct backend *be, struct tensor x, struct tensor y, const float *scale)
{
    struct on_device *d = begin(be);
    d->op->add(d->device, tensor_on(d, x, true), tensor_on(d, y, false), floats_on(d, scale, x.cols));
    end(d);
}

/* A layer's slots up to the last that is written. */
static struct kv_layer written_on(struct on_device *d, struct kv_layer kv, const int32_t *slot, int rows)
{
    size_t slots = 0;
    for (int r = 0; r < rows; r++)
        slots = (size_t)slot[r] + 1 > slots ? (size_t)slot[r] + 1 : slots;
    return cache_on(d, kv, slots, true);
}

static void device_kv_write(struct backend *be, struct kv_layer kv, struct tensor k, struct tensor v,
                            const int32_t *slot)
{
    struct on_device *d = begin(be);
    d->op->kv_write(d->device, written_on(d, kv, slot, k.rows), tensor_on(d, k, false),
                    tensor_on(d, v, false), ints_on(d, slot, k.rows));
    end(d);
}

static void device_rope_write(struct backend *be, struct kv_layer kv, struct tensor q, struct tensor k,
                              struct tensor v, const int32_t *slot, const int32_t *position,
                              const float *inv_freq)
{
    struct on_device *d = begin(be);
    d->op->rope_write(d->device, written_on(d, kv, slot, k.rows), tensor_on(d, q, true),
                      tensor_on(d, k, true), tensor_on(d, v, false), ints_on(d, slot, k.rows),
                      ints_on(d, position, k.rows), floats_on(d, inv_freq, kv.head_dim / 2));
    end(d);
}

static void device_norm_write(struct backend *be, struct kv_layer kv, struct tensor q, struct tensor k,
                              struct tensor v, const int32_t *slot, const float *query_scale)
{
    struct on_device *d = begin(be);
    d->op->norm_write(d->device, written_on(d, kv, slot, k.rows), tensor_on(d, q, true),
                      tensor_on(d, k, true), tensor_on(d, v, false), ints_on(d, slot, k.rows),
                      floats_on(d, query_scale, q.cols / kv.head_dim));
    end(d);
}

/* The pages that the spans see, and the slots up to the last of them. */
static void measure_batch(const struct row_batch *b, int *pages, size_t *slots)
{
    *pages = 0;
    *slots = 0;
    for (int i = 0; i < b->n_spans; i++) {
        const struct span *s = &b->span[i];
        for (int p = 0; s->n_rows > 0 && p < s->first_position + s->n_rows; p++) {
            int page = s->first_page + p / PAGE_TOKENS;
            size_t slot = (size_t)b->page[page] * PAGE_TOKENS + (size_t)(p % PAGE_TOKENS);
            *pages = page + 1 > *pages ? page + 1 : *pages;
            *slots = slot + 1 > *slots ? slot + 1 : *slots;
        }
    }
}

static void device_attention(struct backend *be, struct tensor out, struct tensor q, struct kv_layer kv,
                             const struct row_batch *batch, enum mask mask, float scale)
{
    struct on_device *d = begin(be);
    struct row_batch b = *batch;
    int pages;
    size_t slots;
    measure_batch(batch, &pages, &slots);
    kv = cache_on(d, kv, slots, false);
    b.device_span = array_on(d, batch->span, (size_t)batch->n_spans, sizeof *batch->span);
    b.page = ints_on(d, batch->page, pages);
    b.position = ints_on(d, batch->position, batch->n_rows);
    b.slot = NULL;
    d->op->attention(d->device, tensor_on(d, out, true), tensor_on(d, q, false), kv, &b, mask, scale);
    end(d);
}

static void device_conv2d(struct backend *be, struct tensor out, struct tensor x, const struct conv *conv,
                          const struct weight *w, const float *bias)
{
    struct on_device *d = begin(be);
    d->op->conv2d(d->device, tensor_on(d, out, true), tensor_on(d, x, false), conv, w,
                  floats_on(d, bias, out.cols));
    end(d);
}

static void device_group_norm(struct backend *be, struct tensor out, struct tensor x, int groups,
                              const float *weight, const float *bias, float eps, enum activation activation)
{
    struct on_device *d = begin(be);
    d->op->group_norm(d->device, tensor_on(d, out, true), tensor_on(d, x, false), groups,
                      floats_on(d, weight, x.cols), floats_on(d, bias, x.cols), eps, activation);
    end(d);
}

static void device_resize(struct backend *be, struct tensor out, struct tensor x, int from, int to,
                          enum resize how)
{
    struct on_device *d = begin(be);
    d->op->resize(d->device, tensor_on(d, out, true), tensor_on(d, x, false), from, to, how);
    end(d);
}

static void device_guide(struct backend *be, struct tensor out, struct tensor cond, struct tensor uncond,
                         const float *t)
{
    struct on_device *d = begin(be);
    d->op->guide(d->device, tensor_on(d, out, true), tensor_on(d, cond, false), tensor_on(d, uncond, false),
                 t);
    end(d);
}

static void device_noise(struct backend *be, struct tensor out, const struct noise_row *row)
{
    struct on_device *d = begin(be);
    d->op->noise(d->device, tensor_on(d, out, true), row);
    end(d);
}

static void device_edit_logits(struct backend *be, struct tensor logits, const struct logit_edit *edit, int n)
{
    struct on_device *d = begin(be);
    d->op->edit_logits(d->device, tensor_on(d, logits, true), edit, n);
    end(d);
}

static void device_sample(struct backend *be, int32_t *out, struct tensor logits,
                          const struct choice_row *how)
{
    struct on_device *d = begin(be);
    d->op->sample(d->device, take(d, out, (size_t)logits.rows * sizeof *out, true),
                  tensor_on(d, logits, false), how);
    end(d);
}

static void device_nearest(struct backend *be, int32_t *out, struct tensor x, const struct weight *table)
{
    struct on_device *d = begin(be);
    d->op->nearest(d->device, take(d, out, (size_t)x.rows * sizeof *out, true), tensor_on(d, x, false),
                   table);
    end(d);
}

static const struct backend_ops device_ops = {
    .name = "on device",
    .alloc = device_alloc,
    .free = device_free,
    .upload = device_upload,
    .download = device_download,
    .finish = device_finish,
    .weight_load = device_weight_load,
    .weight_free = device_weight_free,
    .embed = device_embed,
    .gather = device_gather,
    .scatter = device_scatter,
    .linear = device_linear,
    .rms_norm = device_rms_norm,
    .layer_norm = device_layer_norm,
    .silu_mul = device_silu_mul,
    .add = device_add,
    .kv_write = device_kv_write,
    .rope_write = device_rope_write,
    .norm_write = device_norm_write,
    .attention = device_attention,
    .conv2d = device_conv2d,
    .group_norm = device_group_norm,
    .resize = device_resize,
    .guide = device_guide,
    .noise = device_noise,
    .edit_logits = device_edit_logits,
    .sample = device_sample,
    .nearest = device_nearest,
};

struct backend *on_device_open(struct backend *device, void (*before)(int context), int context)
{
    struct on_device *d = xcalloc(1, sizeof *d);
    d->device = device;
    d->ops = device_ops;
    d->ops.cache_types = device->op->cache_types;
    d->base.op = &d->ops;
    d->op = device->op;
    d->before = before;
    d->context = context;
    return &d->base;
}

struct backend *on_device_close(struct backend *be)
{
    struct on_device *d = (struct on_device *)be;
    struct backend *device = d->device;
    free(d);
    return device;
}
