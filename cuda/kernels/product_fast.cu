/* Products of rows with BF16 or F16 weights on tensor cores: out[r][o] = act(sum over k of x[r][k] * w[o][k]
 * + bias[o]), x rounded to the weight's type while loading (beyond F16's range: to its largest numbers), sums
 * in float32.
 *
 * One order of summation, whichever kernel computes a row: columns in chunks of CHUNK, each a chain of
 * multiplications of 16 columns from zero; the chunks' sums are added in order. The weights are the 16 x 16
 * operand in both kernels. Columns lie in it in an order of our own: of every 32, lane t % 4 holds eight
 * neighbours, the first four in the first multiplication and the others in the second. Both operands agree on
 * that, so it changes nothing but that a lane fetches its part of two multiplications with one 16-byte load,
 * from global and from shared memory, without conflicts.
 *
 * Cost: 2 R O C operations. fast_few (up to 32 rows, decoding) reads each weight once, 16 bytes a load, 4 KiB
 * a warp in flight, and is bound by that. fast_many: tiles of 128 outputs by 64 rows, 32 columns a step, the
 * next step's operands on their way to registers meanwhile; 16 multiplications a warp for 8 loads from shared
 * memory, so either may bind. */
#include "cuda/kernels/blocks.cuh"
#include "cuda/kernels/fast_types.cuh"
#include "cuda/kernels/rows_source.cuh"

enum { CHUNK = 512, STEP = 32, PIECES = STEP / 8 }; /* a piece: 8 columns, 16 bytes */

/* ---- how weights are stored ---- */

static __device__ __forceinline__ uint4 no_piece()
{
    uint4 piece;
    piece.x = piece.y = piece.z = piece.w = 0;
    return piece;
}

/* 16-bit numbers. In all of these: a piece is eight columns of a row, ready for the tensor cores; load()
 * fetches one that begins at column k, load_ahead() the AHEAD ones that a lane needs of as many steps. */
struct dense {
    typedef const uint16_t *row;
    static __device__ __forceinline__ row find(const struct weight_view &w, int at)
    {
        return (const uint16_t *)w.data + (size_t)at * (size_t)w.cols;
    }
    typedef uint4 raw;
    static __device__ __forceinline__ raw load(row r, int k, int cols)
    {
        return k < cols ? *(const uint4 *)(r + k) : no_piece();
    }
    static __device__ __forceinline__ uint4 piece(const raw &v)
    {
        return v;
    }
    enum { AHEAD = 4, UNITS = 1 };
    struct ahead {
        uint4 step[AHEAD];
    };
    static __device__ __forceinline__ void load_ahead(ahead &a, row r, int k, int cols)
    {
        UNROLL
        for (int i = 0; i < AHEAD; i++)
            a.step[i] = load(r, k + i * STEP, cols);
    }
    static __device__ __forceinline__ uint4 piece(const ahead &a, int step)
    {
        return a.step[step];
    }
};

/* ---- the types ---- */

struct type_bf16 : bf16, dense {
};
struct type_f16 : f16, dense {
};
struct type_q8_0 : f16, blocks_q8_0 {
};
struct type_q4_0 : f16, blocks_q4_0 {
};
struct type_q4_1 : f16, blocks_q4_1 {
};

/* d += 32 columns of two weight rows (g, g + 8) and of a row of x, the lane's pieces of each */
template <typename T>
static __device__ __forceinline__ void multiply_pieces(float d[4], const uint4 &upper, const uint4 &lower,
                                                       const uint4 &x)
{
    const uint32_t a[4] = {upper.x, lower.x, upper.y, lower.y}, b[2] = {x.x, x.y};
    const uint32_t a2[4] = {upper.z, lower.z, upper.w, lower.w}, b2[2] = {x.z, x.w};
    T::multiply(d, a, b);
    T::multiply(d, a2, b2);
}

/* ---- many rows ---- */

enum {
    MANY_THREADS = 256,
    OUTPUTS = 128,
    ROWS = 64,
    WARP_OUTPUTS = 32,
    WARP_ROWS = 32,
    M = WARP_OUTPUTS / 16,
    N = WARP_ROWS / 8
};

