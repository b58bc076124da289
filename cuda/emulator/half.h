/* 16-bit numbers and tensor cores, for compilers that are not nvcc: the emulated twins of portable_cuda.h's
 * wrappers. */
#ifndef VARGPT_CUDA_EMULATOR_HALF_H
#define VARGPT_CUDA_EMULATOR_HALF_H

#include "cuda/emulator/emulate.h"

/* Exact: moves exponent and fraction into place and lets a multiplication by 2^112 rebias them, subnormals
 * included. */
static inline float f16_to_float(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16, rest = (uint32_t)(bits & 0x7fff) << 13;
    if (rest >= (uint32_t)0x7c00 << 13)
        return __uint_as_float(sign | rest | 0x7f800000);
    return __uint_as_float(sign |
                           __float_as_uint(__uint_as_float(rest) * 5192296858534827628530496329220096.0f));
}

/* Round to nearest, ties to even; too large gives infinity, NaN stays NaN. */
static inline uint32_t float_to_f16(float f)
{
    uint32_t bits = __float_as_uint(f), sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000)
        return sign | 0x7e00;
    if (bits >= 0x477ff000)
        return sign | 0x7c00;
    if (bits < 0x38800000) /* subnormal: the addition of 0.5 rounds at bit 2^-24 */
        return sign | (__float_as_uint(__uint_as_float(bits) + 0.5f) - 0x3f000000);
    bits += 0xfff + (bits >> 13 & 1);
    return sign | (bits - 0x38000000) >> 13;
}

static inline uint32_t float_to_bf16(float f)
{
    uint32_t bits = __float_as_uint(f);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return 0x7fff;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static inline uint32_t pack_bf16(float low, float high)
{
    return float_to_bf16(low) | float_to_bf16(high) << 16;
}

static inline uint32_t pack_f16(float low, float high)
{
    return float_to_f16(low) | float_to_f16(high) << 16;
}

/* The same of a double, rounded once: to float by making its last bit odd where bits are lost. */
static inline uint32_t double_to_f16(double v)
{
    float f = (float)v;
    uint32_t bits = __float_as_uint(f);
    if ((double)f != v && !isnan(v) && !isinf(f))
        f = __uint_as_float((fabs((double)f) > fabs(v) ? bits - 1 : bits) | 1);
    return float_to_f16(f);
}

static inline uint32_t fma_f16(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t d[2];
    for (int i = 0; i < 2; i++) {
        double x =
            (double)f16_to_float((uint16_t)(a >> 16 * i)) * (double)f16_to_float((uint16_t)(b >> 16 * i));
        d[i] = double_to_f16(x + (double)f16_to_float((uint16_t)(c >> 16 * i)));
    }
    return d[0] | d[1] << 16;
}

static inline uint32_t bytes_above_1024(uint32_t x, int which)
{
    x >>= 16 * which;
    return 0x64006400u | (x & 0xff) | (x >> 8 & 0xff) << 16;
}

static inline float emulated_bf16(uint16_t bits)
{
    return __uint_as_float((uint32_t)bits << 16);
}

/* What the lanes hold, laid out as matrices, then the lane's four sums: products are exact, their sum is in
 * double and rounded once. A card adds with fewer bits; its results lie within the same bounds and not at the
 * same bits. */
template <float value(uint16_t)>
static inline void emulated_multiply(const char *what, float d[4], const uint32_t a[4], const uint32_t b[2])
{
    uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const char *all = emulated_exchange(what, 0xffffffffu, mine, sizeof mine);
    int g = emulated_here->lane / 4, t = emulated_here->lane % 4;
    for (int i = 0; i < 4; i++) {
        int row = g + i / 2 * 8, column = 2 * t + i % 2;
        double sum = d[i];
        for (int k = 0; k < 16; k++) {
            uint16_t x, y;
            memcpy(&x,
                   all + (row % 8 * 4 + k % 8 / 2) * EMULATED_SLOT + (row / 8 + k / 8 * 2) * 4 + k % 2 * 2,
                   2);
            memcpy(&y, all + (column * 4 + k % 8 / 2) * EMULATED_SLOT + (4 + k / 8) * 4 + k % 2 * 2, 2);
            sum += (double)value(x) * (double)value(y);
        }
        d[i] = (float)sum;
    }
}

static inline void multiply_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    emulated_multiply<emulated_bf16>("multiply_bf16", d, a, b);
}

static inline void multiply_f16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    emulated_multiply<f16_to_float>("multiply_f16", d, a, b);
}

#endif
