/* Norms of rows, and of groups of a picture's channels.
 *
 * Reference:   x += y * scale, where there is a residual, then
 *              rms    x / sqrt(mean(x^2) + eps) * weight
 *              layer  (x - mean) / sqrt(var + eps) * weight + bias
 *              group  statistics over all rows of C / groups columns, then
 *                     act((x - mean) / sqrt(var + eps) * weight + bias)
 * Cost: memory: x is read two or three times (from cache after the first), written once with a
 * residual, whose y is read once, and the result is written once.
 * Sums are in double, in an order that the row's length fixes (group norm: that and the picture's height), so
 * neither overflow nor cancellation nor the number of rows shows. */
#include "cuda/kernels/views.cuh"

enum { THREADS = 256, CHUNK_ROWS = 64 };

/* The rows that a norm reads and writes, a block each. A thread takes groups of four columns, with one load or
 * four: the order of sums is the same. */
struct norm_rows {
    struct matrix_view out, x, y; /* y without columns: there is no residual */
    const float *scale;
    bool wide;
};

/* Columns i.. of the block's row, the residual added; the thread will find them in x afterwards. */
static __device__ __forceinline__ void load_input(float v[4], const struct norm_rows &r, int i)
{
    float y[4], scale[4];
    int cols = r.x.cols;
    load_four(v, row_of(r.x, (int)blockIdx.x), i, cols, r.wide);
    if (r.y.cols == 0)
        return;
    load_four(y, row_of(r.y, (int)blockIdx.x), i, cols, r.wide);
    if (r.scale)
        load_four(scale, r.scale, i, cols, r.wide);
    UNROLL
    for (int j = 0; j < 4; j++)
        v[j] += r.scale ? y[j] * scale[j] : y[j];
    store_four(row_of(r.x, (int)blockIdx.x), v, i, cols, r.wide);
}

__global__ void __launch_bounds__(THREADS) rms_norm_kernel(struct norm_rows r, const float *weight, float eps)
{
    SHARED_ARRAY(double, sums, THREADS / 32);
    float v[4], w[4];
    int row = (int)blockIdx.x, cols = r.x.cols;
    double square = 0;
    for (int i = (int)threadIdx.x * 4; i < cols; i += THREADS * 4) {
        load_input(v, r, i);
        UNROLL
        for (int j = 0; j < 4; j++)
            square += (double)v[j] * v[j];
    }
    square = block_sum<THREADS>(square, sums);
    float scale = (float)(1 / sqrt(square / cols + eps));
    for (int i = (int)threadIdx.x * 4; i < cols; i += THREADS * 4) {
        load_four(v, row_of(r.x, row), i, cols, r.wide);
        load_four(w, weight, i, cols, r.wide);
        UNROLL
        for (int j = 0; j < 4; j++)
            v[j] = v[j] * scale * w[j];
        store_four(row_of(r.out, row), v, i, cols, r.wide);
    }
}

__global__ void __launch_bounds__(THREADS)
    layer_norm_kernel(struct norm_rows r, const float *weight, const float *bias, float eps)
{
    SHARED_ARRAY(double, sums, THREADS / 32);
    float v[4], w[4], b[4];
    int row = (int)blockIdx.x, cols = r.x.cols;
    double sum = 0, square = 0;
    for (int i = (int)threadIdx.x * 4; i < cols; i += THREADS * 4) {
        load_input(v, r, i);
        UNROLL
        for (int j = 0; j < 4; j++)
            sum += v[j];
    }
    double mean = block_sum<THREADS>(sum, sums) / cols;
    float centre = (float)mean;
    for (int i = (int)threadIdx.x * 4; i < cols; i += THREADS * 4) {
        load_four(v, row_of(r.x, row), i, cols, r.wide);
        UNROLL
        for (int j = 0; j < 4; j++)
            square += i + j < cols ? (v[j] - mean) * (v[j] - mean) : 0;
    }
    square = block_sum<THREADS>(square, sums);
    float scale = (float)(1 / sqrt(square / cols + eps));
    for (int i = (int)threadIdx.x * 4; i < cols; i += THREADS * 4) {
        load_four(v, row_of(r.x, row), i, cols, r.wide);
        load_four(w, weight, i, cols, r.wide);
        load_four(b, bias, i, cols, r.wide);
        UNROLL
        for (int j = 0; j < 4; j++)
            v[j] = fmaf((v[j] - centre) * scale, w[j], b[j]);
        store_four(row_of(r.out, row), v, i, cols, r.wide);
    }
}

static struct norm_rows rows_of_norm(struct matrix_view out, struct matrix_view x, struct matrix_view y,
                                     const float *scale, const float *weight, const float *bias)
{
    bool wide = is_wide(out) && is_wide(x) && (y.cols == 0 || is_wide(y)) && is_wide_vector(scale) &&
                is_wide_vector(weight) && is_wide_vector(bias);
    return {out, x, y, scale, wide};
}

void launch_rms_norm(cudaStream_t stream, struct matrix_view out, struct matrix_view x, struct matrix_view y,
                     const float *scale, const float *weight, float eps)
{
    LAUNCH(rms_norm_kernel, dim3((unsigned)x.rows), THREADS, stream,
           rows_of_norm(out, x, y, scale, weight, nullptr), weight, eps);
}

void launch_layer_norm(cudaStream_t stream, struct matrix_view out, struct matrix_view x,
                       struct matrix_view y, const float *scale, const float *weight, const float *bias,
                       float eps)
{
    LAUNCH(layer_norm_kernel, dim3((unsigned)x.rows), THREADS, stream,
           rows_of_norm(out, x, y, scale, weight, bias), weight, bias, eps);
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
