#include "engine/model/checkpoint.h"

#include "engine/block.h"

#include <assert.h>
#include <string.h>

static uint16_t load_u16(const unsigned char *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static void expand_blocks(enum dtype type, const unsigned char *p, size_t n, float *out)
{
    const size_t bytes = dtype_bytes(type, BLOCK_WEIGHTS);
    float last[BLOCK_WEIGHTS];
    for (; n >= BLOCK_WEIGHTS; n -= BLOCK_WEIGHTS, out += BLOCK_WEIGHTS, p += bytes)
        block_decode(out, p, type);
    if (n) {
        block_decode(last, p, type);
        memcpy(out, last, n * sizeof *out);
    }
}

void checkpoint_to_f32(const struct checkpoint_tensor *t, size_t first, size_t n, float *out)
{
    const unsigned char *p = t->data;
    switch (t->type) {
    case DTYPE_F32: memcpy(out, p + first * 4, n * 4); return;
    case DTYPE_F16:
        for (size_t i = 0; i < n; i++)
            out[i] = f16_to_float(load_u16(p + (first + i) * 2));
        return;
    case DTYPE_BF16:
        for (size_t i = 0; i < n; i++)
            out[i] = bf16_to_float(load_u16(p + (first + i) * 2));
        return;
    case DTYPE_I32:
        for (size_t i = 0; i < n; i++) {
            int32_t value;
            memcpy(&value, p + (first + i) * 4, 4);
            out[i] = (float)value;
        }
        return;
    case DTYPE_Q8_0:
    case DTYPE_Q4_0:
    case DTYPE_Q4_1:
        assert(first % BLOCK_WEIGHTS == 0);
        expand_blocks(t->type, p + dtype_bytes(t->type, first), n, out);
        return;
    case DTYPE_I8: /* no file's */
    case DTYPE_COUNT: break;
    }
    assert(!"a tensor's type");
}
