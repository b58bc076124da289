/* CUDA's language for kernels, as ordinary C++: what portable_cuda.h includes where the compiler is not nvcc.
 * See emulator.h for how it runs. */
#ifndef VARGPT_CUDA_EMULATOR_EMULATE_H
#define VARGPT_CUDA_EMULATOR_EMULATE_H

#include <cuda_runtime.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#define __global__ static
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    uint32_t x, y;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};

/* ---- where the running thread stands ---- */

struct emulated_place {
    dim3 thread, block, threads, blocks;
    int lane;
};
extern thread_local struct emulated_place *emulated_here;

#define threadIdx (emulated_here->thread)
#define blockIdx  (emulated_here->block)
#define blockDim  (emulated_here->threads)
#define gridDim   (emulated_here->blocks)

/* ---- meeting the others ---- */

enum { EMULATED_SLOT = 64 }; /* most bytes that a lane shows the others at once */

void emulated_syncthreads(const char *file, int line);
/* Leaves a value for the other lanes of the mask and returns when all have come: what they left,
 * EMULATED_SLOT bytes a lane, valid until this lane's next exchange but one. */
const char *emulated_exchange(const char *what, unsigned mask, const void *mine, size_t bytes);
/* Ends the program unless `lane` took part in the exchange. */
void emulated_check_lane(const char *what, unsigned mask, int lane);

#define __syncthreads() emulated_syncthreads(__FILE__, __LINE__)

static inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    emulated_exchange("__syncwarp", mask, "", 1);
}

template <typename T> T emulated_shuffle(const char *what, unsigned mask, T mine, int from)
{
    static_assert(sizeof(T) <= EMULATED_SLOT, "a value too large to be shuffled");
    const char *values = emulated_exchange(what, mask, &mine, sizeof mine);
    emulated_check_lane(what, mask, from);
    T theirs;
    memcpy(&theirs, values + from * EMULATED_SLOT, sizeof theirs);
    return theirs;
}

template <typename T> T __shfl_sync(unsigned mask, T value, int lane)
{
    return emulated_shuffle("__shfl_sync", mask, value, lane & 31);
}

template <typename T> T __shfl_xor_sync(unsigned mask, T value, int by)
{
    return emulated_shuffle("__shfl_xor_sync", mask, value, emulated_here->lane ^ by);
}

template <typename T> T __shfl_up_sync(unsigned mask, T value, int by)
{
    int lane = emulated_here->lane;
    return emulated_shuffle("__shfl_up_sync", mask, value, lane < by ? lane : lane - by);
}

static inline unsigned __ballot_sync(unsigned mask, int vote)
{
    const char *values = emulated_exchange("__ballot_sync", mask, &vote, sizeof vote);
    unsigned votes = 0;
    for (int lane = 0; lane < 32; lane++) {
        int theirs = 0;
        if (mask >> lane & 1)
            memcpy(&theirs, values + lane * EMULATED_SLOT, sizeof theirs);
        votes |= (unsigned)(theirs != 0) << lane;
    }
    return votes;
}

/* ---- memory of a block ---- */

/* The block's array of that place in the source: filled with NaNs when the first thread comes by, with guards
 * around it, and counted against what a block may have. */
void *emulated_shared(size_t bytes, const char *name, int line);

#define SHARED_ARRAY(type, name, n)                                                                          \
    type *const name = (type *)emulated_shared(sizeof(type) * (n), #name, __LINE__)

template <typename T> T atomicAdd(T *at, T value)
{
    T before = *at;
    *at = (T)(before + value);
    return before;
}

template <typename T> T atomicMax(T *at, T value)
{
    T before = *at;
    *at = before < value ? value : before;
    return before;
}

template <typename T> T __ldg(const T *at)
{
    return *at;
}

/* ---- arithmetic ---- */

static inline float __uint_as_float(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t __float_as_uint(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* ---- launches ---- */

struct emulated_work {
    virtual void run() = 0;
    virtual const char *name() const = 0; /* for messages */
    virtual ~emulated_work()
    {
    }
};
/* Takes the work; it runs when something waits for the stream. While the stream is captured the graph gets
 * it. */
void emulated_enqueue(cudaStream_t, emulated_work *);
/* The same of a kernel, which emulator_submissions() counts. */
void emulated_enqueue_kernel(cudaStream_t, emulated_work *);
/* Ends the program unless the stream is of the current device. */
void emulated_check_stream(const char *kernel, cudaStream_t);
/* Ends the program when a kernel's argument holds the address of another device's memory. */
void emulated_check_argument(const char *kernel, cudaStream_t, const void *argument, size_t bytes);

typedef void emulated_body(void *context);
void emulated_grid(const char *name, dim3 blocks, dim3 threads, emulated_body *, void *context);

template <typename F> struct emulated_launch : emulated_work {
    const char *kernel;
    dim3 blocks, threads;
    F body; /* the arguments, by value */
    emulated_launch(const char *name_, dim3 blocks_, dim3 threads_, F body_)
        : kernel(name_), blocks(blocks_), threads(threads_), body(body_)
    {
    }
    static void call(void *context)
    {
        (*(F *)context)();
    }
    void run() override
    {
        emulated_grid(kernel, blocks, threads, call, &body);
    }
    const char *name() const override
    {
        return kernel;
    }
};

/* Padding would hold what lay on the stack before, old addresses among it. */
template <typename T> void emulated_look_at(const char *kernel, cudaStream_t stream, T &argument)
{
    __builtin_clear_padding(&argument);
    emulated_check_argument(kernel, stream, &argument, sizeof argument);
}

template <typename... Parameters, typename... Arguments>
void emulated_start(const char *name, void (*kernel)(Parameters...), dim3 blocks, dim3 threads,
                    cudaStream_t stream, Arguments... arguments)
{
    emulated_check_stream(name, stream);
    (emulated_look_at(name, stream, arguments), ...);
    auto body = [=]() { kernel(arguments...); };
    emulated_enqueue_kernel(stream, new emulated_launch<decltype(body)>(name, blocks, threads, body));
}

#define LAUNCH(kernel, blocks, threads, stream, ...)                                                         \
    emulated_start(#kernel, kernel, blocks, threads, stream, __VA_ARGS__)

#endif
