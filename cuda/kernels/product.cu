/* Products of rows with weights, float32 throughout: out[r][o] = act(sum over k of x[r][k] * w[o][k] +
 * bias[o]), the rows being those of a matrix or the neighbourhoods of a picture's pixels (a convolution,
 * gathered while loading).
 *
 * One order of summation, whichever kernel computes a row: columns in chunks of CHUNK, each summed by fused
 * multiply-adds in ascending order from zero; the chunks' sums are added in order. So a row has the same bits
 * alone and among others.
 *
 * Cost: 2 R O C floating-point operations. product_few (up to 8 rows, decoding) reads the weights once and is
 * bound by that: O C bytes times the stored size, in 16-byte loads; 5 instructions a weight and row-less work
 * keep it there. product_many reads each operand once a tile of 64 x 64 and is bound by the multiply-adds: 16
 * a thread for 8 loads from shared memory of which 2 are instructions. Weights of blocks go there whatever
 * the number of rows: they are for product_fast.cu, and here for comparing. */
#include "cuda/kernels/blocks.cuh"
#include "cuda/kernels/rows_source.cuh"

enum { CHUNK = 256 };

/* ---- how weights are stored ---- */

/* Rows of numbers; rows of blocks are those of blocks.cuh. */
template <typename Type, typename Self> struct stored {
    typedef Type type;
    typedef const Type *row;
    static __device__ __forceinline__ row find(const struct weight_view &w, int at)
    {
        return (const Type *)w.data + (size_t)at * (size_t)w.cols;
    }
    static __device__ __forceinline__ float value(Type v)
    {
        return Self::convert(v);
    }
    static __device__ __forceinline__ float value(row r, int k)
    {
        return Self::convert(r[k]);
    }
};
struct stored_f32 : stored<float, stored_f32> {
    static __device__ __forceinline__ float convert(float v)
    {
        return v;
    }
};
struct stored_f16 : stored<uint16_t, stored_f16> {
    static __device__ __forceinline__ float convert(uint16_t v)
    {
        return f16_to_float(v);
    }
};
struct stored_bf16 : stored<uint16_t, stored_bf16> {
    static __device__ __forceinline__ float convert(uint16_t v)
    {
        return bf16_to_float(v);
    }
};

/* ---- many rows: tiles of 64 rows by 64 outputs, 16 columns at a time ---- */

enum { TILE = 64, SLAB = 16, PITCH = TILE + 4, MANY_THREADS = 256, EACH = 4 };

/* A thread's 4 x 4 part of the tile takes `n` columns of the slab. */
static __device__ __forceinline__ void multiply_slab(float acc[EACH][EACH], const float *a, const float *b,
                                                     int n)
{
    int row = (int)(threadIdx.x / 16) * EACH, output = (int)(threadIdx.x % 16) * EACH;
    for (int k = 0; k < n; k++) {
        float x[EACH], w[EACH];
        load_floats<4>(x, a + k * PITCH + row);
        load_floats<4>(w, b + k * PITCH + output);
        for (int i = 0; i < EACH; i++) {
            for (int j = 0; j < EACH; j++)
                acc[i][j] = fmaf(x[i], w[j], acc[i][j]);
        }
    }
}

template <typename W, typename Rows>
__global__ void __launch_bounds__(MANY_THREADS)
    product_many(struct matrix_view out, Rows x, struct weight_view w, const float *bias, int activation)
{
    SHARED_ARRAY(float4, a4, SLAB * PITCH / 4);
    SHARED_ARRAY(float4, b4, SLAB * PITCH / 4);
    float *a = (float *)a4, *b = (float *)b4;
    int t = (int)threadIdx.x, first_row = (int)blockIdx.y * TILE, first_output = (int)blockIdx.x * TILE;
    int own = t / 4, own_k = t % 4 * 4; /* what this thread fetches: four columns of a row and of an output */
    bool has_row = first_row + own < out.rows, has_output = first_output + own < w.rows;
    typename Rows::place place = x.find(has_row ? first_row + own : 0);
    typename W::row weights = W::find(w, has_output ? first_output + own : 0);
    float acc[EACH][EACH] = {}, total[EACH][EACH] = {};
    for (int k0 = 0; k0 < w.cols; k0 += SLAB) {
        float xs[4] = {}, ws[4] = {};
        if (has_row)
            x.template load<4>(xs, place, k0 + own_k);
        for (int i = 0; i < 4; i++) {
            int k = k0 + own_k + i;
            ws[i] = has_output && k < w.cols ? W::value(weights, k) : 0;
        }
        for (int i = 0; i < 4; i++) {
            a[(own_k + i) * PITCH + own] = xs[i];
            b[(own_k + i) * PITCH + own] = ws[i];
        }
        __syncthreads();
        if (w.cols - k0 >= SLAB)
            multiply_slab(acc, a, b, SLAB);
        else
            multiply_slab(acc, a, b, w.cols - k0);
        __syncthreads();
        if ((k0 + SLAB) % CHUNK != 0 && k0 + SLAB < w.cols)
            continue;
        for (int i = 0; i < EACH; i++) {
            for (int j = 0; j < EACH; j++) {
                total[i][j] += acc[i][j];
                acc[i][j] = 0;
            }
        }
    }
    for (int i = 0; i < EACH; i++) {
        for (int j = 0; j < EACH; j++) {
            int row = first_row + t / 16 * EACH + i, output = first_output + t % 16 * EACH + j;
            if (row < out.rows && output < w.rows)
                out.data[(size_t)row * (size_t)out.stride + (size_t)output] =
                    activate(bias ? total[i][j] + bias[output] : total[i][j], activation);
        }
    }
}

