/* Paged attention on tensor cores, for heads of 64 and 128: queries, keys, weights and values rounded to
 * BF16, sums, maxima and exponentials in float32.
 *
 * Reference: as attention.cu. One order of summation, whichever kernel computes a row: splits of SPLIT keys,
 * walked STEP keys at a time with a running maximum by one warp for 16 queries; the splits are merged in
 * order. A query's masked keys weigh zero, and what lies behind the last key of its warp is read as zero, so
 * neither shows.
 *
 * A warp needs no shared memory for keys and values: of every 32 columns lane t % 4 takes eight neighbours of
 * key g (two 16-byte loads, two multiplications: product_fast.cu's order of columns), and of the values four
 * neighbouring columns of four keys, one column for each of four tiles of the result. So all its loads are 16
 * bytes, eight lanes side by side fetch 128, and the result is stored as it was read.
 *
 * Cost: 4 D operations a query and key. Spans of one row (all heads of a group in one tile, a warp a split)
 * are bound by reading the cache once. Other spans (four warps, 64 queries a block) read it once a warp,
 * three times of four from first-level cache, and are bound by that: 8 operations a byte. */
#include "cuda/kernels/attention_parts.cuh"

enum { STEP = 32, WARPS = 4, WARP_QUERIES = 16, BLOCK_QUERIES = WARPS * WARP_QUERIES };

static __device__ __forceinline__ uint4 pack_piece(const float x[8])
{
    uint4 piece;
    piece.x = pack_bf16(x[0], x[1]);
    piece.y = pack_bf16(x[2], x[3]);
    piece.z = pack_bf16(x[4], x[5]);
    piece.w = pack_bf16(x[6], x[7]);
    return piece;
}

/* Eight floats at `from`, 16-byte aligned; zeros where there are none. */
static __device__ __forceinline__ uint4 load_piece(const float *from)
{
    float x[8] = {};
    if (from) {
        load_floats<4>(x, from);
        load_floats<4>(x + 4, from + 4);
    }
    return pack_piece(x);
}

/* A warp's queries and what they have gathered of a split. Lane (g, t) = (lane / 4, lane % 4) shares rows g
 * and g + 8. */
template <int D> struct warp_state {
    uint4 q[2][D / 32];
    int limit[2]; /* keys that the rows see; 0: no such query */
    float acc[D / 8][4];
    float top[2], sum[2]; /* sum: the lane's share until split_end() */
};

template <int D>
static __device__ __forceinline__ void take_queries(warp_state<D> &w, const struct attention_shape &s,
                                                    const struct queries &q,
                                                    const struct matrix_view &queries, int kv_head)
{
    int lane = (int)threadIdx.x;
    UNROLL
    for (int r = 0; r < 2; r++) {
        int i = lane / 4 + 8 * r;
        bool there = i < q.n;
        const float *row =
            queries.data + query_place(s, q, there ? i : 0, kv_head, queries.stride) + lane % 4 * 8;
        w.limit[r] = there ? keys_seen(s, q, i) : 0;
        UNROLL
        for (int b = 0; b < D / 32; b++) {
            float x[8];
            UNROLL
            for (int k = 0; k < 8; k++)
                x[k] = there ? row[32 * b + k] : 0;
            w.q[r][b] = pack_piece(x);
        }
    }
}

/* The scores of keys k0 .. k0+31, tile j holding eight of them; -inf where a row does not see one. */
template <int D>
static __device__ __forceinline__ void score_step(float score[4][4], const warp_state<D> &w,
                                                  const float *keys, size_t slot_width, const int page[2],
                                                  int k0, int to, float scale)
{
    int lane = (int)threadIdx.x, g = lane / 4, t = lane % 4;
    UNROLL
    for (int j = 0; j < 4; j++) {
        size_t slot = (size_t)page[j / 2] * PAGE_TOKENS + (size_t)(j % 2 * 8 + g);
        const float *key = k0 + 8 * j + g < to ? keys + slot * slot_width + t * 8 : nullptr;
        UNROLL
        for (int i = 0; i < 4; i++)
            score[j][i] = 0;
        UNROLL
        for (int b = 0; b < D / 32; b++) {
            uint4 k = load_piece(key ? key + 32 * b : nullptr);
            const uint4 &upper = w.q[0][b], &lower = w.q[1][b];
            const uint32_t a1[4] = {upper.x, lower.x, upper.y, lower.y}, b1[2] = {k.x, k.y};
            const uint32_t a2[4] = {upper.z, lower.z, upper.w, lower.w}, b2[2] = {k.z, k.w};
            multiply_bf16(score[j], a1, b1);
            multiply_bf16(score[j], a2, b2);
        }
        UNROLL
        for (int i = 0; i < 4; i++)
            score[j][i] = k0 + 8 * j + 2 * t + i % 2 < w.limit[i / 2] ? score[j][i] * scale : -INFINITY;
    }
}

