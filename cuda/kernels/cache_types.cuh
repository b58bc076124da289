/* How keys and values are kept (struct kv_layer in engine/backend.h), and how kernels read them: float32,
 * BF16, or int8 multiples of a scale that a slot's head has.
 *
 * Each type says what the exact kernels need: value(), without the scale; and what the tensor cores' operands
 * need, of BF16 all: PIECES pieces of eight columns side by side of a key in one go (16 bytes from memory, 32
 * of float32), and WIDTH columns side by side of a value. int8 becomes BF16 without rounding: its scale
 * multiplies scores and weights instead. */
#ifndef VARGPT_CUDA_KERNELS_CACHE_TYPES_CUH
#define VARGPT_CUDA_KERNELS_CACHE_TYPES_CUH

#include "cuda/portable_cuda.h"

static __device__ __forceinline__ uint4 pack_piece(const float x[8])
{
    uint4 piece;
    piece.x = pack_bf16(x[0], x[1]);
    piece.y = pack_bf16(x[2], x[3]);
    piece.z = pack_bf16(x[4], x[5]);
    piece.w = pack_bf16(x[6], x[7]);
    return piece;
}

static __device__ __forceinline__ uint4 no_piece()
{
    uint4 piece;
    piece.x = piece.y = piece.z = piece.w = 0;
    return piece;
}

/* Four int8 as numbers: with its sign turned each is a byte to be put into 2^23's fraction. */
static __device__ __forceinline__ void unpack_i8(float to[4], uint32_t bytes)
{
    uint32_t above = bytes ^ 0x80808080u;
    UNROLL
    for (int i = 0; i < 4; i++)
        to[i] = __uint_as_float(0x4b000000u | (above >> 8 * i & 0xff)) - 8388736.0f;
}

struct cache_f32 {
    typedef float type;
    enum { SCALED = 0, PIECES = 1, WIDTH = 4 };
    struct columns {
        float value[WIDTH];
    };
    static __device__ __forceinline__ float value(float stored)
    {
        return stored;
    }
    /* All: zeros where `from` is NULL. */
    static __device__ __forceinline__ void load_key(uint4 piece[PIECES], const float *from)
    {
        float x[8] = {};
        if (from) {
            load_floats<4>(x, from);
            load_floats<4>(x + 4, from + 4);
        }
        piece[0] = pack_piece(x);
    }
    static __device__ __forceinline__ void load_value(columns &to, const float *from)
    {
        UNROLL
        for (int i = 0; i < WIDTH; i++)
            to.value[i] = 0;
        if (from)
            load_floats<4>(to.value, from);
    }
    /* Column j of two values. */
    static __device__ __forceinline__ uint32_t pair(const columns &low, const columns &high, int j)
    {
        return pack_bf16(low.value[j], high.value[j]);
    }
};

struct cache_bf16 {
    typedef uint16_t type;
    enum { SCALED = 0, PIECES = 1, WIDTH = 8 };
    struct columns {
        uint32_t word[WIDTH / 2];
    };
    static __device__ __forceinline__ float value(uint16_t stored)
    {
        return bf16_to_float(stored);
    }
    static __device__ __forceinline__ void load_key(uint4 piece[PIECES], const uint16_t *from)
    {
        piece[0] = from ? *(const uint4 *)from : no_piece();
    }
    static __device__ __forceinline__ void load_value(columns &to, const uint16_t *from)
    {
        uint4 v = from ? *(const uint4 *)from : no_piece();
        to.word[0] = v.x;
        to.word[1] = v.y;
        to.word[2] = v.z;
        to.word[3] = v.w;
    }
    static __device__ __forceinline__ uint32_t pair(const columns &low, const columns &high, int j)
    {
        uint32_t a = low.word[j / 2], b = high.word[j / 2];
        return j % 2 ? a >> 16 | (b & 0xffff0000u) : (a & 0xffffu) | b << 16;
    }
};

struct cache_i8 {
    typedef int8_t type;
    enum { SCALED = 1, PIECES = 2, WIDTH = 8 };
    struct columns {
        uint32_t word[WIDTH / 4];
    };
    static __device__ __forceinline__ float value(int8_t stored)
    {
        return (float)stored;
    }
    static __device__ __forceinline__ void load_key(uint4 piece[PIECES], const int8_t *from)
    {
        uint4 v = from ? *(const uint4 *)from : no_piece();
        float x[16];
        unpack_i8(x, v.x);
        unpack_i8(x + 4, v.y);
        unpack_i8(x + 8, v.z);
        unpack_i8(x + 12, v.w);
        piece[0] = pack_piece(x);
        piece[1] = pack_piece(x + 8);
    }
    static __device__ __forceinline__ void load_value(columns &to, const int8_t *from)
    {
        to.word[0] = to.word[1] = 0;
        if (from) {
            uint2 v = *(const uint2 *)from;
            to.word[0] = v.x;
            to.word[1] = v.y;
        }
    }
    static __device__ __forceinline__ uint32_t pair(const columns &low, const columns &high, int j)
    {
        float a[4], b[4];
        unpack_i8(a, low.word[j / 4]);
        unpack_i8(b, high.word[j / 4]);
        return pack_bf16(a[j % 4], b[j % 4]);
    }
};

#endif
