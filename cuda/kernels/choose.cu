/* Choosing: noise, changes of logits, sampling, nearest codeword.
 *
 * Reference: base/random.h (the same source, compiled for the device), base/choice.h, engine/backend.h.
 * Cost: noise: Philox and Box-Muller in double, 60 double operations a value; sample: a block a row, 4 to 10
 * passes over its logits in cache and up to six exponentials in double a logit, so that many logits on a card of
 * few double units are felt; nearest: 3 R rows cols operations from cache.
 *
 * Sampling adds up weights as integers (exp(v - largest) times a power of two that leaves room for n of
 * them), so the order of additions does not matter, and every thread may add where it likes. Their
 * resolution, 2^-45 for a vocabulary of 2^17, is far below that of the uniform number, 2^-32: draws equal
 * those of choice_draw() but where its own double sums round. */
#define RANDOM_INLINE static __device__ __forceinline__

#include "cuda/kernels/launch.h"
#include "cuda/portable_cuda.h"

#include "base/random.h"

enum { THREADS = 256 };

/* ---- noise ---- */

__global__ void __launch_bounds__(THREADS)
    noise_kernel(struct matrix_view out, const struct noise_row *source)
{
    int i = (int)(blockIdx.y * THREADS + threadIdx.x);
    float four[4];
    if (4 * i >= out.cols)
        return;
    struct noise_row row = source[blockIdx.x];
    random_normal4(four, row.seed, (uint32_t)i, row.position, row.ordinal);
    float *to = out.data + (size_t)blockIdx.x * (size_t)out.stride + (size_t)i * 4;
    for (int k = 0; k < 4 && 4 * i + k < out.cols; k++)
        to[k] = four[k];
}

void launch_noise(cudaStream_t stream, struct matrix_view out, const struct noise_row *source)
{
    unsigned blocks = (unsigned)((out.cols + 4 * THREADS - 1) / (4 * THREADS));
    LAUNCH(noise_kernel, dim3((unsigned)out.rows, blocks), THREADS, stream, out, source);
}

/* ---- sampling ---- */

__global__ void __launch_bounds__(THREADS)
    edit_logits_kernel(struct matrix_view logits, const struct logit_edit *edits, int n)
{
    int i = (int)(blockIdx.x * THREADS + threadIdx.x);
    if (i >= n)
        return;
    struct logit_edit edit = edits[i];
    float *logit = logits.data + (size_t)edit.row * (size_t)logits.stride + edit.id, l = *logit;
    l = l > 0 ? l / edit.repetition : l * edit.repetition;
    *logit = l - edit.less + edit.more;
}

void launch_edit_logits(cudaStream_t stream, struct matrix_view logits, const struct logit_edit *edits, int n)
{
    LAUNCH(edit_logits_kernel, dim3((unsigned)((n + THREADS - 1) / THREADS)), THREADS, stream, logits, edits,
           n);
}

/* One row's draw, as its block sees it. Threads take ids in turn but for the last walk, where each takes
 * `span` neighbours. */
struct draw {
    const float *logits;
    int n;
    float temperature, largest;
    int bits; /* weights are counted in units of 2^-bits */
};

/* What the filters keep: values above `value`, and those equal to it but the first `skip`. */
struct cut {
    float value;
    int skip;
};

static __device__ __forceinline__ float scaled(const struct draw &d, int i)
{
    float v = d.logits[i] / d.temperature;
    return v == v ? v : -INFINITY;
}

static __device__ __forceinline__ double weight_of(const struct draw &d, float v)
{
    return exp((double)v - d.largest);
}

static __device__ __forceinline__ uint64_t counted(const struct draw &d, double weight)
{
    return (uint64_t)(weight * (double)((uint64_t)1 << d.bits) + 0.5);
}

