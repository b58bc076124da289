/* Keys and values on their way into the cache's slots, and what becomes of the heads of queries and keys first.
 *
 * Reference: rope_write: pairs (d, d + half) of a head turned by the angle position * inv_freq[d];
 *            norm_write: a head divided by max(|head|, 1e-12), a query's times its scale;
 *            kv_write: neither. Then keys and values as the cache's type has them (cache_types.cuh).
 * Cost: memory: each head is read once (from cache again), queries and keys are written in place, keys and values
 * to their slots. A warp takes a head of a row, whatever there is beside it; sums of squares are in double. */
#include "cuda/kernels/views.cuh"

enum { WARPS = 4 };

struct write_rows {
    struct kv_layer kv;
    struct matrix_view q, k, v; /* q without columns: only keys and values */
    const int32_t *slot;
    bool wide; /* heads lie in whole 16-byte pieces, here and in the cache */
};

/* What becomes of a head of queries (query: its number) or of keys (-1) of a row. */
struct as_it_is {
    __device__ __forceinline__ void operator()(float *, int, int, int) const
    {
    }
};

struct rotated {
    const int32_t *position;
    const float *inv_freq;

    __device__ __forceinline__ void operator()(float *x, int n, int row, int) const
    {
        int half = n / 2;
        for (int d = (int)threadIdx.x; d < half; d += 32) {
            float angle = (float)position[row] * inv_freq[d], c = cosf(angle), s = sinf(angle);
            float a = x[d], b = x[d + half];
            x[d] = a * c - b * s;
            x[d + half] = b * c + a * s;
        }
    }
};

struct normed {
    const float *query_scale;

    __device__ __forceinline__ void operator()(float *x, int n, int, int query) const
    {
        double square = 0;
        for (int i = (int)threadIdx.x; i < n; i += 32)
            square += (double)x[i] * x[i];
        double length = sqrt(warp_sum(square));
        float by = (float)((query < 0 ? 1.0f : query_scale[query]) / (length > 1e-12 ? length : 1e-12));
        for (int i = (int)threadIdx.x; i < n; i += 32)
            x[i] *= by;
    }
};

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

static __device__ __forceinline__ void store_i8(int8_t *to, float *scale, const float *x, int n)
{
    const float to_integer =
        12582912.0f; /* 1.5 x 2^23: added, it leaves the nearest integer in the low bits */
    float most = largest_magnitude(x, n);
    float by = most >= 1e-30f ? 127 / most : 0; /* NaN: the scale makes all of them NaN again */
    for (int i = (int)threadIdx.x; i < n; i += 32)
        to[i] = (int8_t)(uint8_t)(__float_as_uint(x[i] * by + to_integer) & 0xff);
    if (threadIdx.x == 0)
        *scale = most < 1e-30f ? 0 : most / 127;
}

template <int N> static __device__ __forceinline__ void store_cached(float *to, const float x[N])
{
    store_floats<N>(to, x);
}
template <int N> static __device__ __forceinline__ void store_cached(uint16_t *to, const float x[N])
{
    if (N == 4) {
        uint2 words;
        words.x = pack_bf16(x[0], x[1 % N]);
        words.y = pack_bf16(x[2 % N], x[3 % N]);
        *(uint2 *)to = words;
    } else {
        to[0] = (uint16_t)pack_bf16(x[0], 0);
    }
}

/* N values at once. */
template <int N, typename T> static __device__ __forceinline__ void store_pieces(T *to, const float *x, int n)
{
    float v[N];
    for (int i = (int)threadIdx.x * N; i < n; i += 32 * N) {
        load_floats<N>(v, x + i);
        store_cached<N>(to + i, v);
    }
}

template <typename T>
static __device__ __forceinline__ void store_floating(T *to, const float *x, int n, bool wide)
{
    if (wide)
        store_pieces<4>(to, x, n);
    else
        store_pieces<1>(to, x, n);
}

/* Keys or values and their scales, and at: the head's number there. */
static __device__ __forceinline__ void store_head(const struct write_rows &w, void *side, float *scale,
                                                  size_t at, const float *x)
{
    int n = w.kv.head_dim;
    size_t first = at * (size_t)n;
    switch (w.kv.type) {
    case DTYPE_I8: store_i8((int8_t *)side + first, scale + at, x, n); break;
    case DTYPE_BF16: store_floating((uint16_t *)side + first, x, n, w.wide); break;
    default: store_floating((float *)side + first, x, n, w.wide); break;
    }
}

/* Queries' heads first, then keys', then values'. */
template <typename Change>
__global__ void __launch_bounds__(32 * WARPS, 10) write_kernel(struct write_rows w, Change change)
{
    int row = (int)blockIdx.x, n = w.kv.head_dim, queries = w.q.cols / n;
    int head = (int)(blockIdx.y * WARPS + threadIdx.y);
    if (head < queries) { /* the same for a whole warp, as all that follows */
        change(row_of(w.q, row) + (size_t)head * (size_t)n, n, row, head);
        return;
    }
    head -= queries;
    bool value = head >= w.kv.heads;
    head -= value ? w.kv.heads : 0;
    if (head >= w.kv.heads)
        return;
    size_t at = (size_t)w.slot[row] * (size_t)w.kv.heads + (size_t)head, first = (size_t)head * (size_t)n;
    if (value) {
        store_head(w, w.kv.value, w.kv.value_scale, at, row_of(w.v, row) + first);
        return;
    }
    change(row_of(w.k, row) + first, n, row, -1);
    __syncwarp(); /* lanes read what others wrote */
    store_head(w, w.kv.key, w.kv.key_scale, at, row_of(w.k, row) + first);
}

template <typename Change>
static void start_write(cudaStream_t stream, struct kv_layer kv, struct matrix_view q, struct matrix_view k,
                        struct matrix_view v, const int32_t *slot, Change change)
{
    bool wide = kv.head_dim % 4 == 0 && is_wide(k) && is_wide(v) && (uintptr_t)kv.key % 16 == 0 &&
                (uintptr_t)kv.value % 16 == 0;
    unsigned heads = (unsigned)(q.cols / kv.head_dim + 2 * kv.heads);
    struct write_rows w = {kv, q, k, v, slot, wide};
    LAUNCH(write_kernel<Change>, dim3((unsigned)k.rows, (heads + WARPS - 1) / WARPS), dim3(32, WARPS), stream,
           w, change);
}

void launch_kv_write(cudaStream_t stream, struct kv_layer kv, struct matrix_view k, struct matrix_view v,
                     const int32_t *slot)
{
    struct matrix_view no_queries = {nullptr, k.rows, 0, 0};
    start_write(stream, kv, no_queries, k, v, slot, as_it_is());
}

void launch_rope_write(cudaStream_t stream, struct kv_layer kv, struct matrix_view q, struct matrix_view k,
                       struct matrix_view v, const int32_t *slot, const int32_t *position,
                       const float *inv_freq)
{
    start_write(stream, kv, q, k, v, slot, rotated{position, inv_freq});
}

void launch_norm_write(cudaStream_t stream, struct kv_layer kv, struct matrix_view q, struct matrix_view k,
                       struct matrix_view v, const int32_t *slot, const float *query_scale)
{
    start_write(stream, kv, q, k, v, slot, normed{query_scale});
}
