/* What both kinds of attention share: which queries a block has, what they see, and how parts of a context
 * are merged. */
#ifndef VARGPT_CUDA_KERNELS_ATTENTION_PARTS_CUH
#define VARGPT_CUDA_KERNELS_ATTENTION_PARTS_CUH

#include "cuda/kernels/cache_types.cuh"
#include "cuda/kernels/launch.h"

enum { SPLIT = 256 }; /* keys; a context's parts are merged in order */

/* ---- which queries a block has ---- */

struct queries {
    struct span span;
    int first, n; /* of the span's n_rows * group, rows first */
    int single;   /* which one of the spans of one row */
};

static __device__ __forceinline__ int blocks_of(int rows, int group, int each)
{
    return (rows * group + each - 1) / each;
}

/* The block's queries: of the spans of one row (single) or of the others. */
static __device__ __forceinline__ struct queries find_queries(const struct attention_shape &s, int block,
                                                              bool single, int each)
{
    struct queries q;
    q.single = 0;
    for (int i = 0; i < s.n_spans; i++) {
        q.span = s.span[i];
        if ((q.span.n_rows == 1) != single)
            continue;
        int blocks = blocks_of(q.span.n_rows, s.group, each);
        if (block < blocks)
            break;
        block -= blocks;
        q.single++;
    }
    q.first = block * each;
    int left = q.span.n_rows * s.group - q.first;
    q.n = left < each ? left : each;
    return q;
}

static __device__ __forceinline__ int keys_seen(const struct attention_shape &s, const struct queries &q,
                                                int query)
{
    return q.span.first_position + (s.full ? q.span.n_rows : (q.first + query) / s.group + 1);
}

/* Where the query's head lies in a matrix of rows. */
static __device__ __forceinline__ size_t query_place(const struct attention_shape &s, const struct queries &q,
                                                     int query, int kv_head, int stride)
{
    int m = q.first + query, head = kv_head * s.group + m % s.group;
    return (size_t)(q.span.first_row + m / s.group) * (size_t)stride + (size_t)head * (size_t)s.head_dim;
}

/* ---- where keys and values are ---- */

/* One head of a layer's keys or values, kept as C. */
template <typename C> struct head_memory {
    const typename C::type *data; /* the head's columns in slot 0 */
    const float *scale;           /* and their scale, if C has one */
    size_t width, heads;          /* from slot to slot of either */

    __device__ __forceinline__ const typename C::type *row(size_t slot) const
    {
        return data + slot * width;
    }
    __device__ __forceinline__ float scale_of(size_t slot) const
    {
        return C::SCALED ? scale[slot * heads] : 1;
    }
    __device__ __forceinline__ float value(int slot, int column) const
    {
        float v = C::value(row((size_t)slot)[column]);
        return C::SCALED ? v * scale_of((size_t)slot) : v;
    }
};

template <typename C>
static __device__ __forceinline__ head_memory<C> head_of(const struct attention_shape &s, const void *data,
                                                         const float *scale, int kv_head, int head_dim)
{
    size_t heads = (size_t)s.kv_heads, dim = (size_t)head_dim;
    return {(const typename C::type *)data + (size_t)kv_head * dim, C::SCALED ? scale + kv_head : nullptr,
            heads * dim, heads};
}

/* ---- what a query has gathered so far: its largest score, the sum of its weights, its columns of the result
 * ---- */

struct merged {
    float top, sum;
};

/* a, b: what both parts are to be multiplied with */
static __device__ __forceinline__ struct merged merge(struct merged x, struct merged y, float *a, float *b)
{
    struct merged m;
    m.top = fmaxf(x.top, y.top);
    *a = expf(x.top - m.top);
    *b = expf(y.top - m.top);
    m.sum = x.sum * *a + y.sum * *b;
    return m;
}

/* A split of a span of one row: top, sum, then the columns. */
static __device__ __forceinline__ float *partial_place(const struct attention_shape &s, int single, int head,
                                                       int split)
{
    size_t heads = (size_t)s.kv_heads * (size_t)s.group;
    return s.partial + (((size_t)single * heads + (size_t)head) * (size_t)s.single_splits + (size_t)split) *
                           (size_t)(s.head_dim + 2);
}

#endif
