/* Resizing of square pictures held as rows of channels.
 *
 * Reference: bicubic: PyTorch's interpolate(mode="bicubic", align_corners=False), a = -0.75, indices clamped;
 * area: its adaptive average pooling, cell i covers floor(i n / m) .. ceil((i + 1) n / m) - 1. Cost: memory,
 * and little of it: maps are at most 16 x 16. A thread makes one value, its sums in the order of the
 * reference. */
#include "cuda/kernels/launch.h"
#include "cuda/portable_cuda.h"

enum { THREADS = 128 };

/* PyTorch's cubic weights for the distances 1 + t, t, 1 - t, 2 - t, in float32 as it computes them. */
static __device__ void cubic_weights(float w[4], float t)
{
    const float a = -0.75f;
    for (int i = 0; i < 2; i++) {
        float near = i ? 1 - t : t, far = near + 1;
        w[i ? 3 : 0] = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a;
        w[i ? 2 : 1] = ((a + 2) * near - (a + 3)) * near * near + 1;
    }
}

struct taps {
    int index[4];
    float weight[4];
};

static __device__ struct taps cubic_taps(int i, int from, int to)
{
    struct taps taps;
    float at = ((float)from / (float)to) * ((float)i + 0.5f) - 0.5f, low = floorf(at);
    cubic_weights(taps.weight, at - low);
    for (int k = 0; k < 4; k++) {
        int index = (int)low - 1 + k;
        taps.index[k] = index < 0 ? 0 : index >= from ? from - 1 : index;
    }
    return taps;
}

__global__ void __launch_bounds__(THREADS)
    bicubic_kernel(struct matrix_view out, struct matrix_view x, int from, int to)
{
    int pixel = (int)blockIdx.x, channel = (int)(blockIdx.y * THREADS + threadIdx.x);
    if (channel >= x.cols)
        return;
    struct taps y = cubic_taps(pixel / to, from, to), across = cubic_taps(pixel % to, from, to);
    float sum = 0;
    for (int ky = 0; ky < 4; ky++) {
        float line = 0;
        for (int kx = 0; kx < 4; kx++)
            line +=
                x.data[(size_t)(y.index[ky] * from + across.index[kx]) * (size_t)x.stride + (size_t)channel] *
                across.weight[kx];
        sum += line * y.weight[ky];
    }
    out.data[(size_t)pixel * (size_t)out.stride + (size_t)channel] = sum;
}

__global__ void __launch_bounds__(THREADS)
    area_kernel(struct matrix_view out, struct matrix_view x, int from, int to)
{
    int pixel = (int)blockIdx.x, channel = (int)(blockIdx.y * THREADS + threadIdx.x);
    if (channel >= x.cols)
        return;
    int y0 = pixel / to * from / to, y1 = ((pixel / to + 1) * from + to - 1) / to;
    int x0 = pixel % to * from / to, x1 = ((pixel % to + 1) * from + to - 1) / to;
    float sum = 0;
    for (int y = y0; y < y1; y++) {
        for (int across = x0; across < x1; across++)
            sum += x.data[(size_t)(y * from + across) * (size_t)x.stride + (size_t)channel];
    }
    out.data[(size_t)pixel * (size_t)out.stride + (size_t)channel] = sum / (float)((y1 - y0) * (x1 - x0));
}

void launch_resize(cudaStream_t stream, struct matrix_view out, struct matrix_view x, int from, int to,
                   int area)
{
    dim3 blocks((unsigned)(to * to), (unsigned)((x.cols + THREADS - 1) / THREADS));
    if (area)
        LAUNCH(area_kernel, blocks, THREADS, stream, out, x, from, to);
    else
        LAUNCH(bicubic_kernel, blocks, THREADS, stream, out, x, from, to);
}
