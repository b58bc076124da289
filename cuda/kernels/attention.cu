/* Paged attention, float32 throughout: what the cache keeps in fewer bits becomes float32 while loading.
 *
 * Reference: out[r, h] = softmax(scale * q[r, h] . k^T under the mask) . v over the keys that the row sees,
 * which lie in pages; query head h reads key/value head h / group.
 *
 * One order of summation, whichever kernel computes a row: keys in splits of SPLIT, each walked in steps of
 * KEYS with a running maximum; scores are sums of sums over SLAB columns; within a step the weights are
 * summed by a fixed tree and the values by fused multiply-adds, keys ascending; splits are merged in order. A
 * query skips keys that it does not see rather than multiplying them by zero, so neither what lies behind nor
 * the other queries of its block can show in its bits.
 *
 * Cost: 4 D floating-point operations a query and key; keys and values are read once a block of queries.
 * Spans of one row (decoding) have a block a split and key/value head, all query heads of the group in it,
 * and are bound by reading the cache; attention_merge then reads D + 2 floats a split. Other spans have a
 * block for 16 queries and are bound by multiply-adds from shared memory. A block makes up to 128 columns of
 * the result: wider heads (the VQVAE's) compute their scores once a block again. */
#include "cuda/kernels/attention_parts.cuh"

enum { THREADS = 128, KEYS = 128, SLAB = 32, COLUMNS = 128, SPAN_QUERIES = 16 };

/* ---- one step: KEYS keys ---- */

template <int Q> struct block_memory {
    float *keys;                   /* [KEYS][SLAB + 1] */
    float *slab;                   /* [Q][SLAB] of the queries */
    float *weight;                 /* [Q][KEYS] scores, then weights */
    int *slot;                     /* [KEYS] */
    float *top, *sum, *correction; /* [Q] */
};

static __device__ __forceinline__ void find_slots(int *slot, const struct attention_shape &s,
                                                  const struct span &span, int from, int n)
{
    int i = (int)threadIdx.x, p = from + i;
    if (i < n)
        slot[i] = s.page[span.first_page + p / PAGE_TOKENS] * PAGE_TOKENS + p % PAGE_TOKENS;
}

/* Thread i computes the scores of key i with all queries; slabs of the head come through shared memory. */
template <int Q, typename C>
static __device__ __forceinline__ void score_keys(const block_memory<Q> &m, const struct attention_shape &s,
                                                  const struct queries &q, const float *queries, int stride,
                                                  int kv_head, int n)
{
    float acc[Q] = {};
    int t = (int)threadIdx.x;
    head_memory<C> keys = head_of<C>(s, s.key, s.key_scale, kv_head, s.head_dim);
    for (int d0 = 0; d0 < s.head_dim; d0 += SLAB) {
        int width = s.head_dim - d0 < SLAB ? s.head_dim - d0 : (int)SLAB, lane = t % 32;
        for (int i = t / 32; i < n; i += THREADS / 32) {
            if (lane < width)
                m.keys[i * (SLAB + 1) + lane] = keys.value(m.slot[i], d0 + lane);
        }
        for (int i = t / 32; i < Q; i += THREADS / 32) { /* zeros for queries that are not there */
            if (lane < width)
                m.slab[i * SLAB + lane] =
                    i < q.n ? queries[query_place(s, q, i, kv_head, stride) + (size_t)(d0 + lane)] : 0;
        }
        __syncthreads();
        float part[Q] = {};
        for (int d = 0; t < n && d < width; d++) {
            float k = m.keys[t * (SLAB + 1) + d];
            UNROLL
            for (int i = 0; i < Q; i++)
                part[i] = fmaf(m.slab[i * SLAB + d], k, part[i]);
        }
        UNROLL
        for (int i = 0; i < Q; i++)
            acc[i] += part[i];
        __syncthreads();
    }
    for (int i = 0; i < Q; i++) {
        if (i < q.n && t < n)
            m.weight[i * KEYS + t] = acc[i] * s.scale;
    }
}

