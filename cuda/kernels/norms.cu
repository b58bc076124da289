/* Norms of rows, of heads, and of groups of a picture's channels.
 *
 * Reference:   rms    x / sqrt(mean(x^2) + eps) * weight
 *              layer  (x - mean) / sqrt(var + eps) * weight + bias
 *              head   each run of head_dim columns: x / max(|x|, 1e-12) * scale[head]
 *              group  statistics over all rows of C / groups columns, then
 *                     act((x - mean) / sqrt(var + eps) * weight + bias)
 * Cost: memory: x is read two or three times (from cache after the first) and written once.
 * Sums are in double, in an order that the row's length fixes (group norm: that and the picture's height), so
 * neither overflow nor cancellation nor the number of rows shows. */
#include "cuda/kernels/launch.h"
#include "cuda/portable_cuda.h"

enum { THREADS = 256, CHUNK_ROWS = 64 };

static __device__ __forceinline__ float *row_of(struct matrix_view m, int row)
{
    return m.data + (size_t)row * (size_t)m.stride;
}

__global__ void __launch_bounds__(THREADS)
    rms_norm_kernel(struct matrix_view out, struct matrix_view x, const float *weight, float eps)
{
    SHARED_ARRAY(double, sums, THREADS / 32);
    const float *from = row_of(x, (int)blockIdx.x);
    float *to = row_of(out, (int)blockIdx.x);
    double square = 0;
    for (int i = (int)threadIdx.x; i < x.cols; i += THREADS)
        square += (double)from[i] * from[i];
    square = block_sum<THREADS>(square, sums);
    float scale = (float)(1 / sqrt(square / x.cols + eps));
    for (int i = (int)threadIdx.x; i < x.cols; i += THREADS)
        to[i] = from[i] * scale * weight[i];
}

void launch_rms_norm(cudaStream_t stream, struct matrix_view out, struct matrix_view x, const float *weight,
                     float eps)
{
    LAUNCH(rms_norm_kernel, dim3((unsigned)x.rows), THREADS, stream, out, x, weight, eps);
}

__global__ void __launch_bounds__(THREADS)
    layer_norm_kernel(struct matrix_view out, struct matrix_view x, const float *weight, const float *bias,
                      float eps)
{
    SHARED_ARRAY(double, sums, THREADS / 32);
    const float *from = row_of(x, (int)blockIdx.x);
    float *to = row_of(out, (int)blockIdx.x);
    double sum = 0, square = 0;
    for (int i = (int)threadIdx.x; i < x.cols; i += THREADS)
        sum += from[i];
    double mean = block_sum<THREADS>(sum, sums) / x.cols;
    for (int i = (int)threadIdx.x; i < x.cols; i += THREADS)
        square += (from[i] - mean) * (from[i] - mean);
    square = block_sum<THREADS>(square, sums);
    float scale = (float)(1 / sqrt(square / x.cols + eps)), centre = (float)mean;
    for (int i = (int)threadIdx.x; i < x.cols; i += THREADS)
        to[i] = fmaf((from[i] - centre) * scale, weight[i], bias[i]);
}

void launch_layer_norm(cudaStream_t stream, struct matrix_view out, struct matrix_view x, const float *weight,
                       const float *bias, float eps)
{
    LAUNCH(layer_norm_kernel, dim3((unsigned)x.rows), THREADS, stream, out, x, weight, bias, eps);
}

/* A warp a head. */
__global__ void __launch_bounds__(128)
    head_norm_kernel(struct matrix_view x, int head_dim, const float *scale)
{
    int heads = x.cols / head_dim, head = (int)(blockIdx.y * blockDim.y + threadIdx.y);
    if (head >= heads) /* the same for the whole warp */
        return;
    float *v = row_of(x, (int)blockIdx.x) + (size_t)head * (size_t)head_dim;
    double square = 0;
    for (int i = (int)threadIdx.x; i < head_dim; i += 32)
        square += (double)v[i] * v[i];
    double length = sqrt(warp_sum(square));
    float by = (float)((scale ? scale[head] : 1.0f) / (length > 1e-12 ? length : 1e-12));
    for (int i = (int)threadIdx.x; i < head_dim; i += 32)
        v[i] *= by;
}

