/* Weights that stay blocks on the card (struct weight_view): a number of four or eight bits, and for each 32
 * of a row a scale, with an offset where the type has one.
 *
 * Exact products and tables read value(), which is the number that the file means. Products on tensor cores
 * take pieces of eight columns as F16, which rounds once: an integer is exact in F16, and one fused
 * multiply-add makes the weight of it. How columns lie is made for them: a lane's pieces of four steps (two
 * of int8) are 16 bytes side by side. */
#ifndef VARGPT_CUDA_KERNELS_BLOCKS_CUH
#define VARGPT_CUDA_KERNELS_BLOCKS_CUH

#include "cuda/kernels/launch.h"
#include "cuda/portable_cuda.h"

/* A weight's row: its numbers, and its scales. */
template <typename Scale> struct block_row {
    const uint8_t *number;
    const Scale *scale;
};

template <typename Scale>
static __device__ __forceinline__ block_row<Scale> find_block_row(const struct weight_view &w, int row,
                                                                  int group_bytes)
{
    size_t groups = (size_t)(w.cols + WEIGHT_GROUP - 1) / WEIGHT_GROUP, at = (size_t)row * groups;
    return {(const uint8_t *)w.data + at * (size_t)group_bytes,
            (const Scale *)w.scale + at * (WEIGHT_GROUP / 32)};
}

/* The scales of four blocks side by side, in one load. */
template <typename Scale> struct alignas(4 * sizeof(Scale)) four_scales {
    Scale at[4];
};

/* Both halves of a pair. */
static __device__ __forceinline__ uint32_t both(uint32_t f16)
{
    return f16 | f16 << 16;
}

/* number + 1024 as integers of a few bits become F16: times one, less what was added, times the scale, plus
 * offset. */
static __device__ __forceinline__ uint32_t scale_pair(uint32_t above, uint32_t less, uint32_t by,
                                                      uint32_t offset)
{
    return fma_f16(fma_f16(above, 0x3c003c00, both(less)), by, offset);
}

struct blocks_q8_0 {
    typedef uint16_t scale;
    typedef block_row<scale> row;
    enum { GROUP_BYTES = WEIGHT_GROUP };
    static __device__ __forceinline__ row find(const struct weight_view &w, int at)
    {
        return find_block_row<scale>(w, at, GROUP_BYTES);
    }
    static __device__ __forceinline__ size_t place(int k)
    {
        return (size_t)(k / 64 * 64 + k % 32 / 8 * 16 + k % 64 / 32 * 8 + k % 8);
    }
    static __device__ __forceinline__ float value(const row &r, int k)
    {
        return f16_to_float(r.scale[k / 32]) * (float)(int8_t)r.number[place(k)];
    }

    /* eight columns */
    struct raw {
        uint32_t low, high;
        scale by;
    };
    static __device__ __forceinline__ raw load(const row &r, int k, int)
    {
        uint2 v = *(const uint2 *)(r.number + place(k));
        return {v.x, v.y, r.scale[k / 32]};
    }
    /* with its sign turned a byte is the number + 128 */
    static __device__ __forceinline__ uint32_t pair(uint32_t turned, int which, uint32_t by)
    {
        return scale_pair(bytes_above_1024(turned, which), 0xe480, by, 0); /* -1152 */
    }
    static __device__ __forceinline__ uint4 piece(const raw &v)
    {
        uint32_t by = both(v.by), low = v.low ^ 0x80808080u, high = v.high ^ 0x80808080u;
        uint4 p;
        p.x = pair(low, 0, by);
        p.y = pair(low, 1, by);
        p.z = pair(high, 0, by);
        p.w = pair(high, 1, by);
        return p;
    }

    /* AHEAD steps of 32 columns, eight of each, k being the first: in one that AHEAD divides */
    enum { AHEAD = 4, UNITS = 2 };
    struct ahead {
        uint4 number[AHEAD / 2];
        four_scales<scale> by;
    };
    static __device__ __forceinline__ void load_ahead(ahead &a, const row &r, int k, int)
    {
        const uint8_t *from = r.number + place(k);
        a.number[0] = *(const uint4 *)from;
        a.number[1] = *(const uint4 *)(from + 64);
        a.by = *(const four_scales<scale> *)(r.scale + k / 32);
    }
    static __device__ __forceinline__ uint4 piece(const ahead &a, int step)
    {
        const uint4 &v = a.number[step / 2];
        return piece(raw{step % 2 ? v.z : v.x, step % 2 ? v.w : v.y, a.by.at[step]});
    }
};

/* Scale: F16, or two of them, the second to be added. */
template <typename Scale> struct blocks_q4 {
    typedef Scale scale;
    typedef block_row<scale> row;
    enum { OFFSET = sizeof(scale) == 4, ZERO = OFFSET ? 0 : 8, GROUP_BYTES = WEIGHT_GROUP / 2 };
    static __device__ __forceinline__ row find(const struct weight_view &w, int at)
    {
        return find_block_row<scale>(w, at, GROUP_BYTES);
    }
    /* the four bytes of column k's piece */
    static __device__ __forceinline__ size_t place(int k)
    {
        return (size_t)(k / 128 * 64 + k % 32 / 8 * 16 + k % 128 / 32 * 4);
    }
    static __device__ __forceinline__ float value(const row &r, int k)
    {
        scale by = r.scale[k / 32];
        int number = r.number[place(k) + (size_t)(k % 2 * 2 + k % 8 / 4)] >> k % 4 / 2 * 4 & 15;
        float v = f16_to_float((uint16_t)by) * (float)(number - ZERO);
        return OFFSET ? v + f16_to_float((uint16_t)((uint32_t)by >> 16)) : v;
    }

    struct raw {
        uint32_t number;
        scale by;
    };
    static __device__ __forceinline__ raw load(const row &r, int k, int)
    {
        return {*(const uint32_t *)(r.number + place(k)), r.scale[k / 32]};
    }
    static __device__ __forceinline__ uint32_t pair(uint32_t number, uint32_t by, uint32_t offset)
    {
        uint32_t above = (number & 0x000f000fu) | 0x64006400u;
        return scale_pair(above, OFFSET ? 0xe400 : 0xe408, by, offset); /* -1024 - ZERO */
    }
    static __device__ __forceinline__ uint4 piece(const raw &v)
    {
        uint32_t by = both((uint16_t)v.by), offset = OFFSET ? both((uint32_t)v.by >> 16) : 0;
        uint4 p;
        p.x = pair(v.number, by, offset);
        p.y = pair(v.number >> 4, by, offset);
        p.z = pair(v.number >> 8, by, offset);
        p.w = pair(v.number >> 12, by, offset);
        return p;
    }

    enum { AHEAD = 4, UNITS = 2 };
    struct ahead {
        uint4 number;
        four_scales<scale> by;
    };
    static __device__ __forceinline__ void load_ahead(ahead &a, const row &r, int k, int)
    {
        a.number = *(const uint4 *)(r.number + place(k));
        a.by = *(const four_scales<scale> *)(r.scale + k / 32);
    }
    static __device__ __forceinline__ uint4 piece(const ahead &a, int step)
    {
        const uint4 &v = a.number;
        return piece(raw{step == 0 ? v.x : step == 1 ? v.y : step == 2 ? v.z : v.w, a.by.at[step]});
    }
};
struct blocks_q4_0 : blocks_q4<uint16_t> {
};
struct blocks_q4_1 : blocks_q4<uint32_t> {
};

#endif