/* ---- few rows: a block takes 32 outputs, one a lane; each warp sums chunks of its own ---- */

enum { FEW_ROWS = 8, WARPS = 8, STAGE_WORDS = 32, STAGE_PITCH = STAGE_WORDS + 1 };

/* Lays the weights of 32 outputs, STAGE_WORDS words each from byte `from` of their rows on, into the warp's
 * stage, 16 bytes a load: eight lanes take one row's 128 bytes. */
static __device__ __forceinline__ void stage_wide(uint32_t *stage, const char *rows, size_t pitch,
                                                  size_t from, int outputs)
{
    int lane = (int)threadIdx.x;
    uint4 v[8];
    for (int i = 0; i < 8; i++) {
        int row = i * 4 + lane / 8;
        v[i] = *(const uint4 *)(rows + (size_t)(row < outputs ? row : 0) * pitch + from +
                                (size_t)(lane % 8) * 16);
    }
    for (int i = 0; i < 8; i++) {
        uint32_t *to = stage + (i * 4 + lane / 8) * STAGE_PITCH + lane % 8 * 4;
        to[0] = v[i].x;
        to[1] = v[i].y;
        to[2] = v[i].z;
        to[3] = v[i].w;
    }
}

/* The same for rows that are not aligned, or end within the stage. */
template <typename T>
static __device__ __forceinline__ void stage_narrow(uint32_t *stage, const T *rows, size_t cols, size_t from,
                                                    int n, int outputs)
{
    enum { IN_ROW = STAGE_WORDS * 4 / sizeof(T), IN_PITCH = STAGE_PITCH * 4 / sizeof(T) };
    T *to = (T *)stage;
    for (int i = (int)threadIdx.x; i < 32 * IN_ROW; i += 32) {
        int row = i / IN_ROW, k = i % IN_ROW;
        if (row < outputs && k < n)
            to[row * IN_PITCH + k] = rows[(size_t)row * cols + from + (size_t)k];
    }
}

/* acc[r] += x[r] . the lane's staged row, n columns in order */
template <typename W, int ROWS>
static __device__ __forceinline__ void take_stage(float acc[ROWS], const typename W::type *staged, int n,
                                                  const float *const x[ROWS], int k, bool wide)
{
    int c = 0;
    for (; c + 4 <= n; c += 4) {
        float w[4];
        for (int i = 0; i < 4; i++)
            w[i] = W::value(staged[c + i]);
        for (int r = 0; r < ROWS; r++) {
            float v[4];
            if (wide) {
                load_floats<4>(v, x[r] + k + c);
            } else {
                for (int i = 0; i < 4; i++)
                    v[i] = x[r][k + c + i];
            }
            for (int i = 0; i < 4; i++)
                acc[r] = fmaf(v[i], w[i], acc[r]);
        }
    }
    for (; c < n; c++) {
        for (int r = 0; r < ROWS; r++)
            acc[r] = fmaf(x[r][k + c], W::value(staged[c]), acc[r]);
    }
}