void launch_head_norm(cudaStream_t stream, struct matrix_view x, int head_dim, const float *scale)
{
    unsigned heads = (unsigned)(x.cols / head_dim), warps = 4;
    LAUNCH(head_norm_kernel, dim3((unsigned)x.rows, (heads + warps - 1) / warps), dim3(32, warps), stream, x,
           head_dim, scale);
}

/* ---- group norm: sums of columns over chunks of rows, scale and bias of each column, one pass over the
 * picture ---- */

struct group_scratch {
    double *sums; /* [chunks][2][cols] */
    float *scale; /* [2][cols]: scale, bias */
};

static int count_chunks(int rows)
{
    return (rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
}

size_t group_norm_scratch(int rows, int cols)
{
    size_t width = (size_t)cols;
    return (size_t)count_chunks(rows) * 2 * width * sizeof(double) + 2 * width * sizeof(float);
}

__global__ void __launch_bounds__(THREADS) column_sums_kernel(struct group_scratch s, struct matrix_view x)
{
    int column = (int)(blockIdx.y * THREADS + threadIdx.x), first = (int)blockIdx.x * CHUNK_ROWS;
    if (column >= x.cols)
        return;
    double sum = 0, square = 0;
    for (int r = first; r < x.rows && r < first + CHUNK_ROWS; r++) {
        double v = row_of(x, r)[column];
        sum += v;
        square += v * v;
    }
    double *to = s.sums + (size_t)blockIdx.x * 2 * (size_t)x.cols + column;
    to[0] = sum;
    to[x.cols] = square;
}

__global__ void __launch_bounds__(THREADS)
    group_scales_kernel(struct group_scratch s, int rows, int cols, int chunks, int groups,
                        const float *weight, const float *bias, float eps)
{
    SHARED_ARRAY(double, sums, THREADS / 32);
    int width = cols / groups, first = (int)blockIdx.x * width;
    double sum = 0, square = 0, count = (double)width * rows;
    for (int i = (int)threadIdx.x; i < chunks * width; i += THREADS) {
        const double *from = s.sums + (size_t)(i / width) * 2 * (size_t)cols + first + i % width;
        sum += from[0];
        square += from[cols];
    }
    sum = block_sum<THREADS>(sum, sums);
    square = block_sum<THREADS>(square, sums);
    double mean = sum / count, variance = square / count - mean * mean;
    double inverse = 1 / sqrt((variance > 0 ? variance : 0) + eps);
    for (int i = first + (int)threadIdx.x; i < first + width; i += THREADS) {
        s.scale[i] = (float)(weight[i] * inverse);
        s.scale[cols + i] = (float)(bias[i] - mean * inverse * weight[i]);
    }
}

__global__ void __launch_bounds__(THREADS)
    group_apply_kernel(struct matrix_view out, struct matrix_view x, const float *scale, int activation)
{
    int column = (int)(blockIdx.y * blockDim.x + threadIdx.x);
    int row = (int)(blockIdx.x * blockDim.y + threadIdx.y);
    if (row < x.rows && column < x.cols)
        row_of(out, row)[column] =
            activate(fmaf(row_of(x, row)[column], scale[column], scale[x.cols + column]), activation);
}

void launch_group_norm(cudaStream_t stream, struct matrix_view out, struct matrix_view x, int groups,
                       const float *weight, const float *bias, float eps, int activation, void *scratch)
{
    int chunks = count_chunks(x.rows);
    struct group_scratch s = {(double *)scratch, nullptr};
    s.scale = (float *)(s.sums + (size_t)chunks * 2 * (size_t)x.cols);
    unsigned columns = (unsigned)(x.cols + THREADS - 1) / THREADS;
    LAUNCH(column_sums_kernel, dim3((unsigned)chunks, columns), THREADS, stream, s, x);
    LAUNCH(group_scales_kernel, dim3((unsigned)groups), THREADS, stream, s, x.rows, x.cols, chunks, groups,
           weight, bias, eps);
    unsigned across = x.cols > 128  ? THREADS
                      : x.cols > 64 ? 128
                      : x.cols > 32 ? 64
                                    : 32,
             down = THREADS / across;
    LAUNCH(group_apply_kernel,
           dim3(((unsigned)x.rows + down - 1) / down, ((unsigned)x.cols + across - 1) / across),
           dim3(across, down), stream, out, x, s.scale, activation);
}
