/* The only header of ours that kernels include: CUDA for nvcc, its emulation for any other C++ compiler.
 *
 * What kernels keep to, so that both run them alike: shared memory by SHARED_ARRAY, launches by LAUNCH(kernel, blocks,
 * threads, stream, arguments...), whole warps in warp exchanges, no reliance on lock-step, fmaf() where a fused
 * multiply-add is meant (both compilers are told to fuse nothing else), inline PTX only in wrappers that have an emulated
 * twin. 16-bit numbers are stored as uint16_t. */
#ifndef VARGPT_CUDA_PORTABLE_CUDA_H
#define VARGPT_CUDA_PORTABLE_CUDA_H

#include "engine/tensor.h"

#ifdef __CUDACC__

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdint.h>

#define SHARED_ARRAY(type, name, n) __shared__ type name[n]

template <typename... Parameters, typename... Arguments>
void start_kernel(void (*kernel)(Parameters...), dim3 blocks, dim3 threads, cudaStream_t stream,
                  Arguments... arguments)
{
    kernel<<<blocks, threads, 0, stream>>>(static_cast<Parameters>(arguments)...);
}
#define LAUNCH(kernel, blocks, threads, stream, ...) start_kernel(kernel, blocks, threads, stream, __VA_ARGS__)

static __device__ __forceinline__ float f16_to_float(uint16_t bits)
{
    return __half2float(__ushort_as_half(bits));
}

#else

#include "cuda/emulator/emulate.h"

/* Exact: moves exponent and fraction into place and lets a multiplication rebias them, subnormals included. */
static inline float f16_to_float(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16, rest = (uint32_t)(bits & 0x7fff) << 13;
    if (rest >= (uint32_t)0x7c00 << 13)
        return __uint_as_float(sign | rest | 0x7f800000);
    return __uint_as_float(sign | __float_as_uint(__uint_as_float(rest) * 5192296858534827628530496329220096.0f));
}

#endif

static __device__ __forceinline__ float bf16_to_float(uint16_t bits)
{
    return __uint_as_float((uint32_t)bits << 16);
}

/* Sums and maxima over a warp: the same tree for every lane, so that all get the same bits. */
template <typename T> static __device__ __forceinline__ T warp_sum(T value)
{
    for (int by = 16; by > 0; by /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, by);
    return value;
}

static __device__ __forceinline__ float warp_max(float value)
{
    for (int by = 16; by > 0; by /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, by));
    return value;
}

/* The sum over a block of THREADS threads, for all of them. sums: shared, THREADS / 32 + 1 values. */
template <int THREADS, typename T> static __device__ __forceinline__ T block_sum(T value, T *sums)
{
    value = warp_sum(value);
    __syncthreads(); /* whoever still reads an earlier sum */
    if (threadIdx.x % 32 == 0)
        sums[threadIdx.x / 32] = value;
    __syncthreads();
    T sum = sums[0];
    for (int i = 1; i < THREADS / 32; i++)
        sum += sums[i];
    return sum;
}

/* enum activation, as engine/tensor.h defines them. */
static __device__ __forceinline__ float activate(float x, int activation)
{
    switch (activation) {
    case ACT_GELU: return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    case ACT_GELU_TANH: /* (1 + tanh u) / 2 is the sigmoid of 2u */
        return x / (1.0f + expf(-1.59576912160573071f * (x * fmaf(x * x, 0.044715f, 1.0f))));
    case ACT_QUICK_GELU: return x / (1.0f + expf(-1.702f * x));
    case ACT_SILU: return x / (1.0f + expf(-x));
    default: return x;
    }
}

/* N values at once (1 or 4; 4: 16-byte aligned). */
template <int N> static __device__ __forceinline__ void load_floats(float to[N], const float *from)
{
    if (N == 4) {
        float4 v = *(const float4 *)from;
        to[0] = v.x;
        to[1 % N] = v.y;
        to[2 % N] = v.z;
        to[3 % N] = v.w;
    } else {
        to[0] = from[0];
    }
}

template <int N> static __device__ __forceinline__ void store_floats(float *to, const float from[N])
{
    if (N == 4) {
        float4 v;
        v.x = from[0];
        v.y = from[1 % N];
        v.z = from[2 % N];
        v.w = from[3 % N];
        *(float4 *)to = v;
    } else {
        to[0] = from[0];
    }
}

#endif