template <typename W, int ROWS>
__global__ void __launch_bounds__(32 * WARPS, 1)
    product_few(struct matrix_view out, struct matrix_view x, struct weight_view w, const float *bias,
                int activation)
{
    enum {
        IN_ROW = STAGE_WORDS * 4 / sizeof(typename W::type),
        IN_PITCH = STAGE_PITCH * 4 / sizeof(typename W::type)
    };
    SHARED_ARRAY(uint32_t, stages, WARPS * 32 * STAGE_PITCH);
    SHARED_ARRAY(float, sums, WARPS *ROWS * 32);
    int lane = (int)threadIdx.x, warp = (int)threadIdx.y, output = (int)blockIdx.x * 32 + lane;
    int outputs = w.rows - (int)blockIdx.x * 32;
    uint32_t *stage = stages + warp * 32 * STAGE_PITCH;
    const typename W::type *rows =
        (const typename W::type *)w.data + (size_t)blockIdx.x * 32 * (size_t)w.cols;
    bool wide = x.stride % 4 == 0 && (uintptr_t)x.data % 16 == 0;
    bool wide_weights = w.cols % (16 / (int)sizeof(typename W::type)) == 0 && (uintptr_t)w.data % 16 == 0;
    const float *row[ROWS];
    for (int r = 0; r < ROWS; r++)
        row[r] = x.data + (size_t)(r < x.rows ? r : 0) * (size_t)x.stride;
    float total = 0; /* of row `warp` */
    for (int base = 0; base < w.cols; base += WARPS * CHUNK) {
        float acc[ROWS] = {};
        int first = base + warp * CHUNK, last = first + CHUNK < w.cols ? first + CHUNK : w.cols;
        for (int k = first; k < last; k += IN_ROW) {
            int n = last - k < IN_ROW ? last - k : (int)IN_ROW;
            __syncwarp();
            if (wide_weights && n == IN_ROW)
                stage_wide(stage, (const char *)rows, (size_t)w.cols * sizeof(typename W::type),
                           (size_t)k * sizeof(typename W::type), outputs);
            else
                stage_narrow(stage, rows, (size_t)w.cols, (size_t)k, n, outputs);
            __syncwarp();
            if (lane < outputs)
                take_stage<W, ROWS>(acc, (const typename W::type *)stage + lane * IN_PITCH, n, row, k, wide);
        }
        for (int r = 0; r < ROWS; r++)
            sums[(warp * ROWS + r) * 32 + lane] = acc[r];
        __syncthreads();
        for (int c = 0; warp < ROWS && c < WARPS && base + c * CHUNK < w.cols; c++)
            total += sums[(c * ROWS + warp) * 32 + lane];
        __syncthreads();
    }
    if (warp < x.rows && warp < ROWS && output < w.rows)
        out.data[(size_t)warp * (size_t)out.stride + (size_t)output] =
            activate(bias ? total + bias[output] : total, activation);
}

/* ---- choosing ---- */

template <typename W>
static void start_few(cudaStream_t stream, struct matrix_view out, struct matrix_view x, struct weight_view w,
                      const float *bias, int activation)
{
    dim3 blocks((unsigned)(w.rows + 31) / 32), threads(32, WARPS);
    if (x.rows == 1)
        LAUNCH((product_few<W, 1>), blocks, threads, stream, out, x, w, bias, activation);
    else if (x.rows == 2)
        LAUNCH((product_few<W, 2>), blocks, threads, stream, out, x, w, bias, activation);
    else if (x.rows <= 4)
        LAUNCH((product_few<W, 4>), blocks, threads, stream, out, x, w, bias, activation);
    else
        LAUNCH((product_few<W, FEW_ROWS>), blocks, threads, stream, out, x, w, bias, activation);
}

template <typename W, typename Rows>
static void start_many(cudaStream_t stream, struct matrix_view out, Rows x, struct weight_view w,
                       const float *bias, int activation)
{
    dim3 blocks((unsigned)(w.rows + TILE - 1) / TILE, (unsigned)(out.rows + TILE - 1) / TILE);
    LAUNCH((product_many<W, Rows>), blocks, MANY_THREADS, stream, out, x, w, bias, activation);
}

template <typename W>
static void start_linear(cudaStream_t stream, struct matrix_view out, struct matrix_view x,
                         struct weight_view w, const float *bias, int activation)
{
    if (x.rows <= FEW_ROWS)
        start_few<W>(stream, out, x, w, bias, activation);
    else
        start_many<W>(stream, out, matrix_rows_of(x), w, bias, activation);
}

void launch_linear(cudaStream_t stream, struct matrix_view out, struct matrix_view x, struct weight_view w,
                   const float *bias, int activation)
{
    struct matrix_rows rows = matrix_rows_of(x);
    switch (w.type) {
    case DTYPE_Q8_0: start_many<blocks_q8_0>(stream, out, rows, w, bias, activation); break;
    case DTYPE_Q4_0: start_many<blocks_q4_0>(stream, out, rows, w, bias, activation); break;
    case DTYPE_Q4_1: start_many<blocks_q4_1>(stream, out, rows, w, bias, activation); break;
    case DTYPE_F16: start_linear<stored_f16>(stream, out, x, w, bias, activation); break;
    case DTYPE_BF16: start_linear<stored_bf16>(stream, out, x, w, bias, activation); break;
    default: start_linear<stored_f32>(stream, out, x, w, bias, activation); break;
    }
}

void launch_conv(cudaStream_t stream, struct matrix_view out, const float *picture,
                 struct picture_shape shape, struct weight_view w, const float *bias)
{
    picture_rows x = picture_rows_of(picture, shape);
    if (w.type == DTYPE_F32)
        start_many<stored_f32>(stream, out, x, w, bias, ACT_NONE);
    else if (w.type == DTYPE_F16)
        start_many<stored_f16>(stream, out, x, w, bias, ACT_NONE);
    else
        start_many<stored_bf16>(stream, out, x, w, bias, ACT_NONE);
}
