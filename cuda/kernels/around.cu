/* What stands around a library's product (cuda/blas_lt.c, cuda/cudnn.c): operands rounded to 16 bits in front
 * of it, the results of convolutions made float32 again, and activations that are no epilogue there.
 *
 * Each element has one thread and no sums. Cost: bound by memory, a pass each: 6 bytes a value rounded or
 * widened, 8 activated. A pass costs less than what it feeds by the number of outputs a row has. */
#include "cuda/kernels/fast_types.cuh"
#include "cuda/kernels/rows_source.cuh"
#include "cuda/kernels/views.cuh"

enum { THREADS = 256 };

static __device__ __forceinline__ size_t own_index()
{
    return (size_t)blockIdx.x * THREADS + threadIdx.x;
}

static dim3 blocks_of(int rows, int each)
{
    return dim3((unsigned)(((size_t)rows * (size_t)each + THREADS - 1) / THREADS));
}

/* to: [rows, 8 * pieces], dense. A picture is taken pixel by pixel, so that its padding and doubling are in
 * the result. */
template <typename T, typename Source>
__global__ void __launch_bounds__(THREADS) round_kernel(uint4 *to, Source x, int rows, int pieces)
{
    size_t i = own_index();
    int row = (int)(i / (size_t)pieces), piece = (int)(i % (size_t)pieces);
    if (row >= rows)
        return;
    float v[8];
    x.template load<8>(v, x.find(row), 8 * piece);
    to[i] = pack_piece<T>(v);
}

template <typename Source>
static void start_round(cudaStream_t stream, uint16_t *to, enum dtype type, Source x, int rows, int cols)
{
    if (type == DTYPE_BF16)
        LAUNCH((round_kernel<bf16, Source>), blocks_of(rows, cols / 8), THREADS, stream, (uint4 *)to, x, rows,
               cols / 8);
    else
        LAUNCH((round_kernel<f16, Source>), blocks_of(rows, cols / 8), THREADS, stream, (uint4 *)to, x, rows,
               cols / 8);
}

void launch_round_rows(cudaStream_t stream, uint16_t *to, enum dtype type, struct matrix_view x)
{
    start_round(stream, to, type, matrix_rows_of(x), x.rows, x.cols);
}

void launch_round_picture(cudaStream_t stream, uint16_t *to, enum dtype type, const float *picture,
                          struct picture_shape shape, int rows)
{
    start_round(stream, to, type, picture_rows_of(picture, shape), rows, shape.channels);
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    widen_kernel(struct matrix_view out, const uint16_t *from, float scale, const float *bias, bool wide)
{
    size_t i = own_index(), each = (size_t)out.cols / 4;
    int row = (int)(i / each), column = (int)(i % each) * 4;
    if (row >= out.rows)
        return;
    uint2 bits = ((const uint2 *)from)[i];
    float v[4] = {T::value(bits.x), T::value(bits.x >> 16), T::value(bits.y), T::value(bits.y >> 16)};
    for (int j = 0; j < 4; j++)
        v[j] = bias ? v[j] * scale + bias[column + j] : v[j] * scale;
    store_four(row_of(out, row), v, column, out.cols, wide);
}

void launch_widen_rows(cudaStream_t stream, struct matrix_view out, const uint16_t *from, enum dtype type,
                       float scale, const float *bias)
{
    dim3 blocks = blocks_of(out.rows, out.cols / 4);
    if (type == DTYPE_BF16)
        LAUNCH(widen_kernel<bf16>, blocks, THREADS, stream, out, from, scale, bias, is_wide(out));
    else
        LAUNCH(widen_kernel<f16>, blocks, THREADS, stream, out, from, scale, bias, is_wide(out));
}

__global__ void __launch_bounds__(THREADS) activate_kernel(struct matrix_view x, int activation)
{
    size_t i = own_index();
    int row = (int)(i / (size_t)x.cols), column = (int)(i % (size_t)x.cols);
    if (row >= x.rows)
        return;
    float *at = x.data + (size_t)row * (size_t)x.stride + (size_t)column;
    *at = activate(*at, activation);
}

void launch_activate(cudaStream_t stream, struct matrix_view x, int activation)
{
    LAUNCH(activate_kernel, blocks_of(x.rows, x.cols), THREADS, stream, x, activation);
}
