/* Rows of matrices, and whether 16 bytes of one may be had at once. */
#ifndef VARGPT_CUDA_KERNELS_VIEWS_CUH
#define VARGPT_CUDA_KERNELS_VIEWS_CUH

#include "cuda/kernels/launch.h"
#include "cuda/portable_cuda.h"

static __device__ __forceinline__ float *row_of(struct matrix_view m, int row)
{
    return m.data + (size_t)row * (size_t)m.stride;
}

static inline bool is_wide(struct matrix_view m)
{
    return m.cols % 4 == 0 && m.stride % 4 == 0 && (uintptr_t)m.data % 16 == 0;
}

static inline bool is_wide_vector(const float *v)
{
    return (uintptr_t)v % 16 == 0;
}

#endif