/* Scores become weights; what was gathered before shrinks where a row has a new maximum. */
template <int D> static __device__ __forceinline__ void weigh_step(float score[4][4], warp_state<D> &w)
{
    UNROLL
    for (int r = 0; r < 2; r++) {
        float top = w.top[r], sum = 0;
        UNROLL
        for (int j = 0; j < 4; j++)
            top = fmaxf(top, fmaxf(score[j][2 * r], score[j][2 * r + 1]));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
        float base = top == -INFINITY ? 0 : top; /* nothing seen so far: all weights are 0 */
        float correction = expf(w.top[r] - base);
        UNROLL
        for (int j = 0; j < 4; j++) {
            UNROLL
            for (int i = 2 * r; i < 2 * r + 2; i++) {
                score[j][i] = expf(score[j][i] - base);
                sum += score[j][i];
            }
        }
        w.sum[r] = w.sum[r] * correction + sum;
        w.top[r] = top;
        UNROLL
        for (int n = 0; n < D / 8; n++) {
            w.acc[n][2 * r] *= correction;
            w.acc[n][2 * r + 1] *= correction;
        }
    }
}

/* acc += weights . values, 16 keys at a time */
template <int D>
static __device__ __forceinline__ void add_step(warp_state<D> &w, const float weight[4][4],
                                                const float *values, size_t slot_width, const int page[2],
                                                int k0, int to)
{
    int lane = (int)threadIdx.x, g = lane / 4, t = lane % 4;
    UNROLL
    for (int half = 0; half < 2; half++) {
        const float *low = weight[2 * half], *high = weight[2 * half + 1];
        const uint32_t a[4] = {pack_bf16(low[0], low[1]), pack_bf16(low[2], low[3]),
                               pack_bf16(high[0], high[1]), pack_bf16(high[2], high[3])};
        const float *value[4]; /* keys 2t, 2t+1, 2t+8, 2t+9 of the page, columns from 4g on */
        UNROLL
        for (int i = 0; i < 4; i++) {
            int key = 2 * t + i % 2 + i / 2 * 8;
            size_t slot = (size_t)page[half] * PAGE_TOKENS + (size_t)key;
            value[i] = k0 + 16 * half + key < to ? values + slot * slot_width + g * 4 : nullptr;
        }
        UNROLL
        for (int b = 0; b < D / 32; b++) {
            float v[4][4];
            UNROLL
            for (int i = 0; i < 4; i++) {
                UNROLL
                for (int k = 0; k < 4; k++)
                    v[i][k] = 0;
                if (value[i])
                    load_floats<4>(v[i], value[i] + 32 * b);
            }
            UNROLL
            for (int j = 0; j < 4; j++) {
                const uint32_t x[2] = {pack_bf16(v[0][j], v[1][j]), pack_bf16(v[2][j], v[3][j])};
                multiply_bf16(w.acc[4 * b + j], a, x);
            }
        }
    }
}

/* Keys from .. to-1, part of one split that begins at `from`. */
template <int D>
static __device__ __forceinline__ void walk_split(warp_state<D> &w, const struct attention_shape &s,
                                                  const struct queries &q, int kv_head, int from, int to)
{
    size_t slot_width = (size_t)s.kv_heads * D, head = (size_t)kv_head * D;
    UNROLL
    for (int r = 0; r < 2; r++) {
        w.top[r] = -INFINITY;
        w.sum[r] = 0;
    }
    UNROLL
    for (int n = 0; n < D / 8; n++) {
        UNROLL
        for (int i = 0; i < 4; i++)
            w.acc[n][i] = 0;
    }
    for (int k0 = from; k0 < to; k0 += STEP) {
        const int32_t *pages = s.page + q.span.first_page + k0 / PAGE_TOKENS;
        const int page[2] = {pages[0], k0 + PAGE_TOKENS < to ? pages[1] : pages[0]};
        float score[4][4];
        score_step<D>(score, w, s.key + head, slot_width, page, k0, to, s.scale);
        weigh_step<D>(score, w);
        add_step<D>(w, score, s.value + head, slot_width, page, k0, to);
    }
    UNROLL
    for (int r = 0; r < 2; r++) {
        w.sum[r] += __shfl_xor_sync(0xffffffffu, w.sum[r], 1);
        w.sum[r] += __shfl_xor_sync(0xffffffffu, w.sum[r], 2);
    }
}

/* Columns that a lane holds of a row: of each 32, columns 8t .. 8t+7, in acc[4b + j][2r] (j) and [2r + 1] (4
 * + j). */
template <int D>
static __device__ __forceinline__ void store_row(float *to, const warp_state<D> &w, int r, float sum)
{
    UNROLL
    for (int b = 0; b < D / 32; b++) {
        UNROLL
        for (int j = 0; j < 8; j++)
            to[32 * b + (int)threadIdx.x % 4 * 8 + j] = w.acc[4 * b + j % 4][2 * r + j / 4] / sum;
    }
}

/* ---- spans of one row: a warp a split ---- */

