/* The only header of ours that kernels include: CUDA for nvcc, its emulation for any other C++ compiler.
 *
 * What kernels keep to, so that both run them alike: shared memory by SHARED_ARRAY, launches by
 * LAUNCH(kernel, blocks, threads, stream, arguments...), whole warps in warp exchanges, no reliance on
 * lock-step, fmaf() where a fused multiply-add is meant (both compilers are told to fuse nothing else),
 * inline PTX only in wrappers that have an emulated twin. 16-bit numbers are stored as uint16_t. */
#ifndef VARGPT_CUDA_PORTABLE_CUDA_H
#define VARGPT_CUDA_PORTABLE_CUDA_H

#include "engine/tensor.h"

#ifdef __CUDACC__

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdint.h>

#define SHARED_ARRAY(type, name, n) __shared__ type name[n]
#define UNROLL                      _Pragma("unroll") /* so that the arrays it walks stay in registers */

template <typename... Parameters, typename... Arguments>
void start_kernel(void (*kernel)(Parameters...), dim3 blocks, dim3 threads, cudaStream_t stream,
                  Arguments... arguments)
{
    kernel<<<blocks, threads, 0, stream>>>(static_cast<Parameters>(arguments)...);
}
#define LAUNCH(kernel, blocks, threads, stream, ...)                                                         \
    start_kernel(kernel, blocks, threads, stream, __VA_ARGS__)

static __device__ __forceinline__ float f16_to_float(uint16_t bits)
{
    return __half2float(__ushort_as_half(bits));
}

/* Two numbers rounded to nearest even, `low` in the low half. */
static __device__ __forceinline__ uint32_t pack_bf16(float low, float high)
{
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return (uint32_t)__bfloat16_as_ushort(pair.x) | (uint32_t)__bfloat16_as_ushort(pair.y) << 16;
}

static __device__ __forceinline__ uint32_t pack_f16(float low, float high)
{
    __half2 pair = __floats2half2_rn(low, high);
    return (uint32_t)__half_as_ushort(pair.x) | (uint32_t)__half_as_ushort(pair.y) << 16;
}

/* a * b + c of two F16 numbers each, rounded once. */
static __device__ __forceinline__ uint32_t fma_f16(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t d;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

/* Bytes 2 * which and 2 * which + 1 of x as F16 numbers, 1024 higher. */
static __device__ __forceinline__ uint32_t bytes_above_1024(uint32_t x, int which)
{
    return __byte_perm(x, 0x64006400, which ? 0x5352 : 0x5150);
}

/* d += a . b on tensor cores: a is 16 x 16, b is 16 x 8 of 16-bit numbers, d is 16 x 8 in float32. With g =
 * lane / 4 and t = lane % 4 a lane holds of a: (row g, columns 2t, 2t+1), (g+8, the same), (g, 2t+8, 2t+9),
 * (g+8, the same); of b: (rows 2t, 2t+1, column g), (rows 2t+8, 2t+9, column g); of d: (row g, columns 2t,
 * 2t+1), (row g+8, the same). */
static __device__ __forceinline__ void multiply_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

static __device__ __forceinline__ void multiply_f16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#else

#include "cuda/emulator/emulate.h"
#include "cuda/emulator/half.h"

#define UNROLL

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
