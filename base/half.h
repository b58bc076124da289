/* 16-bit floating-point numbers in plain C. */
#ifndef VARGPT_BASE_HALF_H
#define VARGPT_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float bits_to_float(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t float_to_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float bf16_to_float(uint16_t h)
{
    return bits_to_float((uint32_t)h << 16);
}

/* Round to nearest, ties to even; NaN stays NaN. */
static inline uint16_t float_to_bf16(float f)
{
    uint32_t bits = float_to_bits(f), quiet = bits >> 16 | 0x40;
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

/* Exact: moves exponent and fraction into place and lets a multiplication by 2^112 rebias them, subnormals
 * included. */
static inline float f16_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = (uint32_t)(h & 0x7fff) << 13;
    if (rest >= (uint32_t)0x7c00 << 13)
        return bits_to_float(sign | rest | 0x7f800000);
    return bits_to_float(sign | float_to_bits(bits_to_float(rest) * 0x1p112f));
}

/* Round to nearest, ties to even; beyond 65504 gives infinity, NaN stays NaN. */
static inline uint16_t float_to_f16(float f)
{
    uint32_t bits = float_to_bits(f), sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (bits >= 0x477ff000)
        return (uint16_t)(sign | 0x7c00);
    if (bits < 0x38800000) /* subnormal: let the addition of 0.5 round at bit 2^-24 */
        return (uint16_t)(sign | (float_to_bits(bits_to_float(bits) + 0.5f) - 0x3f000000));
    bits += 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | (bits - 0x38000000) >> 13);
}

#endif
