#include "cpu/backend_state.h"
#include "cpu/half.h"

#include "base/memory.h"

#include <stdlib.h>

enum { BLOCK_WEIGHTS = 32 };

static uint16_t read_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

/* The 32 weights of one block; returns the bytes it takes. */
static size_t block_decode(float out[BLOCK_WEIGHTS], const uint8_t *in, enum dtype type)
{
    float d = f16_to_float(read_u16(in));
    if (type == DTYPE_Q8_0) {
        for (int i = 0; i < BLOCK_WEIGHTS; i++)
            out[i] = d * (float)(int8_t)in[2 + i];
        return 34;
    }
    const uint8_t *q = in + (type == DTYPE_Q4_0 ? 2 : 4);
    float m = type == DTYPE_Q4_0 ? -8 * d : f16_to_float(read_u16(in + 2));
    for (int i = 0; i < BLOCK_WEIGHTS / 2; i++) {
        out[i] = d * (float)(q[i] & 15) + m;
        out[i + BLOCK_WEIGHTS / 2] = d * (float)(q[i] >> 4) + m;
    }
    return type == DTYPE_Q4_0 ? 18 : 20;
}

/* Whether F16 holds the matrix as well as F32 does for our purpose: no value overflows. Rounding to 11 bits
 * of a product of an 11-bit scale and a small integer costs at most 2^-11 of a weight, an order below the
 * block's own quantisation step. */
static bool fits_f16(const struct host_matrix *m, size_t n)
{
    const uint8_t *in = m->data;
    float block[BLOCK_WEIGHTS];
    for (size_t i = 0; i < n; i += BLOCK_WEIGHTS) {
        in += block_decode(block, in, m->type);
        for (int j = 0; j < BLOCK_WEIGHTS; j++) {
            if ((float_to_f16(block[j]) & 0x7c00) == 0x7c00)
                return false;
        }
    }
    return true;
}

static void dequantise(void *to, enum dtype type, const struct host_matrix *m, size_t n)
{
    const uint8_t *in = m->data;
    float block[BLOCK_WEIGHTS];
    for (size_t i = 0; i < n; i += BLOCK_WEIGHTS) {
        in += block_decode(block, in, m->type);
        for (int j = 0; j < BLOCK_WEIGHTS; j++) {
            if (type == DTYPE_F16)
                ((uint16_t *)to)[i + (size_t)j] = float_to_f16(block[j]);
            else
                ((float *)to)[i + (size_t)j] = block[j];
        }
    }
}

enum status cpu_weight_load(struct backend *be, struct weight **out, const struct host_matrix *m,
                            struct error *err)
{
    (void)be;
    bool blocks = m->type == DTYPE_Q8_0 || m->type == DTYPE_Q4_0 || m->type == DTYPE_Q4_1;
    if (m->rows <= 0 || m->cols <= 0 || m->type >= DTYPE_I32)
        return error_set(err, STATUS_BAD_FILE, "a weight of %d x %d values of type %s cannot be used",
                         m->rows, m->cols, dtype_name(m->type));
    if (blocks && m->cols % BLOCK_WEIGHTS)
        return error_set(err, STATUS_BAD_FILE, "rows of %d values do not divide into blocks of %d", m->cols,
                         BLOCK_WEIGHTS);
    size_t n = (size_t)m->rows * (size_t)m->cols;
    enum dtype type = !blocks ? m->type : fits_f16(m, n) ? DTYPE_F16 : DTYPE_F32;
    struct weight *w = xcalloc(1, sizeof *w);
    *w = (struct weight){.data = m->data, .type = type, .rows = m->rows, .cols = m->cols};
    bool aligned = (uintptr_t)m->data % dtype_bytes(type, 1) == 0;
    if (blocks || !m->stays || !aligned) {
        w->owned = try_malloc_aligned(n, dtype_bytes(type, 1));
        if (!w->owned) {
            free(w);
            return error_set(err, STATUS_NO_MEMORY, "no memory for a weight of %d x %d values", m->rows,
                             m->cols);
        }
        if (blocks)
            dequantise(w->owned, type, m, n);
        else
            memcpy(w->owned, m->data, dtype_bytes(type, n));
        w->data = w->owned;
    }
    *out = w;
    return STATUS_OK;
}

void cpu_weight_free(struct backend *be, struct weight *w)
{
    (void)be;
    if (!w)
        return;
    free(w->owned);
    free(w);
}