/* Bits that order as the numbers do. */
static __device__ __forceinline__ uint32_t order_of(float v)
{
    uint32_t bits = __float_as_uint(v + 0.0f); /* -0 equals 0 */
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static __device__ __forceinline__ float value_of(uint32_t order)
{
    return __uint_as_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
}

struct best {
    float value;
    int id;
};

static __device__ __forceinline__ struct best better(struct best a, struct best b)
{
    return b.value > a.value || (b.value == a.value && b.id < a.id) ? b : a;
}

/* The largest logit, lowest id on ties, for all threads; id 0 when there is none above -inf. */
static __device__ struct best find_largest(const float *logits, int n, struct best *shared)
{
    struct best b = {-INFINITY, 0x7fffffff};
    for (int i = (int)threadIdx.x; i < n; i += THREADS) {
        if (logits[i] > b.value)
            b = best{logits[i], i};
    }
    for (int by = 16; by > 0; by /= 2) {
        struct best other;
        other.value = __shfl_xor_sync(0xffffffffu, b.value, by);
        other.id = __shfl_xor_sync(0xffffffffu, b.id, by);
        b = better(b, other);
    }
    if (threadIdx.x % 32 == 0)
        shared[threadIdx.x / 32] = b;
    __syncthreads();
    for (int w = 0; w < THREADS / 32; w++)
        b = better(b, shared[w]);
    if (b.id == 0x7fffffff)
        b.id = 0;
    __syncthreads();
    return b;
}

/* Among the values whose order begins with the digits found so far: how many, or how heavy, by the next
 * digit. */
static __device__ void fill_histogram(unsigned long long *bins, const struct draw &d, uint32_t prefix,
                                      int shift, float least, bool weigh)
{
    for (int i = (int)threadIdx.x; i < 256; i += THREADS)
        bins[i] = 0;
    __syncthreads();
    for (int i = (int)threadIdx.x; i < d.n; i += THREADS) {
        float v = scaled(d, i);
        uint32_t order = order_of(v);
        if (v < least || (shift < 24 && order >> (shift + 8) != prefix >> (shift + 8)))
            continue;
        atomicAdd(&bins[order >> shift & 255],
                  weigh ? (unsigned long long)counted(d, weight_of(d, v)) : 1ull);
    }
    __syncthreads();
}

/* The k-th largest value; all threads get it. */
static __device__ float select_largest(unsigned long long *bins, const struct draw &d, unsigned long long k)
{
    uint32_t prefix = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        fill_histogram(bins, d, prefix, shift, -INFINITY, false);
        int at = 255;
        while (at > 0 && bins[at] < k)
            k -= bins[at--];
        prefix |= (uint32_t)at << shift;
        __syncthreads(); /* before the bins are filled again */
    }
    return value_of(prefix);
}

/* Where the ascending sum of weights of the values from `least` on first passes `limit` (in counted units).
 */
static __device__ struct cut cut_mass(unsigned long long *bins, const struct draw &d, float least,
                                      double share)
{
    uint32_t prefix = 0;
    unsigned long long dropped = 0;
    double limit = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        fill_histogram(bins, d, prefix, shift, least, true);
        if (shift == 24) {
            unsigned long long total = 0;
            for (int i = 0; i < 256; i++)
                total += bins[i];
            limit = share * (double)total;
        }
        int at = 0,
            last = 0; /* the first digit that passes the limit, else the last one that holds anything */
        for (int i = 0; i < 256; i++)
            last = bins[i] ? i : last;
        while (at < last && !((double)(dropped + bins[at]) > limit))
            dropped += bins[at++];
        prefix |= (uint32_t)at << shift;
        __syncthreads();
    }
    float value = value_of(prefix);
    unsigned long long each = counted(d, weight_of(d, value)), count = 0;
    fill_histogram(bins, d, prefix, 0, least, false); /* how many equal it */
    count = bins[prefix & 255];
    __syncthreads();
    int skip = 0;
    if (each > 0 && limit > (double)dropped)
        skip = (int)((limit - (double)dropped) / (double)each);
    while (skip > 0 && (double)(dropped + (unsigned long long)skip * each) > limit)
        skip--;
    while ((unsigned long long)skip + 1 < count &&
           !((double)(dropped + (unsigned long long)(skip + 1) * each) > limit))
        skip++;
    if ((unsigned long long)skip >= count)
        skip = (int)count - 1;
    return cut{value, skip};
}

/* The counted weight of a value after the filters; *seen counts the values equal to the cut. */
static __device__ __forceinline__ uint64_t kept_weight(const struct draw &d, float v, const struct cut &cut,
                                                       double least, int *seen)
{
    if (v < cut.value || (v == cut.value && (*seen)++ < cut.skip))
        return 0;
    double weight = weight_of(d, v);
    return weight < least ? 0 : counted(d, weight);
}

/* The sum of the values of the threads before this one; *all: of all. */
static __device__ unsigned long long sum_before(unsigned long long value, unsigned long long *sums,
                                                unsigned long long *all)
{
    __syncthreads();
    sums[threadIdx.x] = value;
    __syncthreads();
    unsigned long long before = 0, total = 0;
    for (int i = 0; i < THREADS; i++) {
        before += i < (int)threadIdx.x ? sums[i] : 0;
        total += sums[i];
    }
    *all = total;
    return before;
}