template <int D>
__global__ void __launch_bounds__(32 * WARPS, 2)
    fast_single(struct matrix_view out, struct matrix_view queries, struct attention_shape s)
{
    int kv_head = (int)blockIdx.y, split = (int)(blockIdx.z * WARPS + threadIdx.y);
    struct queries q = find_queries(s, (int)blockIdx.x, true, WARP_QUERIES);
    int all = q.span.first_position + 1, from = split * SPLIT, to = from + SPLIT < all ? from + SPLIT : all;
    if (from >= all) /* the same for the whole warp, and no barrier follows */
        return;
    warp_state<D> w;
    take_queries<D>(w, s, q, queries, kv_head);
    walk_split<D>(w, s, q, kv_head, from, to);
    UNROLL
    for (int r = 0; r < 2; r++) {
        int i = (int)threadIdx.x / 4 + 8 * r;
        if (i >= q.n)
            continue;
        if (s.single_splits == 1) {
            store_row<D>(out.data + query_place(s, q, i, kv_head, out.stride), w, r, w.sum[r]);
            continue;
        }
        float *partial = partial_place(s, q.single, kv_head * s.group + q.first + i, split);
        store_row<D>(partial + 2, w, r, 1);
        if (threadIdx.x % 4 == 0) {
            partial[0] = w.top[r];
            partial[1] = w.sum[r];
        }
    }
}

/* ---- other spans: a warp walks all splits of its 16 queries ---- */

/* The split joins what the lane has of its rows: totals in shared memory of its own, so that registers
 * suffice. */
template <int D>
static __device__ __forceinline__ void merge_split(float *total, struct merged state[2],
                                                   const warp_state<D> &w, int from)
{
    UNROLL
    for (int r = 0; r < 2; r++) {
        struct merged split = {w.top[r], w.sum[r]};
        float a = 0, b = 1;
        if (from >= w.limit[r])
            continue;
        state[r] = from == 0 ? split : merge(state[r], split, &a, &b);
        UNROLL
        for (int n = 0; n < D / 8; n++) {
            UNROLL
            for (int i = 2 * r; i < 2 * r + 2; i++) {
                float *at = total + (n * 4 + i) * 32;
                *at = from == 0 ? w.acc[n][i] : *at * a + w.acc[n][i] * b;
            }
        }
    }
}

template <int D>
__global__ void __launch_bounds__(32 * WARPS, 2)
    fast_spans(struct matrix_view out, struct matrix_view queries, struct attention_shape s)
{
    SHARED_ARRAY(float, totals, BLOCK_QUERIES *D);
    float *total = totals + threadIdx.y * WARP_QUERIES * D + threadIdx.x;
    int kv_head = (int)blockIdx.y, own = (int)threadIdx.y * WARP_QUERIES;
    struct queries q = find_queries(s, (int)blockIdx.x, false, BLOCK_QUERIES);
    q.first += own;
    q.n = q.n - own < WARP_QUERIES ? q.n - own : (int)WARP_QUERIES;
    if (q.n <= 0) /* the same for the whole warp, and no barrier follows */
        return;
    warp_state<D> w;
    struct merged state[2] = {};
    int all = keys_seen(s, q, q.n - 1);
    take_queries<D>(w, s, q, queries, kv_head);
    for (int from = 0; from < all; from += SPLIT) {
        walk_split<D>(w, s, q, kv_head, from, from + SPLIT < all ? from + SPLIT : all);
        merge_split<D>(total, state, w, from);
    }
    UNROLL
    for (int n = 0; n < D / 8; n++) {
        UNROLL
        for (int i = 0; i < 4; i++)
            w.acc[n][i] = w.limit[i / 2] > 0 ? total[(n * 4 + i) * 32] : 0;
    }
    UNROLL
    for (int r = 0; r < 2; r++) {
        int i = (int)threadIdx.x / 4 + 8 * r;
        if (i < q.n)
            store_row<D>(out.data + query_place(s, q, i, kv_head, out.stride), w, r, state[r].sum);
    }
}

/* ---- launches ---- */

bool attention_is_fast(const struct attention_shape *s)
{
    return (s->head_dim == 64 || s->head_dim == 128) && (uintptr_t)s->key % 16 == 0 &&
           (uintptr_t)s->value % 16 == 0;
}

int attention_blocks_fast(int rows, int group)
{
    return (rows * group + BLOCK_QUERIES - 1) / BLOCK_QUERIES;
}

template <int D>
static void start_fast(cudaStream_t stream, struct matrix_view out, struct matrix_view q,
                       struct attention_shape s)
{
    dim3 threads(32, WARPS);
    if (s.single_rows > 0) {
        unsigned tiles = (unsigned)(s.single_rows * ((s.group + WARP_QUERIES - 1) / WARP_QUERIES));
        unsigned splits = (unsigned)(s.single_splits + WARPS - 1) / WARPS;
        LAUNCH(fast_single<D>, dim3(tiles, (unsigned)s.kv_heads, splits), threads, stream, out, q, s);
        launch_attention_merge(stream, out, s);
    }
    if (s.query_blocks > 0)
        LAUNCH(fast_spans<D>, dim3((unsigned)s.query_blocks, (unsigned)s.kv_heads), threads, stream, out, q,
               s);
}

void launch_attention_fast(cudaStream_t stream, struct matrix_view out, struct matrix_view q,
                           struct attention_shape s)
{
    if (s.head_dim == 64)
        start_fast<64>(stream, out, q, s);
    else
        start_fast<128>(stream, out, q, s);
}
