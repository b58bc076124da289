/* Paged attention on tensor cores, for heads of 64 and 128: queries, keys, weights and values rounded to
 * BF16, sums, maxima and exponentials in float32.
 *
 * Reference: as attention.cu. One order of summation, whichever kernel computes a row: splits of SPLIT keys,
 * walked STEP keys at a time with a running maximum by one warp for 16 queries; the splits are merged in
 * order. A query's masked keys weigh zero, and what lies behind the last key of its warp is read as zero, so
 * neither shows.
 *
 * A warp needs no shared memory for keys and values: of every 32 columns lane t % 4 takes eight neighbours of
 * key g (of every 64 sixteen where they are int8; two multiplications an eight: product_fast.cu's order of
 * columns), and of the values four or eight neighbouring columns of four keys, one column for each of so many
 * tiles of the result. So its loads are 16 bytes (8 of int8 values), eight lanes side by side fetch whole
 * sectors, and the result is stored as it was read. An int8 is exact in BF16; its scale multiplies the
 * score, or the weight before that is rounded.
 *
 * Cost: 4 D operations a query and key. Spans of one row (all heads of a group in one tile, a warp a split)
 * are bound by reading the cache once. Other spans (four warps, 64 queries a block) read it once a warp,
 * three times of four from first-level cache, and are bound by that: 8 operations a byte. */
#include "cuda/kernels/attention_parts.cuh"
#include "cuda/kernels/cache_types.cuh"

enum { STEP = 32, WARPS = 4, WARP_QUERIES = 16, BLOCK_QUERIES = WARPS * WARP_QUERIES };

/* A warp's queries and what they have gathered of a split. Lane (g, t) = (lane / 4, lane % 4) shares rows g
 * and g + 8. */
template <int D> struct warp_state {
    uint4 q[2][D / 32];
    int limit[2]; /* keys that the rows see; 0: no such query */
    float acc[D / 8][4];
    float top[2], sum[2]; /* sum: the lane's share until split_end() */
};

/* Where the lane's piece b of a key's columns begins: pieces that are loaded together lie side by side. */
template <typename C> static __device__ __forceinline__ int piece_column(int b)
{
    return b / C::PIECES * 32 * C::PIECES + (int)threadIdx.x % 4 * 8 * C::PIECES + b % C::PIECES * 8;
}

template <int D, typename C>
static __device__ __forceinline__ void take_queries(warp_state<D> &w, const struct attention_shape &s,
                                                    const struct queries &q,
                                                    const struct matrix_view &queries, int kv_head)
{
    int lane = (int)threadIdx.x;
    UNROLL
    for (int r = 0; r < 2; r++) {
        int i = lane / 4 + 8 * r;
        bool there = i < q.n;
        const float *row = queries.data + query_place(s, q, there ? i : 0, kv_head, queries.stride);
        w.limit[r] = there ? keys_seen(s, q, i) : 0;
        UNROLL
        for (int b = 0; b < D / 32; b++) {
            float x[8];
            UNROLL
            for (int k = 0; k < 8; k++)
                x[k] = there ? row[piece_column<C>(b) + k] : 0;
            w.q[r][b] = pack_piece(x);
        }
    }
}

static __device__ __forceinline__ size_t slot_of(int page, int at)
{
    return (size_t)page * PAGE_TOKENS + (size_t)at;
}

/* Tile j's column i of a step's scores is this key of page j / 2. */
static __device__ __forceinline__ int score_key(int j, int i)
{
    return j % 2 * 8 + (int)threadIdx.x % 4 * 2 + i % 2;
}