/* Scores become weights: a warp a query, lanes taking every 32nd key. `fresh`: a split begins. */
template <int Q>
static __device__ __forceinline__ void weigh_keys(const block_memory<Q> &m, const struct attention_shape &s,
                                                  const struct queries &q, int from, bool fresh)
{
    int lane = (int)threadIdx.x % 32;
    for (int i = (int)threadIdx.x / 32; i < q.n; i += THREADS / 32) { /* the same for a whole warp */
        int n = keys_seen(s, q, i) - from;
        float score[KEYS / 32], top = -INFINITY, sum = 0;
        for (int k = 0; k < KEYS / 32; k++) {
            score[k] = lane + 32 * k < n ? m.weight[i * KEYS + lane + 32 * k] : -INFINITY;
            top = fmaxf(top, score[k]);
        }
        top = warp_max(top);
        if (n <= 0)
            continue;
        float before = fresh ? -INFINITY : m.top[i];
        top = fmaxf(top, before);
        for (int k = 0; k < KEYS / 32; k++) {
            float w = lane + 32 * k < n ? expf(score[k] - top) : 0;
            m.weight[i * KEYS + lane + 32 * k] = w;
            sum += w;
        }
        sum = warp_sum(sum);
        __syncwarp(); /* all have read m.top */
        if (lane == 0) {
            float correction = fresh ? 0 : expf(before - top);
            m.sum[i] = fresh ? sum : m.sum[i] * correction + sum;
            m.correction[i] = correction;
            m.top[i] = top;
        }
    }
}

/* Which of the block's queries and which column this thread gathers: `lanes` threads side by side take a
 * query's columns. */
struct part {
    int lanes, group, groups, column;
};

template <int Q, typename C>
static __device__ __forceinline__ void add_values(const block_memory<Q> &m, const struct attention_shape &s,
                                                  const struct queries &q, const struct part &part,
                                                  int kv_head, int from, int n, bool fresh, float acc[Q])
{
    int limit[Q];
    for (int j = 0; j < Q; j++) {
        int i = part.group + j * part.groups;
        limit[j] = i < q.n ? keys_seen(s, q, i) - from : 0;
        if (limit[j] > 0)
            acc[j] = fresh ? 0 : acc[j] * m.correction[i];
    }
    if (part.column >= s.head_dim)
        return;
    head_memory<C> values = head_of<C>(s, s.value, s.value_scale, kv_head, s.head_dim);
    for (int k = 0; k < n; k++) {
        float v = values.value(m.slot[k], part.column);
        for (int j = 0; j < Q; j++) {
            if (k < limit[j])
                acc[j] = fmaf(m.weight[(part.group + j * part.groups) * KEYS + k], v, acc[j]);
        }
    }
}

/* Keys from .. to-1 of a split into acc, m.top and m.sum. */
template <int Q, typename C>
static __device__ __forceinline__ void
walk_split(const block_memory<Q> &m, const struct attention_shape &s, const struct queries &q,
           const struct part &part, struct matrix_view queries, int kv_head, int from, int to, float acc[Q])
{
    for (int at = from; at < to; at += KEYS) {
        int n = to - at < KEYS ? to - at : (int)KEYS;
        find_slots(m.slot, s, q.span, at, n);
        __syncthreads();
        score_keys<Q, C>(m, s, q, queries.data, queries.stride, kv_head, n);
        __syncthreads();
        weigh_keys<Q>(m, s, q, at, at == from);
        __syncthreads();
        add_values<Q, C>(m, s, q, part, kv_head, at, n, at == from, acc);
        __syncthreads();
    }
}

static __device__ __forceinline__ struct part find_part(int head_dim, int slab)
{
    struct part p;
    p.lanes = head_dim > 64 ? 128 : head_dim > 32 ? 64 : 32;
    p.groups = THREADS / p.lanes;
    p.group = (int)threadIdx.x / p.lanes;
    p.column = slab * COLUMNS + (int)threadIdx.x % p.lanes;
    return p;
}

