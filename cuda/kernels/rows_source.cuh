/* Where the rows of a product come from: a matrix, or the neighbourhoods of a picture's pixels, gathered
 * while loading. */
#ifndef VARGPT_CUDA_KERNELS_ROWS_SOURCE_CUH
#define VARGPT_CUDA_KERNELS_ROWS_SOURCE_CUH

#include "cuda/kernels/launch.h"
#include "cuda/portable_cuda.h"

/* Both have: place, where a row begins; find(row); load<N>(to, place, k): columns k .. k+N-1, zeros beyond
 * the last. */
struct matrix_rows {
    struct matrix_view x;
    bool wide; /* rows of whole 16-byte pieces */

    struct place {
        const float *row;
    };
    __device__ __forceinline__ place find(int row) const
    {
        return place{x.data + (size_t)row * (size_t)x.stride};
    }
    template <int N> __device__ __forceinline__ void load(float to[N], place at, int k) const
    {
        if (wide && k + N <= x.cols) {
            for (int i = 0; i < N; i += 4)
                load_floats<4>(to + i, at.row + k + i);
        } else {
            for (int i = 0; i < N; i++)
                to[i] = k + i < x.cols ? at.row[k + i] : 0;
        }
    }
};

static inline struct matrix_rows matrix_rows_of(struct matrix_view x)
{
    return matrix_rows{x, x.stride % 4 == 0 && (uintptr_t)x.data % 16 == 0};
}

struct picture_rows {
    const float *data;
    struct picture_shape shape;
    bool wide; /* pixels and their channels are whole 16-byte pieces */

    struct place {
        int y, x;
    };
    __device__ __forceinline__ place find(int row) const
    {
        return place{row / shape.out_width * shape.step - shape.before,
                     row % shape.out_width * shape.step - shape.before};
    }
    /* the pixel under a kernel's tap, or NULL in the padding */
    __device__ __forceinline__ const float *pixel(place at, int tap) const
    {
        int y = at.y + tap / shape.kernel, x = at.x + tap % shape.kernel;
        if (tap >= shape.kernel * shape.kernel || y < 0 || x < 0 || y >= shape.height * shape.upsample ||
            x >= shape.width * shape.upsample)
            return nullptr;
        size_t index = (size_t)(y / shape.upsample) * (size_t)shape.width + (size_t)(x / shape.upsample);
        return data + index * (size_t)shape.stride;
    }
    template <int N> __device__ __forceinline__ void load(float to[N], place at, int k) const
    {
        int tap = k / shape.channels, channel = k % shape.channels;
        const float *from = pixel(at, tap);
        if (wide && channel + N <= shape.channels) {
            for (int i = 0; i < N; i++)
                to[i] = 0;
            for (int i = 0; from && i < N; i += 4)
                load_floats<4>(to + i, from + channel + i);
            return;
        }
        for (int i = 0; i < N; i++) {
            to[i] = from ? from[channel] : 0;
            if (++channel == shape.channels) {
                channel = 0;
                from = pixel(at, ++tap);
            }
        }
    }
};

static inline struct picture_rows picture_rows_of(const float *picture, struct picture_shape shape)
{
    return picture_rows{picture, shape,
                        shape.channels % 4 == 0 && shape.stride % 4 == 0 && (uintptr_t)picture % 16 == 0};
}

#endif
