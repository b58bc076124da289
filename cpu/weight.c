#include "cpu/backend_state.h"

#include "base/memory.h"
#include "engine/block.h"

#include <stdlib.h>

static void dequantise(void *to, enum dtype type, const struct host_matrix *m, size_t n)
{
    const char *in = m->data;
    float block[BLOCK_WEIGHTS];
    for (size_t i = 0; i < n; i += BLOCK_WEIGHTS, in += dtype_bytes(m->type, BLOCK_WEIGHTS)) {
        block_decode(block, in, m->type);
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
    bool blocks = dtype_is_blocks(m->type);
    if (m->rows <= 0 || m->cols <= 0 || m->type >= DTYPE_I32)
        return error_set(err, STATUS_BAD_FILE, "a weight of %d x %d values of type %s cannot be used",
                         m->rows, m->cols, dtype_name(m->type));
    if (blocks && m->cols % BLOCK_WEIGHTS)
        return error_set(err, STATUS_BAD_FILE, "rows of %d values do not divide into blocks of %d", m->cols,
                         BLOCK_WEIGHTS);
    size_t n = (size_t)m->rows * (size_t)m->cols;
    enum dtype type = !blocks ? m->type : blocks_fit_f16(m->data, m->type, n) ? DTYPE_F16 : DTYPE_F32;
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
