/* Keys and values on their way into the cache, a row at a time: what becomes of its heads, then its slot. */
#include "cpu/backend_state.h"

#include <math.h>
#include <string.h>

struct kv_job {
    struct kv_layer kv;
    struct tensor q, k, v;
    const int32_t *slot;
    const int32_t *position; /* rope_write */
    const float *inv_freq;
    const float *query_scale; /* norm_write */
};

/* One slot's keys or values. */
static void write_slot(const struct cpu_kernels *k, const struct kv_layer *kv, void *memory, float *scale,
                       int32_t slot, const float *x)
{
    size_t heads = (size_t)kv->heads, width = heads * (size_t)kv->head_dim;
    char *to = (char *)memory + (size_t)slot * dtype_bytes(kv->type, width);
    switch (kv->type) {
    case DTYPE_BF16: k->to_bf16((uint16_t *)(void *)to, x, (int)width); break;
    case DTYPE_I8:
        for (size_t h = 0; h < heads; h++) {
            size_t at = h * (size_t)kv->head_dim;
            scale[(size_t)slot * heads + h] = k->to_i8((int8_t *)to + at, x + at, kv->head_dim);
        }
        break;
    default: memcpy(to, x, width * sizeof(float)); break;
    }
}

static void write_row(const struct cpu_backend *c, const struct kv_job *j, int row)
{
    write_slot(c->k, &j->kv, j->kv.key, j->kv.key_scale, j->slot[row], tensor_row(j->k, row));
    write_slot(c->k, &j->kv, j->kv.value, j->kv.value_scale, j->slot[row], tensor_row(j->v, row));
}

static void kv_write_rows(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)thread;
    for (int r = first; r < first + n; r++)
        write_row(c, context, r);
}

void cpu_kv_write(struct backend *be, struct kv_layer kv, struct tensor k, struct tensor v,
                  const int32_t *slot)
{
    struct kv_job j = {.kv = kv, .k = k, .v = v, .slot = slot};
    cpu_for_ranges(cpu_state(be), k.rows, k.cols * 0.4, kv_write_rows, &j);
}

static void rotate_heads(const struct cpu_kernels *k, float *x, int cols, int half, const float *cosine,
                         const float *sine)
{
    for (int at = 0; at < cols; at += 2 * half)
        k->rope(x + at, half, cosine, sine);
}

static void rope_write_rows(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    const struct kv_job *j = context;
    int half = j->kv.head_dim / 2;
    float *cosine = c->scratch[thread], *sine = cosine + half;
    for (int r = first; r < first + n; r++) {
        for (int d = 0; d < half; d++) {
            float angle = (float)j->position[r] * j->inv_freq[d];
            cosine[d] = cosf(angle);
            sine[d] = sinf(angle);
        }
        rotate_heads(c->k, tensor_row(j->q, r), j->q.cols, half, cosine, sine);
        rotate_heads(c->k, tensor_row(j->k, r), j->k.cols, half, cosine, sine);
        write_row(c, j, r);
    }
}

void cpu_rope_write(struct backend *be, struct kv_layer kv, struct tensor q, struct tensor k, struct tensor v,
                    const int32_t *slot, const int32_t *position, const float *inv_freq)
{
    struct kv_job j = {kv, q, k, v, slot, .position = position, .inv_freq = inv_freq};
    if (!cpu_scratch_reserve(cpu_state(be), (size_t)kv.head_dim * sizeof(float)))
        return;
    cpu_for_ranges(cpu_state(be), k.rows, kv.head_dim * 20.0 + q.cols * 0.2 + k.cols * 0.6, rope_write_rows,
                   &j);
}

static void norm_write_rows(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)thread;
    const struct kv_job *j = context;
    int width = j->kv.head_dim;
    for (int r = first; r < first + n; r++) {
        for (int head = 0; head < j->q.cols / width; head++)
            c->k->head_norm(tensor_row(j->q, r) + head * width, width, j->query_scale[head]);
        for (int head = 0; head < j->kv.heads; head++)
            c->k->head_norm(tensor_row(j->k, r) + head * width, width, 1);
        write_row(c, j, r);
    }
}

void cpu_norm_write(struct backend *be, struct kv_layer kv, struct tensor q, struct tensor k, struct tensor v,
                    const int32_t *slot, const float *query_scale)
{
    struct kv_job j = {kv, q, k, v, slot, .query_scale = query_scale};
    cpu_for_ranges(cpu_state(be), k.rows, q.cols * 0.4 + k.cols * 0.8, norm_write_rows, &j);
}