template <typename T, typename Source>
__global__ void __launch_bounds__(MANY_THREADS, 2)
    fast_many(struct matrix_view out, Source x, struct weight_view w, const float *bias, int activation)
{
    SHARED_ARRAY(uint4, w_tile, 2 * OUTPUTS * PIECES);
    SHARED_ARRAY(uint4, x_tile, 2 * ROWS * PIECES);
    int t = (int)threadIdx.x, lane = t % 32, warp = t / 32;
    int first_output = (int)blockIdx.x * OUTPUTS, first_row = (int)blockIdx.y * ROWS;
    /* what this thread fetches: piece t % 4 of rows t / 4 and t / 4 + 64 of the weights, and of row t / 4 of
     * x */
    int own = t / PIECES, own_k = t % PIECES * 8;
    typename T::row weights[2];
    UNROLL
    for (int i = 0; i < 2; i++) {
        int output = first_output + own + 64 * i;
        weights[i] = T::find(w, output < w.rows ? output : 0);
    }
    typename Source::place place = x.find(first_row + own < out.rows ? first_row + own : 0);
    /* what this warp multiplies: 32 outputs by 32 rows; the lane's pieces of them */
    int outputs = warp % 4 * WARP_OUTPUTS, rows = warp / 4 * WARP_ROWS, piece = lane / 4 * PIECES + lane % 4;
    float acc[M][N][4] = {}, total[M][N][4] = {};
    typename T::raw next_w[2];
    float next_x[8];
    UNROLL
    for (int i = 0; i < 2; i++)
        next_w[i] = T::load(weights[i], own_k, w.cols);
    x.template load<8>(next_x, place, own_k);
    for (int k0 = 0; k0 < w.cols; k0 += STEP) {
        uint4 *w_now = w_tile + k0 / STEP % 2 * OUTPUTS * PIECES,
              *x_now = x_tile + k0 / STEP % 2 * ROWS * PIECES;
        w_now[t] = T::piece(next_w[0]);
        w_now[t + MANY_THREADS] = T::piece(next_w[1]);
        x_now[t] = pack_piece<T>(next_x);
        __syncthreads(); /* two tiles: whoever writes the other one next has passed this, and so has read it
                          */
        if (k0 + STEP < w.cols) {
            UNROLL
            for (int i = 0; i < 2; i++)
                next_w[i] = T::load(weights[i], k0 + STEP + own_k, w.cols);
            x.template load<8>(next_x, place, k0 + STEP + own_k);
        }
        uint4 b[N];
        UNROLL
        for (int n = 0; n < N; n++)
            b[n] = x_now[(rows + 8 * n) * PIECES + piece];
        UNROLL
        for (int m = 0; m < M; m++) {
            uint4 upper = w_now[(outputs + 16 * m) * PIECES + piece];
            uint4 lower = w_now[(outputs + 16 * m + 8) * PIECES + piece];
            UNROLL
            for (int n = 0; n < N; n++)
                multiply_pieces<T>(acc[m][n], upper, lower, b[n]);
        }
        if ((k0 + STEP) % CHUNK != 0 && k0 + STEP < w.cols)
            continue;
        UNROLL
        for (int m = 0; m < M; m++) {
            UNROLL
            for (int n = 0; n < N; n++) {
                UNROLL
                for (int i = 0; i < 4; i++) {
                    total[m][n][i] += acc[m][n][i];
                    acc[m][n][i] = 0;
                }
            }
        }
    }
    UNROLL
    for (int m = 0; m < M; m++) {
        UNROLL
        for (int n = 0; n < N; n++) {
            UNROLL
            for (int i = 0; i < 4; i++) {
                int output = first_output + outputs + 16 * m + lane / 4 + i / 2 * 8;
                int row = first_row + rows + 8 * n + lane % 4 * 2 + i % 2;
                if (row < out.rows && output < w.rows)
                    out.data[(size_t)row * (size_t)out.stride + (size_t)output] =
                        activate(bias ? total[m][n][i] + bias[output] : total[m][n][i], activation);
            }
        }
    }
}

/* ---- few rows: a block takes 16 outputs, each of its warps chunks of its own ---- */

enum { WARPS = 8, FEW_TILES = 4 };

/* One chunk, columns first .. last-1, into acc. */
template <typename T, int TILES>
static __device__ __forceinline__ void sum_chunk(float acc[TILES][4], const typename T::row weights[2],
                                                 const struct matrix_rows &x, int rows, int cols, int first,
                                                 int last)
{
    enum { AHEAD = T::AHEAD, UNITS = T::UNITS };
    int lane = (int)threadIdx.x, own_k = lane % 4 * 8;
    for (int k0 = first; k0 < last; k0 += UNITS * AHEAD * STEP) {
        typename T::ahead upper[UNITS], lower[UNITS];
        UNROLL
        for (int u = 0; u < UNITS; u++) {
            int k = k0 + u * AHEAD * STEP;
            if (k < last) { /* the same for the whole warp */
                T::load_ahead(upper[u], weights[0], k + own_k, cols);
                T::load_ahead(lower[u], weights[1], k + own_k, cols);
            }
        }
        UNROLL
        for (int i = 0; i < UNITS * AHEAD; i++) {
            int k = k0 + i * STEP;
            if (k >= last)
                break;
            uint4 above = T::piece(upper[i / AHEAD], i % AHEAD),
                  below = T::piece(lower[i / AHEAD], i % AHEAD);
            UNROLL
            for (int n = 0; n < TILES; n++) {
                int row = 8 * n + lane / 4;
                float v[8];
                x.load<8>(v, x.find(row < rows ? row : 0), k + own_k);
                multiply_pieces<T>(acc[n], above, below, pack_piece<T>(v));
            }
        }
    }
}