#define BLOCK_MEMORY(m, Q)                                                                                   \
    SHARED_ARRAY(float, m##_keys, KEYS *(SLAB + 1));                                                         \
    SHARED_ARRAY(float, m##_slab, Q *SLAB);                                                                  \
    SHARED_ARRAY(float, m##_weight, Q *KEYS);                                                                \
    SHARED_ARRAY(int, m##_slot, KEYS);                                                                       \
    SHARED_ARRAY(float, m##_state, 3 * Q);                                                                   \
    block_memory<Q> m = {m##_keys,  m##_slab,      m##_weight,       m##_slot,                               \
                         m##_state, m##_state + Q, m##_state + 2 * Q}

/* ---- spans of one row: a block a split ---- */

template <int Q, typename C>
__global__ void __launch_bounds__(THREADS, 3)
    attention_single(struct matrix_view out, struct matrix_view queries, struct attention_shape s)
{
    BLOCK_MEMORY(m, Q);
    struct queries q = find_queries(s, (int)blockIdx.x, true, Q);
    int kv_head = (int)blockIdx.y, split = (int)blockIdx.z % s.single_splits,
        slab = (int)blockIdx.z / s.single_splits;
    struct part part = find_part(s.head_dim, slab);
    int all = q.span.first_position + 1, from = split * SPLIT, to = from + SPLIT < all ? from + SPLIT : all;
    float acc[Q] = {};
    if (from >= all)
        return;
    walk_split<Q, C>(m, s, q, part, queries, kv_head, from, to, acc);
    for (int j = 0; j < Q; j++) {
        int i = part.group + j * part.groups;
        if (i >= q.n || part.column >= s.head_dim)
            continue;
        if (s.single_splits == 1) {
            out.data[query_place(s, q, i, kv_head, out.stride) + (size_t)part.column] = acc[j] / m.sum[i];
            continue;
        }
        float *to_partial = partial_place(s, q.single, kv_head * s.group + q.first + i, split);
        to_partial[2 + part.column] = acc[j];
        if (part.column == 0) {
            to_partial[0] = m.top[i];
            to_partial[1] = m.sum[i];
        }
    }
}

/* A block a span of one row and query head: its splits, in order. */
__global__ void __launch_bounds__(THREADS) attention_merge(struct matrix_view out, struct attention_shape s)
{
    struct queries q = find_queries(s, (int)blockIdx.x, true, s.group);
    int head = (int)blockIdx.y,
        splits = (q.span.first_position + SPLIT) / SPLIT; /* of first_position + 1 keys */
    for (int d = (int)threadIdx.x; d < s.head_dim; d += THREADS) {
        const float *p = partial_place(s, (int)blockIdx.x, head, 0);
        struct merged total = {p[0], p[1]};
        float acc = p[2 + d], a, b;
        for (int split = 1; split < splits; split++) {
            p = partial_place(s, (int)blockIdx.x, head, split);
            total = merge(total, merged{p[0], p[1]}, &a, &b);
            acc = acc * a + p[2 + d] * b;
        }
        out.data[(size_t)q.span.first_row * (size_t)out.stride + (size_t)head * (size_t)s.head_dim +
                 (size_t)d] = acc / total.sum;
    }
}

/* ---- spans of more rows: a block walks all splits of its queries ---- */

/* Query i's split joins what it has: thread i computes what both are to be multiplied with. */
static __device__ __forceinline__ void merge_split(float *state, int i, int queries, struct merged split,
                                                   bool first)
{
    float a = 0, b = 1;
    struct merged total = split;
    if (!first)
        total = merge(merged{state[i], state[queries + i]}, split, &a, &b);
    state[i] = total.top;
    state[queries + i] = total.sum;
    state[2 * queries + i] = a;
    state[3 * queries + i] = b;
}

template <int Q, typename C>
__global__ void __launch_bounds__(THREADS, 2)
    attention_spans(struct matrix_view out, struct matrix_view queries, struct attention_shape s)
{
    BLOCK_MEMORY(m, Q);
    SHARED_ARRAY(float, state, 4 * Q); /* of all splits so far: top, sum; of the last merge: a, b */
    struct queries q = find_queries(s, (int)blockIdx.x, false, Q);
    int kv_head = (int)blockIdx.y, all = keys_seen(s, q, q.n - 1), t = (int)threadIdx.x;
    struct part part = find_part(s.head_dim, (int)blockIdx.z);
    float total[Q] = {};
    for (int from = 0; from < all; from += SPLIT) {
        float acc[Q] = {};
        walk_split<Q, C>(m, s, q, part, queries, kv_head, from, from + SPLIT < all ? from + SPLIT : all, acc);
        if (t < q.n && from < keys_seen(s, q, t))
            merge_split(state, t, Q, merged{m.top[t], m.sum[t]}, from == 0);
        __syncthreads();
        for (int j = 0; j < Q; j++) {
            int i = part.group + j * part.groups;
            if (i < q.n && from < keys_seen(s, q, i))
                total[j] = from == 0 ? acc[j] : total[j] * state[2 * Q + i] + acc[j] * state[3 * Q + i];
        }
    }
    for (int j = 0; j < Q; j++) {
        int i = part.group + j * part.groups;
        if (i < q.n && part.column < s.head_dim)
            out.data[query_place(s, q, i, kv_head, out.stride) + (size_t)part.column] =
                total[j] / state[Q + i];
    }
}

/* ---- launches ---- */

int attention_blocks(int rows, int group)
{
    return (rows * group + SPAN_QUERIES - 1) / SPAN_QUERIES;
}

int attention_splits(int keys)
{
    return (keys + SPLIT - 1) / SPLIT;
}

size_t attention_scratch(const struct attention_shape *s)
{
    if (s->single_splits <= 1)
        return 0;
    return (size_t)s->single_rows * (size_t)s->kv_heads * (size_t)s->group * (size_t)s->single_splits *
           (size_t)(s->head_dim + 2) * sizeof(float);
}

void launch_attention_merge(cudaStream_t stream, struct matrix_view out, struct attention_shape s)
{
    if (s.single_splits > 1)
        LAUNCH(attention_merge, dim3((unsigned)s.single_rows, (unsigned)(s.kv_heads * s.group)), THREADS,
               stream, out, s);
}

template <int Q, typename C>
static void start_single(cudaStream_t stream, struct matrix_view out, struct matrix_view q,
                         struct attention_shape s, int slabs)
{
    int blocks = s.single_rows * ((s.group + Q - 1) / Q);
    LAUNCH((attention_single<Q, C>),
           dim3((unsigned)blocks, (unsigned)s.kv_heads, (unsigned)(slabs * s.single_splits)), THREADS, stream,
           out, q, s);
}

template <typename C>
static void start_exact(cudaStream_t stream, struct matrix_view out, struct matrix_view q,
                        struct attention_shape s)
{
    int slabs = (s.head_dim + COLUMNS - 1) / COLUMNS;
    if (s.single_rows > 0) {
        if (s.group == 1)
            start_single<1, C>(stream, out, q, s, slabs);
        else if (s.group <= 4)
            start_single<4, C>(stream, out, q, s, slabs);
        else
            start_single<8, C>(stream, out, q, s, slabs);
        launch_attention_merge(stream, out, s);
    }
    if (s.query_blocks > 0)
        LAUNCH((attention_spans<SPAN_QUERIES, C>),
               dim3((unsigned)s.query_blocks, (unsigned)s.kv_heads, (unsigned)slabs), THREADS, stream, out, q,
               s);
}

void launch_attention(cudaStream_t stream, struct matrix_view out, struct matrix_view q,
                      struct attention_shape s)
{
    if (s.type == DTYPE_BF16)
        start_exact<cache_bf16>(stream, out, q, s);
    else if (s.type == DTYPE_I8)
        start_exact<cache_i8>(stream, out, q, s);
    else
        start_exact<cache_f32>(stream, out, q, s);
}
