/* Operations that move rows or work element by element.
 *
 * Reference: engine/backend.h says each operation's formula. Cost: all are bound by memory; each reads its
 * inputs and writes its result once, 16 bytes a thread and access where rows are aligned for it (else 4).
 * Every element has one thread and no sums, so results cannot depend on the launch. */
#include "cuda/kernels/blocks.cuh"
#include "cuda/kernels/views.cuh"

enum { THREADS = 256 };

/* A block takes blockDim.y rows (blockIdx.x) and blockDim.x * N of their columns (blockIdx.y): narrow rows
 * share one. */
template <int N> static __device__ __forceinline__ int own_column()
{
    return (int)(blockIdx.y * blockDim.x + threadIdx.x) * N;
}

static __device__ __forceinline__ int own_row()
{
    return (int)(blockIdx.x * blockDim.y + threadIdx.y);
}

static dim3 row_block(int cols, int n)
{
    unsigned across = 32;
    while (across < THREADS && across * (unsigned)n < (unsigned)cols)
        across *= 2;
    return dim3(across, THREADS / across);
}

static dim3 row_grid(int rows, int cols, int n)
{
    dim3 block = row_block(cols, n);
    unsigned width = block.x * (unsigned)n;
    return dim3(((unsigned)rows + block.y - 1) / block.y, ((unsigned)cols + width - 1) / width);
}

/* ---- rows of tables ---- */

static __device__ __forceinline__ float table_value(const struct weight_view &t, int row, int k)
{
    size_t at = (size_t)row * (size_t)t.cols + (size_t)k;
    switch (t.type) {
    case DTYPE_F32: return ((const float *)t.data)[at];
    case DTYPE_F16: return f16_to_float(((const uint16_t *)t.data)[at]);
    case DTYPE_BF16: return bf16_to_float(((const uint16_t *)t.data)[at]);
    case DTYPE_Q8_0: return blocks_q8_0::value(blocks_q8_0::find(t, row), k);
    case DTYPE_Q4_0: return blocks_q4_0::value(blocks_q4_0::find(t, row), k);
    default: return blocks_q4_1::value(blocks_q4_1::find(t, row), k);
    }
}

__global__ void __launch_bounds__(THREADS)
    embed_kernel(struct matrix_view out, struct weight_view table, const int32_t *index)
{
    int column = own_column<1>(), row = own_row();
    if (row < out.rows && column < out.cols)
        row_of(out, row)[column] = table_value(table, index[row], column);
}

void launch_embed(cudaStream_t stream, struct matrix_view out, struct weight_view table, const int32_t *index)
{
    LAUNCH(embed_kernel, row_grid(out.rows, out.cols, 1), row_block(out.cols, 1), stream, out, table, index);
}

template <int N>
__global__ void __launch_bounds__(THREADS)
    gather_kernel(struct matrix_view out, struct matrix_view x, const int32_t *index)
{
    int column = own_column<N>(), row = own_row();
    float v[N];
    if (row >= out.rows || column >= out.cols)
        return;
    load_floats<N>(v, row_of(x, index[row]) + column);
    store_floats<N>(row_of(out, row) + column, v);
}

template <int N>
__global__ void __launch_bounds__(THREADS)
    scatter_kernel(struct matrix_view out, const int32_t *index, struct matrix_view x)
{
    int column = own_column<N>(), row = own_row();
    float v[N];
    if (row >= x.rows || column >= x.cols)
        return;
    load_floats<N>(v, row_of(x, row) + column);
    store_floats<N>(row_of(out, index[row]) + column, v);
}

void launch_gather(cudaStream_t stream, struct matrix_view out, struct matrix_view x, const int32_t *index)
{
    if (is_wide(out) && is_wide(x))
        LAUNCH(gather_kernel<4>, row_grid(out.rows, out.cols, 4), row_block(out.cols, 4), stream, out, x,
               index);
    else
        LAUNCH(gather_kernel<1>, row_grid(out.rows, out.cols, 1), row_block(out.cols, 1), stream, out, x,
               index);
}

