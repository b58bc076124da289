#include "cuda/backend_state.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_WEIGHTS = 32 };

static float f16_value(unsigned bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float v = exponent == 31  ? INFINITY
              : exponent == 0 ? ldexpf((float)fraction, -24)
                              : ldexpf((float)(1024 + fraction), exponent - 25);
    return bits & 0x8000 ? -v : v;
}

/* Round to nearest, ties to even; beyond 65504 gives infinity. */
static uint16_t f16_bits(float f)
{
    uint16_t sign = signbit(f) ? 0x8000 : 0;
    float size = fabsf(f);
    int exponent;
    if (!(size < 65520))
        return sign | 0x7c00;
    if (size == 0)
        return sign;
    frexpf(size, &exponent); /* size = m * 2^exponent, m in [1/2, 1) */
    int step = exponent - 11 < -24 ? -24 : exponent - 11;
    uint16_t units = (uint16_t)lrintf(ldexpf(size, -step)); /* of 2^step; up to 2048 */
    if (step == -24)
        return sign | units;
    return (uint16_t)(sign | (((step + 24) << 10) + units));
}

static unsigned read_u16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

/* The 32 weights of one block; returns the bytes it takes. */
static size_t decode_block(float out[BLOCK_WEIGHTS], const uint8_t *in, enum dtype type)
{
    float d = f16_value(read_u16(in));
    if (type == DTYPE_Q8_0) {
        for (int i = 0; i < BLOCK_WEIGHTS; i++)
            out[i] = d * (float)(int8_t)in[2 + i];
        return 34;
    }
    const uint8_t *q = in + (type == DTYPE_Q4_0 ? 2 : 4);
    float m = type == DTYPE_Q4_0 ? -8 * d : f16_value(read_u16(in + 2));
    for (int i = 0; i < BLOCK_WEIGHTS / 2; i++) {
        out[i] = d * (float)(q[i] & 15) + m;
        out[i + BLOCK_WEIGHTS / 2] = d * (float)(q[i] >> 4) + m;
    }
    return type == DTYPE_Q4_0 ? 18 : 20;
}

/* The blocks as F16 into to; false where a value is too large for it. */
static bool decode_f16(uint16_t *to, const struct host_matrix *m, size_t n)
{
    const uint8_t *in = m->data;
    float block[BLOCK_WEIGHTS];
    for (size_t i = 0; i < n; i += BLOCK_WEIGHTS) {
        in += decode_block(block, in, m->type);
        for (size_t j = 0; j < BLOCK_WEIGHTS; j++) {
            to[i + j] = f16_bits(block[j]);
            if ((to[i + j] & 0x7c00) == 0x7c00)
                return false;
        }
    }
    return true;
}

static void decode_f32(float *to, const struct host_matrix *m, size_t n)
{
    const uint8_t *in = m->data;
    for (size_t i = 0; i < n; i += BLOCK_WEIGHTS)
        in += decode_block(to + i, in, m->type);
}

/* Blocks become F16 where that holds them (it rounds a weight by 2^-11 at most, an order below the blocks'
 * own steps), else float32. Gives memory to free; NULL when there is none. */
static void *decode(const struct host_matrix *m, size_t n, enum dtype *type)
{
    uint16_t *half = try_malloc(n, sizeof *half);
    *type = DTYPE_F16;
    if (!half || decode_f16(half, m, n))
        return half;
    free(half);
    float *full = try_malloc(n, sizeof *full);
    *type = DTYPE_F32;
    if (full)
        decode_f32(full, m, n);
    return full;
}

static enum status check_matrix(const struct host_matrix *m, bool blocks, struct error *err)
{
    if (m->rows <= 0 || m->cols <= 0 || m->type >= DTYPE_I32)
        return error_set(err, STATUS_BAD_FILE, "a weight of %d x %d values of type %s cannot be used",
                         m->rows, m->cols, dtype_name(m->type));
    if (blocks && m->cols % BLOCK_WEIGHTS)
        return error_set(err, STATUS_BAD_FILE, "rows of %d values do not divide into blocks of %d", m->cols,
                         BLOCK_WEIGHTS);
    return STATUS_OK;
}

enum status cuda_weight_load(struct backend *be, struct weight **out, const struct host_matrix *m,
                             struct error *err)
{
    struct cuda_backend *c = cuda_state(be);
    bool blocks = m->type == DTYPE_Q8_0 || m->type == DTYPE_Q4_0 || m->type == DTYPE_Q4_1;
    if (check_matrix(m, blocks, err))
        return err ? err->status : STATUS_BAD_FILE;
    size_t n = (size_t)m->rows * (size_t)m->cols;
    struct weight *w = xcalloc(1, sizeof *w);
    *w = (struct weight){.type = m->type, .rows = m->rows, .cols = m->cols};
    void *decoded = blocks ? decode(m, n, &w->type) : NULL;
    enum status status = STATUS_OK;
    if (blocks && !decoded) {
        status =
            error_set(err, STATUS_NO_MEMORY, "no memory for a weight of %d x %d values", m->rows, m->cols);
    } else if (!(w->data = cuda_alloc(be, dtype_bytes(w->type, n)))) {
        status = c->failure.status != STATUS_OK
                     ? error_set(err, STATUS_DEVICE, "%s", c->failure.message)
                     : error_set(err, STATUS_NO_MEMORY, "no device memory for a weight of %d x %d values",
                                 m->rows, m->cols);
    } else {
        cuda_upload(be, w->data, blocks ? decoded : m->data, dtype_bytes(w->type, n));
        *out = w;
        w = NULL;
    }
    free(decoded);
    free(w);
    return status;
}

void cuda_weight_free(struct backend *be, struct weight *w)
{
    if (!w)
        return;
    cuda_free(be, w->data);
    free(w);
}