/* The first id whose sum of kept weights, ids ascending, passes u times the total. */
static __device__ void draw_id(int *chosen, unsigned long long *sums, const struct draw &d,
                               const struct cut &cut, double min_p, double u)
{
    int span = (d.n + THREADS - 1) / THREADS, first = (int)threadIdx.x * span;
    int last = first + span < d.n ? first + span : d.n, equal = 0;
    unsigned long long ignored, total, own = 0;
    for (int i = first; i < last; i++)
        equal += scaled(d, i) == cut.value;
    int seen_before = (int)sum_before((unsigned long long)equal, sums, &ignored), seen = seen_before;
    for (int i = first; i < last; i++)
        own += kept_weight(d, scaled(d, i), cut, min_p, &seen);
    unsigned long long sum = sum_before(own, sums, &total);
    double target = u * (double)total;
    if ((double)sum > target || !((double)(sum + own) > target))
        return; /* another thread's */
    seen = seen_before;
    for (int i = first; i < last; i++) {
        sum += kept_weight(d, scaled(d, i), cut, min_p, &seen);
        if ((double)sum > target) {
            *chosen = i;
            return;
        }
    }
}

__global__ void __launch_bounds__(THREADS, 3)
    sample_kernel(int32_t *out, struct matrix_view logits, const struct choice_row *source, int bits)
{
    SHARED_ARRAY(unsigned long long, bins, THREADS);
    SHARED_ARRAY(struct best, bests, THREADS / 32);
    SHARED_ARRAY(int, chosen, 1);
    struct choice_row how = source[blockIdx.x];
    const struct choice_filter &f = how.filter;
    struct draw d = {logits.data + (size_t)blockIdx.x * (size_t)logits.stride, logits.cols, f.temperature, 0,
                     bits};
    struct best best = find_largest(d.logits, d.n, bests);
    bool draws = f.temperature > 0;
    if (draws) {
        d.largest = scaled(d, best.id);
        draws = !isinf(d.largest);
    }
    if (!draws) { /* the same for the whole block */
        if (threadIdx.x == 0)
            out[blockIdx.x] = best.id;
        return;
    }
    struct cut cut = {-INFINITY, 0};
    bool by_rank = f.top_k > 0 && f.top_k < d.n;
    if (by_rank)
        cut.value = select_largest(bins, d, (unsigned long long)f.top_k);
    if (f.top_p > 0 && f.top_p < 1)
        cut = cut_mass(bins, d, cut.value, 1.0 - (double)f.top_p);
    if (threadIdx.x == 0)
        chosen[0] = best.id; /* u within rounding of 1 */
    draw_id(chosen, bins, d, cut, f.min_p, how.u);
    __syncthreads();
    if (threadIdx.x == 0)
        out[blockIdx.x] = chosen[0];
}

void launch_sample(cudaStream_t stream, int32_t *out, struct matrix_view logits,
                   const struct choice_row *source)
{
    int bits = 62;
    while (bits > 20 && (logits.cols - 1) >> (62 - bits))
        bits--;
    LAUNCH(sample_kernel, dim3((unsigned)logits.rows), THREADS, stream, out, logits, source, bits);
}

/* ---- nearest codeword ---- */

static __device__ __forceinline__ float table_value(const struct weight_view &t, size_t at)
{
    if (t.type == DTYPE_F32)
        return ((const float *)t.data)[at];
    uint16_t bits = ((const uint16_t *)t.data)[at];
    return t.type == DTYPE_BF16 ? bf16_to_float(bits) : f16_to_float(bits);
}

/* A block a row; a thread takes every THREADS-th codeword, its distance summed in the order of the columns.
 */
__global__ void __launch_bounds__(THREADS)
    nearest_kernel(int32_t *out, struct matrix_view x, struct weight_view table)
{
    SHARED_ARRAY(struct best, bests, THREADS / 32);
    const float *row = x.data + (size_t)blockIdx.x * (size_t)x.stride;
    struct best b = {-INFINITY, 0x7fffffff}; /* the negated distance */
    for (int i = (int)threadIdx.x; i < table.rows; i += THREADS) {
        float sum = 0;
        for (int k = 0; k < x.cols; k++) {
            float difference = row[k] - table_value(table, (size_t)i * (size_t)x.cols + (size_t)k);
            sum = fmaf(difference, difference, sum);
        }
        b = better(b, best{-sum, i});
    }
    for (int by = 16; by > 0; by /= 2) {
        struct best other;
        other.value = __shfl_xor_sync(0xffffffffu, b.value, by);
        other.id = __shfl_xor_sync(0xffffffffu, b.id, by);
        b = better(b, other);
    }
    if (threadIdx.x % 32 == 0)
        bests[threadIdx.x / 32] = b;
    __syncthreads();
    for (int w = 0; w < THREADS / 32; w++)
        b = better(b, bests[w]);
    if (threadIdx.x == 0)
        out[blockIdx.x] = b.id == 0x7fffffff ? 0 : b.id;
}

void launch_nearest(cudaStream_t stream, int32_t *out, struct matrix_view x, struct weight_view table)
{
    LAUNCH(nearest_kernel, dim3((unsigned)x.rows), THREADS, stream, out, x, table);
}