template <typename T, int TILES>
__global__ void __launch_bounds__(32 * WARPS, 2)
    fast_few(struct matrix_view out, struct matrix_rows x, struct weight_view w, const float *bias,
             int activation)
{
    enum { SUMS = TILES * 128, TOTALS = (SUMS + 255) / 256 };
    SHARED_ARRAY(float, sums, WARPS *SUMS);
    int lane = (int)threadIdx.x, warp = (int)threadIdx.y, t = warp * 32 + lane,
        first_output = (int)blockIdx.x * 16;
    typename T::row row[2];
    UNROLL
    for (int i = 0; i < 2; i++) {
        int output = first_output + lane / 4 + 8 * i;
        row[i] = T::find(w, output < w.rows ? output : 0);
    }
    float total[TOTALS] = {};
    for (int base = 0; base < w.cols; base += WARPS * CHUNK) {
        float acc[TILES][4] = {};
        int first = base + warp * CHUNK, last = first + CHUNK < w.cols ? first + CHUNK : w.cols;
        sum_chunk<T, TILES>(acc, row, x, out.rows, w.cols, first, last);
        UNROLL
        for (int n = 0; n < TILES; n++) {
            UNROLL
            for (int i = 0; i < 4; i++) /* sums[warp][row][output] */
                sums[warp * SUMS + (8 * n + lane % 4 * 2 + i % 2) * 16 + lane / 4 + i / 2 * 8] = acc[n][i];
        }
        __syncthreads();
        UNROLL
        for (int i = 0; i < TOTALS; i++) {
            for (int c = 0; i * 256 + t < SUMS && c < WARPS && base + c * CHUNK < w.cols; c++)
                total[i] += sums[c * SUMS + i * 256 + t];
        }
        __syncthreads();
    }
    UNROLL
    for (int i = 0; i < TOTALS; i++) {
        int r = (i * 256 + t) / 16, output = first_output + t % 16;
        if (r < out.rows && output < w.rows)
            out.data[(size_t)r * (size_t)out.stride + (size_t)output] =
                activate(bias ? total[i] + bias[output] : total[i], activation);
    }
}

/* ---- choosing ---- */

bool product_is_fast(struct weight_view w)
{
    return w.scale || (w.type != DTYPE_F32 && w.cols % 8 == 0 && (uintptr_t)w.data % 16 == 0);
}

template <typename T>
static void start_few(cudaStream_t stream, struct matrix_view out, struct matrix_rows x, struct weight_view w,
                      const float *bias, int activation)
{
    dim3 blocks((unsigned)(w.rows + 15) / 16), threads(32, WARPS);
    if (out.rows <= 8)
        LAUNCH((fast_few<T, 1>), blocks, threads, stream, out, x, w, bias, activation);
    else if (out.rows <= 16)
        LAUNCH((fast_few<T, 2>), blocks, threads, stream, out, x, w, bias, activation);
    else
        LAUNCH((fast_few<T, FEW_TILES>), blocks, threads, stream, out, x, w, bias, activation);
}

template <typename T, typename Source>
static void start_many(cudaStream_t stream, struct matrix_view out, Source x, struct weight_view w,
                       const float *bias, int activation)
{
    dim3 blocks((unsigned)(w.rows + OUTPUTS - 1) / OUTPUTS, (unsigned)(out.rows + ROWS - 1) / ROWS);
    LAUNCH((fast_many<T, Source>), blocks, MANY_THREADS, stream, out, x, w, bias, activation);
}

template <typename T>
static void start_linear(cudaStream_t stream, struct matrix_view out, struct matrix_view x,
                         struct weight_view w, const float *bias, int activation)
{
    struct matrix_rows rows = matrix_rows_of(x);
    if (x.rows <= 8 * FEW_TILES)
        start_few<T>(stream, out, rows, w, bias, activation);
    else
        start_many<T>(stream, out, rows, w, bias, activation);
}

void launch_linear_fast(cudaStream_t stream, struct matrix_view out, struct matrix_view x,
                        struct weight_view w, const float *bias, int activation)
{
    switch (w.type) {
    case DTYPE_Q8_0: start_linear<type_q8_0>(stream, out, x, w, bias, activation); break;
    case DTYPE_Q4_0: start_linear<type_q4_0>(stream, out, x, w, bias, activation); break;
    case DTYPE_Q4_1: start_linear<type_q4_1>(stream, out, x, w, bias, activation); break;
    case DTYPE_BF16: start_linear<type_bf16>(stream, out, x, w, bias, activation); break;
    default: start_linear<type_f16>(stream, out, x, w, bias, activation); break;
    }
}

void launch_conv_fast(cudaStream_t stream, struct matrix_view out, const float *picture,
                      struct picture_shape shape, struct weight_view w, const float *bias)
{
    struct picture_rows rows = picture_rows_of(picture, shape);
    if (w.type == DTYPE_BF16)
        start_many<type_bf16>(stream, out, rows, w, bias, ACT_NONE);
    else
        start_many<type_f16>(stream, out, rows, w, bias, ACT_NONE);
}
