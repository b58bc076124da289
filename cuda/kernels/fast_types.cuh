/* The two 16-bit types that fast products compute with: rounding to them, and multiplying on tensor cores. */
#ifndef VARGPT_CUDA_KERNELS_FAST_TYPES_CUH
#define VARGPT_CUDA_KERNELS_FAST_TYPES_CUH

#include "cuda/portable_cuda.h"

struct bf16 {
    static __device__ __forceinline__ float value(uint32_t bits)
    {
        return bf16_to_float((uint16_t)bits);
    }
    static __device__ __forceinline__ uint32_t pack(float low, float high)
    {
        return pack_bf16(low, high);
    }
    static __device__ __forceinline__ void multiply(float d[4], const uint32_t a[4], const uint32_t b[2])
    {
        multiply_bf16(d, a, b);
    }
};

struct f16 {
    static __device__ __forceinline__ float value(uint32_t bits)
    {
        return f16_to_float((uint16_t)bits);
    }
    static __device__ __forceinline__ float limit(float v)
    {
        return v > 65504.0f ? 65504.0f : v < -65504.0f ? -65504.0f : v; /* NaN stays */
    }
    static __device__ __forceinline__ uint32_t pack(float low, float high)
    {
        return pack_f16(limit(low), limit(high));
    }
    static __device__ __forceinline__ void multiply(float d[4], const uint32_t a[4], const uint32_t b[2])
    {
        multiply_f16(d, a, b);
    }
};

/* Eight neighbours, 16 bytes. */
template <typename T> static __device__ __forceinline__ uint4 pack_piece(const float x[8])
{
    uint4 piece;
    piece.x = T::pack(x[0], x[1]);
    piece.y = T::pack(x[2], x[3]);
    piece.z = T::pack(x[4], x[5]);
    piece.w = T::pack(x[6], x[7]);
    return piece;
}

#endif
