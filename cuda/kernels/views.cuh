/* Rows of matrices, and four columns of one, 16 bytes at once where they lie so. */
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

/* Columns i .. i + 3 of a row or vector of `cols`, those behind its end being 0; wide: in one go. */
static __device__ __forceinline__ void load_four(float v[4], const float *from, int i, int cols, bool wide)
{
    if (wide) {
        load_floats<4>(v, from + i);
    } else {
        UNROLL
        for (int j = 0; j < 4; j++)
            v[j] = i + j < cols ? from[i + j] : 0;
    }
}

static __device__ __forceinline__ void store_four(float *to, const float v[4], int i, int cols, bool wide)
{
    if (wide) {
        store_floats<4>(to + i, v);
    } else {
        UNROLL
        for (int j = 0; j < 4; j++) {
            if (i + j < cols)
                to[i + j] = v[j];
        }
    }
}

#endif
