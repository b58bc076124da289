/* Blocks of 32 weights as GGUF files have them: engine/tensor.h says what each type holds. */
#ifndef VARGPT_ENGINE_BLOCK_H
#define VARGPT_ENGINE_BLOCK_H

#include "base/half.h"
#include "engine/tensor.h"

#include <math.h>
#include <stdbool.h>

enum { BLOCK_WEIGHTS = 32 };

static inline bool dtype_is_blocks(enum dtype type)
{
    return type == DTYPE_Q8_0 || type == DTYPE_Q4_0 || type == DTYPE_Q4_1;
}

/* One block taken apart: weight i is d * q[i] + m. */
struct weight_block {
    uint16_t d, m; /* F16; m of DTYPE_Q4_1 only */
    int8_t q[BLOCK_WEIGHTS];
};

static inline struct weight_block block_read(const void *memory, enum dtype type)
{
    const uint8_t *in = (const uint8_t *)memory, *q = in + (type == DTYPE_Q4_1 ? 4 : 2);
    int zero = type == DTYPE_Q4_0 ? 8 : 0;
    struct weight_block b = {.d = (uint16_t)(in[0] | in[1] << 8)};
    if (type == DTYPE_Q4_1)
        b.m = (uint16_t)(in[2] | in[3] << 8);
    for (int i = 0; i < BLOCK_WEIGHTS; i++)
        b.q[i] = (int8_t)(type == DTYPE_Q8_0 ? q[i] : (q[i % 16] >> i / 16 * 4 & 15) - zero);
    return b;
}

static inline void block_decode(float out[BLOCK_WEIGHTS], const void *memory, enum dtype type)
{
    struct weight_block b = block_read(memory, type);
    float d = f16_to_float(b.d), m = f16_to_float(b.m);
    for (int i = 0; i < BLOCK_WEIGHTS; i++)
        out[i] = d * (float)b.q[i] + m; /* d * q is exact */
}

/* Whether n weights (a multiple of 32) are numbers that F16 holds, rounded: by 2^-11 at most, which is an
 * order below the blocks' own steps. */
static inline bool blocks_fit_f16(const void *memory, enum dtype type, size_t n)
{
    const char *in = (const char *)memory;
    float value[BLOCK_WEIGHTS];
    for (; n > 0; n -= BLOCK_WEIGHTS, in += dtype_bytes(type, BLOCK_WEIGHTS)) {
        block_decode(value, in, type);
        for (int i = 0; i < BLOCK_WEIGHTS; i++) {
            if (!(fabsf(value[i]) < 65520))
                return false;
        }
    }
    return true;
}

#endif