void launch_scatter(cudaStream_t stream, struct matrix_view out, const int32_t *index, struct matrix_view x)
{
    if (is_wide(out) && is_wide(x))
        LAUNCH(scatter_kernel<4>, row_grid(x.rows, x.cols, 4), row_block(x.cols, 4), stream, out, index, x);
    else
        LAUNCH(scatter_kernel<1>, row_grid(x.rows, x.cols, 1), row_block(x.cols, 1), stream, out, index, x);
}

/* ---- element by element ---- */

template <int N>
__global__ void __launch_bounds__(THREADS)
    silu_mul_kernel(struct matrix_view out, struct matrix_view gate, struct matrix_view up)
{
    int column = own_column<N>(), row = own_row();
    float a[N], b[N];
    if (row >= out.rows || column >= out.cols)
        return;
    load_floats<N>(a, row_of(gate, row) + column);
    load_floats<N>(b, row_of(up, row) + column);
    for (int i = 0; i < N; i++)
        a[i] = activate(a[i], ACT_SILU) * b[i];
    store_floats<N>(row_of(out, row) + column, a);
}

void launch_silu_mul(cudaStream_t stream, struct matrix_view out, struct matrix_view gate,
                     struct matrix_view up)
{
    if (is_wide(out) && is_wide(gate) && is_wide(up))
        LAUNCH(silu_mul_kernel<4>, row_grid(out.rows, out.cols, 4), row_block(out.cols, 4), stream, out, gate,
               up);
    else
        LAUNCH(silu_mul_kernel<1>, row_grid(out.rows, out.cols, 1), row_block(out.cols, 1), stream, out, gate,
               up);
}

template <int N>
__global__ void __launch_bounds__(THREADS)
    add_kernel(struct matrix_view x, struct matrix_view y, const float *scale)
{
    int column = own_column<N>(), row = own_row();
    float a[N], b[N], s[N];
    if (row >= x.rows || column >= x.cols)
        return;
    load_floats<N>(a, row_of(x, row) + column);
    load_floats<N>(b, row_of(y, row) + column);
    if (scale)
        load_floats<N>(s, scale + column);
    for (int i = 0; i < N; i++)
        a[i] += scale ? b[i] * s[i] : b[i];
    store_floats<N>(row_of(x, row) + column, a);
}

void launch_add(cudaStream_t stream, struct matrix_view x, struct matrix_view y, const float *scale)
{
    if (is_wide(x) && is_wide(y) && is_wide_vector(scale))
        LAUNCH(add_kernel<4>, row_grid(x.rows, x.cols, 4), row_block(x.cols, 4), stream, x, y, scale);
    else
        LAUNCH(add_kernel<1>, row_grid(x.rows, x.cols, 1), row_block(x.cols, 1), stream, x, y, scale);
}

template <int N>
__global__ void __launch_bounds__(THREADS)
    guide_kernel(struct matrix_view out, struct matrix_view cond, struct matrix_view uncond, const float *t)
{
    int column = own_column<N>(), row = own_row();
    float a[N], b[N];
    if (row >= out.rows || column >= out.cols)
        return;
    load_floats<N>(a, row_of(cond, row) + column);
    load_floats<N>(b, row_of(uncond, row) + column);
    for (int i = 0; i < N; i++)
        a[i] = a[i] * (1 + t[row]) - b[i] * t[row];
    store_floats<N>(row_of(out, row) + column, a);
}

void launch_guide(cudaStream_t stream, struct matrix_view out, struct matrix_view cond,
                  struct matrix_view uncond, const float *t)
{
    if (is_wide(out) && is_wide(cond) && is_wide(uncond))
        LAUNCH(guide_kernel<4>, row_grid(out.rows, out.cols, 4), row_block(out.cols, 4), stream, out, cond,
               uncond, t);
    else
        LAUNCH(guide_kernel<1>, row_grid(out.rows, out.cols, 1), row_block(out.cols, 1), stream, out, cond,
               uncond, t);
}
