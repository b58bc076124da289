/* Kernels with the mistakes that the emulator must see, each started by a function for the C test. */
#include "mistakes.h"

#include "cuda/portable_cuda.h"

enum { THREADS = 64 };

__global__ void skips_barrier(float *out)
{
    if (threadIdx.x < 40)
        __syncthreads();
    out[threadIdx.x] = 1;
}

__global__ void splits_barriers(float *out)
{
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
    out[threadIdx.x] = 1;
}

__global__ void loses_lane(float *out)
{
    float v = (float)threadIdx.x;
    if (threadIdx.x != 5)
        v = __shfl_xor_sync(0xffffffffu, v, 1);
    out[threadIdx.x] = v;
}

__global__ void mixes_exchanges(float *out)
{
    float v = (float)threadIdx.x;
    if (threadIdx.x % 2)
        v = __shfl_xor_sync(0xffffffffu, v, 1);
    else
        v = (float)__ballot_sync(0xffffffffu, 1);
    out[threadIdx.x] = v;
}

__global__ void names_half_a_warp(float *out)
{
    out[threadIdx.x] = threadIdx.x < 16 ? __shfl_xor_sync(0xffffu, 1.0f, 1) : 0;
}

__global__ void overruns_shared(float *out)
{
    SHARED_ARRAY(float, values, THREADS);
    values[threadIdx.x + (threadIdx.x == 63)] = 1;
    __syncthreads();
    out[threadIdx.x] = values[threadIdx.x];
}

__global__ void takes_much_shared(float *out)
{
    SHARED_ARRAY(float, values, 13 * 1024);
    values[threadIdx.x] = 1;
    out[threadIdx.x] = values[threadIdx.x];
}

/* Right or wrong by the order of threads: the barrier between writing and reading is missing. */
__global__ void races(float *out)
{
    SHARED_ARRAY(float, values, THREADS);
    values[threadIdx.x] = (float)threadIdx.x;
    out[threadIdx.x] = values[(threadIdx.x + 1) % THREADS];
}

/* What is never written is a NaN. */
__global__ void reads_uninitialised(float *out)
{
    SHARED_ARRAY(float, values, THREADS);
    if (threadIdx.x % 2)
        values[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = values[threadIdx.x];
}

/* All there is, used as it should be: the sum of 0..63 by every means. */
__global__ void behaves(float *out)
{
    SHARED_ARRAY(int, counter, 1);
    SHARED_ARRAY(float, sums, 2);
    if (threadIdx.x == 0)
        counter[0] = 0;
    __syncthreads();
    atomicAdd(&counter[0], (int)threadIdx.x);
    float sum = block_sum<THREADS>((float)threadIdx.x, sums);
    unsigned odd = __ballot_sync(0xffffffffu, threadIdx.x % 2);
    float up = __shfl_up_sync(0xffffffffu, (float)threadIdx.x, 1), lane = threadIdx.x % 32;
    bool right = odd == 0xaaaaaaaau && up == (lane > 0 ? threadIdx.x - 1 : threadIdx.x) && counter[0] == 2016;
    out[threadIdx.x] = right ? sum : -1;
}

static void (*const kernels[])(float *) = {
    skips_barrier,   splits_barriers,   loses_lane, mixes_exchanges,     names_half_a_warp,
    overruns_shared, takes_much_shared, races,      reads_uninitialised, behaves,
};

void start_mistake(cudaStream_t stream, enum mistake mistake, float *out)
{
    LAUNCH(kernels[mistake], 2, THREADS, stream, out);
}

__global__ void adds(float *to, const float *from)
{
    to[threadIdx.x] += from[threadIdx.x];
}

void start_add(cudaStream_t stream, float *to, const float *from)
{
    LAUNCH(adds, 1, THREADS, stream, to, from);
}

void start_large_block(cudaStream_t stream, float *out)
{
    LAUNCH(behaves, 1, 2048, stream, out);
}