/* The scores of keys k0 .. k0+31, tile j holding eight of them; -inf where a row does not see one. */
template <int D, typename C>
static __device__ __forceinline__ void score_step(float score[4][4], const warp_state<D> &w,
                                                  const head_memory<C> &keys, const int page[2], int k0,
                                                  int to, float scale)
{
    UNROLL
    for (int j = 0; j < 4; j++) {
        int own = j % 2 * 8 + (int)threadIdx.x / 4;
        const typename C::type *key =
            k0 + j / 2 * PAGE_TOKENS + own < to ? keys.row(slot_of(page[j / 2], own)) : nullptr;
        UNROLL
        for (int i = 0; i < 4; i++)
            score[j][i] = 0;
        UNROLL
        for (int b = 0; b < D / 32; b += C::PIECES) {
            uint4 k[C::PIECES];
            C::load_key(k, key ? key + piece_column<C>(b) : nullptr);
            UNROLL
            for (int p = 0; p < C::PIECES; p++) {
                const uint4 &upper = w.q[0][b + p], &lower = w.q[1][b + p];
                const uint32_t a1[4] = {upper.x, lower.x, upper.y, lower.y}, b1[2] = {k[p].x, k[p].y};
                const uint32_t a2[4] = {upper.z, lower.z, upper.w, lower.w}, b2[2] = {k[p].z, k[p].w};
                multiply_bf16(score[j], a1, b1);
                multiply_bf16(score[j], a2, b2);
            }
        }
        UNROLL
        for (int i = 0; i < 4; i++) {
            int sum_key = score_key(j, i);
            bool seen = k0 + j / 2 * PAGE_TOKENS + sum_key < w.limit[i / 2];
            float by = C::SCALED && seen ? scale * keys.scale_of(slot_of(page[j / 2], sum_key)) : scale;
            score[j][i] = seen ? score[j][i] * by : -INFINITY;
        }
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

/* A step's weights times their values' scales. */
template <typename C>
static __device__ __forceinline__ void scale_weights(float weight[4][4], const head_memory<C> &values,
                                                     const int page[2], int k0, int to)
{
    UNROLL
    for (int j = 0; j < 4; j++) {
        UNROLL
        for (int i = 0; i < 2; i++) {
            int own = score_key(j, i);
            float by = k0 + j / 2 * PAGE_TOKENS + own < to ? values.scale_of(slot_of(page[j / 2], own)) : 0;
            weight[j][i] *= by;
            weight[j][i + 2] *= by;
        }
    }
}

/* acc += weights . values, 16 keys at a time */
template <int D, typename C>
static __device__ __forceinline__ void add_step(warp_state<D> &w, const float weight[4][4],
                                                const head_memory<C> &values, const int page[2], int k0,
                                                int to)
{
    int lane = (int)threadIdx.x, g = lane / 4, t = lane % 4;
    UNROLL
    for (int half = 0; half < 2; half++) {
        const float *low = weight[2 * half], *high = weight[2 * half + 1];
        const uint32_t a[4] = {pack_bf16(low[0], low[1]), pack_bf16(low[2], low[3]),
                               pack_bf16(high[0], high[1]), pack_bf16(high[2], high[3])};
        const typename C::type *value[4]; /* keys 2t, 2t+1, 2t+8, 2t+9 of the page, the lane's columns */
        UNROLL
        for (int i = 0; i < 4; i++) {
            int own = 2 * t + i % 2 + i / 2 * 8;
            value[i] = k0 + half * PAGE_TOKENS + own < to
                           ? values.row(slot_of(page[half], own)) + g * C::WIDTH
                           : nullptr;
        }
        UNROLL
        for (int b = 0; b < D / 8; b += C::WIDTH) {
            typename C::columns v[4];
            UNROLL
            for (int i = 0; i < 4; i++)
                C::load_value(v[i], value[i] ? value[i] + 8 * b : nullptr);
            UNROLL
            for (int j = 0; j < C::WIDTH; j++) {
                const uint32_t x[2] = {C::pair(v[0], v[1], j), C::pair(v[2], v[3], j)};
                multiply_bf16(w.acc[b + j], a, x);
            }
        }
    }
}

/* Keys from .. to-1, part of one split that begins at `from`. */
template <int D, typename C>
static __device__ __forceinline__ void walk_split(warp_state<D> &w, const struct attention_shape &s,
                                                  const struct queries &q, int kv_head, int from, int to)
{
    head_memory<C> keys = head_of<C>(s, s.key, s.key_scale, kv_head, D);
    head_memory<C> values = head_of<C>(s, s.value, s.value_scale, kv_head, D);
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
        score_step<D, C>(score, w, keys, page, k0, to, s.scale);
        weigh_step<D>(score, w);
        if (C::SCALED)
            scale_weights<C>(score, values, page, k0, to);
        add_step<D, C>(w, score, values, page, k0, to);
    }
    UNROLL
    for (int r = 0; r < 2; r++) {
        w.sum[r] += __shfl_xor_sync(0xffffffffu, w.sum[r], 1);
        w.sum[r] += __shfl_xor_sync(0xffffffffu, w.sum[r], 2);
    }
}

/* Columns that a lane holds of a row: 2 WIDTH neighbours of every 8 WIDTH, the first half of them in
 * acc[...][2r], the second in acc[...][2r + 1]. */
template <int D, typename C>
static __device__ __forceinline__ void store_row(float *to, const warp_state<D> &w, int r, float sum)
{
    enum { WIDTH = C::WIDTH };
    UNROLL
    for (int b = 0; b < D / 8; b += WIDTH) {
        UNROLL
        for (int j = 0; j < 2 * WIDTH; j++)
            to[8 * b + (int)threadIdx.x % 4 * 2 * WIDTH + j] = w.acc[b + j % WIDTH][2 * r + j / WIDTH] / sum;
    }
}

/* ---- spans of one row: a warp a split ---- */

template <int D, typename C>
__global__ void __launch_bounds__(32 * WARPS, 2)
    fast_single(struct matrix_view out, struct matrix_view queries, struct attention_shape s)
{
    int kv_head = (int)blockIdx.y, split = (int)(blockIdx.z * WARPS + threadIdx.y);
    struct queries q = find_queries(s, (int)blockIdx.x, true, WARP_QUERIES);
    int all = q.span.first_position + 1, from = split * SPLIT, to = from + SPLIT < all ? from + SPLIT : all;
    if (from >= all) /* the same for the whole warp, and no barrier follows */
        return;
    warp_state<D> w;
    take_queries<D, C>(w, s, q, queries, kv_head);
    walk_split<D, C>(w, s, q, kv_head, from, to);
    UNROLL
    for (int r = 0; r < 2; r++) {
        int i = (int)threadIdx.x / 4 + 8 * r;
        if (i >= q.n)
            continue;
        if (s.single_splits == 1) {
            store_row<D, C>(out.data + query_place(s, q, i, kv_head, out.stride), w, r, w.sum[r]);
            continue;
        }
        float *partial = partial_place(s, q.single, kv_head * s.group + q.first + i, split);
        store_row<D, C>(partial + 2, w, r, 1);
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

template <int D, typename C>
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
    take_queries<D, C>(w, s, q, queries, kv_head);
    for (int from = 0; from < all; from += SPLIT) {
        walk_split<D, C>(w, s, q, kv_head, from, from + SPLIT < all ? from + SPLIT : all);
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
            store_row<D, C>(out.data + query_place(s, q, i, kv_head, out.stride), w, r, state[r].sum);
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

template <int D, typename C>
static void start_fast(cudaStream_t stream, struct matrix_view out, struct matrix_view q,
                       struct attention_shape s)
{
    dim3 threads(32, WARPS);
    if (s.single_rows > 0) {
        unsigned tiles = (unsigned)(s.single_rows * ((s.group + WARP_QUERIES - 1) / WARP_QUERIES));
        unsigned splits = (unsigned)(s.single_splits + WARPS - 1) / WARPS;
        LAUNCH((fast_single<D, C>), dim3(tiles, (unsigned)s.kv_heads, splits), threads, stream, out, q, s);
        launch_attention_merge(stream, out, s);
    }
    if (s.query_blocks > 0)
        LAUNCH((fast_spans<D, C>), dim3((unsigned)s.query_blocks, (unsigned)s.kv_heads), threads, stream, out,
               q, s);
}

template <int D>
static void start_typed(cudaStream_t stream, struct matrix_view out, struct matrix_view q,
                        struct attention_shape s)
{
    if (s.type == DTYPE_BF16)
        start_fast<D, cache_bf16>(stream, out, q, s);
    else if (s.type == DTYPE_I8)
        start_fast<D, cache_i8>(stream, out, q, s);
    else
        start_fast<D, cache_f32>(stream, out, q, s);
}

void launch_attention_fast(cudaStream_t stream, struct matrix_view out, struct matrix_view q,
                           struct attention_shape s)
{
    if (s.head_dim == 64)
        start_typed<64>(stream, out, q, s);
    else
        start_typed<128>(stream, out, q, s);
}
