/* Operations that move rows or work element by element, and rotary embedding.
 *
 * Reference: engine/backend.h says each operation's formula. Cost: all are bound by memory; each reads its
 * inputs and writes its result once, 16 bytes a thread and access where rows are aligned for it (else 4).
 * Every element has one thread and no sums, so results cannot depend on the launch. */
#include "cuda/kernels/blocks.cuh"

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

static __device__ __forceinline__ float *row_of(struct matrix_view m, int row)
{
    return m.data + (size_t)row * (size_t)m.stride;
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

static bool is_wide(struct matrix_view m)
{
    return m.cols % 4 == 0 && m.stride % 4 == 0 && (uintptr_t)m.data % 16 == 0;
}

static bool is_wide_vector(const float *v)
{
    return (uintptr_t)v % 16 == 0;
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

/* ---- keys and values into their slots ---- */

template <int N> static __device__ __forceinline__ void store_cached(float *to, const float x[N])
{
    store_floats<N>(to, x);
}
template <int N> static __device__ __forceinline__ void store_cached(uint16_t *to, const float x[N])
{
    if (N == 4) {
        uint2 v;
        v.x = pack_bf16(x[0], x[1 % N]);
        v.y = pack_bf16(x[2 % N], x[3 % N]);
        *(uint2 *)to = v;
    } else {
        to[0] = (uint16_t)pack_bf16(x[0], 0);
    }
}

template <int N, typename T>
__global__ void __launch_bounds__(THREADS)
    kv_write_kernel(T *key, T *value, struct matrix_view k, struct matrix_view v, const int32_t *slot)
{
    int column = own_column<N>(), row = own_row();
    float a[N], b[N];
    if (row >= k.rows || column >= k.cols)
        return;
    size_t to = (size_t)slot[row] * (size_t)k.cols + (size_t)column;
    load_floats<N>(a, row_of(k, row) + column);
    load_floats<N>(b, row_of(v, row) + column);
    store_cached<N>(key + to, a);
    store_cached<N>(value + to, b);
}

template <typename T>
static void start_kv_write(cudaStream_t stream, T *key, T *value, struct matrix_view k, struct matrix_view v,
                           const int32_t *slot)
{
    if (is_wide(k) && is_wide(v) && (uintptr_t)key % 16 == 0 && (uintptr_t)value % 16 == 0)
        LAUNCH((kv_write_kernel<4, T>), row_grid(k.rows, k.cols, 4), row_block(k.cols, 4), stream, key, value,
               k, v, slot);
    else
        LAUNCH((kv_write_kernel<1, T>), row_grid(k.rows, k.cols, 1), row_block(k.cols, 1), stream, key, value,
               k, v, slot);
}

/* The largest magnitude of n values, for all lanes. Magnitudes compare as integers do, NaN above all. */
static __device__ __forceinline__ float largest_magnitude(const float *x, int n)
{
    uint32_t most = 0;
    for (int i = (int)threadIdx.x; i < n; i += 32) {
        uint32_t magnitude = __float_as_uint(x[i]) & 0x7fffffffu;
        most = magnitude > most ? magnitude : most;
    }
    for (int by = 16; by > 0; by /= 2) {
        uint32_t other = __shfl_xor_sync(0xffffffffu, most, by);
        most = other > most ? other : most;
    }
    return __uint_as_float(most);
}

enum { I8_WARPS = 4 };

/* A warp a row's head of the keys (blockIdx.z = 0) or the values. */
__global__ void __launch_bounds__(32 * I8_WARPS)
    kv_write_i8_kernel(struct kv_layer kv, struct matrix_view k, struct matrix_view v, const int32_t *slot)
{
    const float to_integer =
        12582912.0f; /* 1.5 x 2^23: added, it leaves the nearest integer in the low bits */
    int row = (int)blockIdx.x, head = (int)(blockIdx.y * I8_WARPS + threadIdx.y), n = kv.head_dim;
    bool values = blockIdx.z == 1;
    if (head >= kv.heads) /* the same for a whole warp */
        return;
    size_t at = (size_t)slot[row] * (size_t)kv.heads + (size_t)head;
    const float *x = row_of(values ? v : k, row) + (size_t)head * (size_t)n;
    int8_t *to = (int8_t *)(values ? kv.value : kv.key) + at * (size_t)n;
    float most = largest_magnitude(x, n);
    float by = most >= 1e-30f ? 127 / most : 0; /* NaN: the scale makes all of them NaN again */
    for (int i = (int)threadIdx.x; i < n; i += 32)
        to[i] = (int8_t)(uint8_t)(__float_as_uint(x[i] * by + to_integer) & 0xff);
    if (threadIdx.x == 0)
        (values ? kv.value_scale : kv.key_scale)[at] = most < 1e-30f ? 0 : most / 127;
}

void launch_kv_write(cudaStream_t stream, struct kv_layer kv, struct matrix_view k, struct matrix_view v,
                     const int32_t *slot)
{
    if (kv.type == DTYPE_I8)
        LAUNCH(kv_write_i8_kernel, dim3((unsigned)k.rows, (unsigned)(kv.heads + I8_WARPS - 1) / I8_WARPS, 2),
               dim3(32, I8_WARPS), stream, kv, k, v, slot);
    else if (kv.type == DTYPE_BF16)
        start_kv_write(stream, (uint16_t *)kv.key, (uint16_t *)kv.value, k, v, slot);
    else
        start_kv_write(stream, (float *)kv.key, (float *)kv.value, k, v, slot);
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

/* ---- rotary embedding ---- */

/* Lanes take dimensions, warps take heads: an angle's sine and cosine serve all heads that a thread sees. */
__global__ void __launch_bounds__(128)
    rope_kernel(struct matrix_view x, int head_dim, const int32_t *position, const float *inv_freq)
{
    int half = head_dim / 2, heads = x.cols / head_dim;
    float *row = row_of(x, (int)blockIdx.x);
    for (int d = (int)threadIdx.x; d < half; d += 32) {
        float angle = (float)position[blockIdx.x] * inv_freq[d], c = cosf(angle), s = sinf(angle);
        for (int head = (int)threadIdx.y; head < heads; head += (int)blockDim.y) {
            float *pair = row + (size_t)head * (size_t)head_dim + d;
            float a = pair[0], b = pair[half];
            pair[0] = a * c - b * s;
            pair[half] = b * c + a * s;
        }
    }
}

void launch_rope(cudaStream_t stream, struct matrix_view x, int head_dim, const int32_t *position,
                 const float *inv_freq)
{
    LAUNCH(rope_kernel, dim3((unsigned)x.rows), dim3(32, 4), stream, x, head_dim, position, inv_freq);
}
