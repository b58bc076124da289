#include "engine/model/checkpoint.h"

#include <assert.h>
#include <string.h>

enum { BLOCK = 32 };

static uint16_t load_u16(const unsigned char *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float float_from_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 31) /* infinities and NaNs keep their payload */
        return float_from_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0) { /* zeros and denormals: fraction * 2^-24 is exact */
        float magnitude = (float)fraction * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

/* One block of quantised weights. */
static void expand_block(enum dtype type, const unsigned char *p, float out[BLOCK])
{
    const float d = float_from_half(load_u16(p));
    if (type == DTYPE_Q8_0) {
        for (int i = 0; i < BLOCK; i++)
            out[i] = d * (float)(int8_t)p[2 + i];
        return;
    }
    const bool has_minimum = type == DTYPE_Q4_1;
    const float minimum = has_minimum ? float_from_half(load_u16(p + 2)) : 0;
    const unsigned char *nibbles = p + (has_minimum ? 4 : 2);
    for (int i = 0; i < BLOCK / 2; i++) {
        const int low = nibbles[i] & 15, high = nibbles[i] >> 4;
        out[i] = has_minimum ? d * (float)low + minimum : d * (float)(low - 8);
        out[i + BLOCK / 2] = has_minimum ? d * (float)high + minimum : d * (float)(high - 8);
    }
}

static void expand_blocks(enum dtype type, const unsigned char *p, size_t n, float *out)
{
    const size_t bytes = dtype_bytes(type, BLOCK);
    float last[BLOCK];
    for (; n >= BLOCK; n -= BLOCK, out += BLOCK, p += bytes)
        expand_block(type, p, out);
    if (n) {
        expand_block(type, p, last);
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
            out[i] = float_from_half(load_u16(p + (first + i) * 2));
        return;
    case DTYPE_BF16:
        for (size_t i = 0; i < n; i++)
            out[i] = float_from_bits((uint32_t)load_u16(p + (first + i) * 2) << 16);
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
        assert(first % BLOCK == 0);
        expand_blocks(t->type, p + dtype_bytes(t->type, first), n, out);
        return;
    case DTYPE_I8: /* no file's */
    case DTYPE_COUNT: break;
    }
    assert(!"a tensor's type");
}
