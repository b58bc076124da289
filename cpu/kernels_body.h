/* The kernels, once, over vectors of LANES floats. Included by one file an instruction set, which defines
 * LANES, TILE (the weight rows a product takes beside four rows of x; accumulators for 4 x TILE fit the
 * registers), STEPS (of its inner loop at a time), LEVEL, GET_KERNELS, INLINE, the vector types vf and vu,
 * and the vf_ primitives used here. */

#include <math.h>

enum { ROW_BLOCK = 4, FEW_ROWS = 16, TILE_SUMS = (TILE + 3) / 4 * 16 };

#define PRAGMA(text) _Pragma(#text)
#ifdef __clang__
#define UNROLL(n) PRAGMA(unroll n)
#else
#define UNROLL(n) PRAGMA(GCC unroll n)
#endif

INLINE vf vf_all(float x)
{
    return x - (vf){0};
}

/* LANES values (part: the first n, the rest 0) of a weight row as floats, from element i on */
INLINE vf load_weight(const void *row, int i, enum dtype type)
{
    if (type == DTYPE_F32)
        return vf_load((const float *)row + i);
    if (type == DTYPE_F16)
        return vf_load_f16((const uint16_t *)row + i);
    return vf_load_bf16((const uint16_t *)row + i);
}

INLINE vf load_weight_part(const void *row, int i, int n, enum dtype type)
{
    if (type == DTYPE_F32)
        return vf_load_part((const float *)row + i, n);
    if (type == DTYPE_F16)
        return vf_load_f16_part((const uint16_t *)row + i, n);
    return vf_load_bf16_part((const uint16_t *)row + i, n);
}

/* --- products --- */

/* The sums of rows x tile products of k columns: each has one vector accumulator that takes the columns in
 * order, LANES at a time, and is then folded as vf_sum does; so a product is the same bytes in whichever tile
 * it falls. sum[(o / 4) * 16 + r * 4 + o % 4] = x[r] . w[o] */
INLINE void tile_product(float *sum, const float *const *x, int rows, const void *const *w, int tile, int k,
                         enum dtype type)
{
    vf acc[ROW_BLOCK][TILE];
    UNROLL(4)
    for (int r = 0; r < rows; r++) {
        UNROLL(8)
        for (int o = 0; o < tile; o++)
            acc[r][o] = (vf){0};
    }
    int i = 0;
    UNROLL(STEPS)
    for (; i + LANES <= k; i += LANES) {
        vf xv[ROW_BLOCK];
        UNROLL(4)
        for (int r = 0; r < rows; r++)
            xv[r] = vf_load(x[r] + i);
        UNROLL(8)
        for (int o = 0; o < tile; o++) {
            vf wv = load_weight(w[o], i, type);
            UNROLL(4)
            for (int r = 0; r < rows; r++)
                acc[r][o] = vf_fma(xv[r], wv, acc[r][o]);
        }
    }
    if (i < k) {
        vf xv[ROW_BLOCK];
        UNROLL(4)
        for (int r = 0; r < rows; r++)
            xv[r] = vf_load_part(x[r] + i, k - i);
        UNROLL(8)
        for (int o = 0; o < tile; o++) {
            vf wv = load_weight_part(w[o], i, k - i, type);
            UNROLL(4)
            for (int r = 0; r < rows; r++)
                acc[r][o] = vf_fma(xv[r], wv, acc[r][o]);
        }
    }
    if (rows == ROW_BLOCK && tile == TILE) {
        sum_tile(sum, acc);
        return;
    }
    UNROLL(4)
    for (int r = 0; r < rows; r++) {
        UNROLL(8)
        for (int o = 0; o < tile; o++)
            sum[o / 4 * 16 + r * 4 + o % 4] = vf_sum(acc[r][o]);
    }
}

INLINE void tile_rows(float *sum, const float *const *x, int rows, const void *const *w, int k,
                      enum dtype type)
{
    switch (rows) {
    case 1: tile_product(sum, x, 1, w, TILE, k, type); break;
    case 2: tile_product(sum, x, 2, w, TILE, k, type); break;
    case 3: tile_product(sum, x, 3, w, TILE, k, type); break;
    default: tile_product(sum, x, 4, w, TILE, k, type); break;
    }
}

static void tile_f32(float *sum, const float *const *x, int rows, const void *const *w, int k)
{
    tile_rows(sum, x, rows, w, k, DTYPE_F32);
}

static void tile_any(float *sum, const float *const *x, int rows, const void *const *w, int k,
                     enum dtype type)
{
    switch (type) {
    case DTYPE_F16: tile_rows(sum, x, rows, w, k, DTYPE_F16); break;
    case DTYPE_BF16: tile_rows(sum, x, rows, w, k, DTYPE_BF16); break;
    default: tile_f32(sum, x, rows, w, k); break;
    }
}

INLINE void to_f32_as(float *out, const void *in, enum dtype type, int n)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(out + i, load_weight(in, i, type));
    if (i < n)
        vf_store_part(out + i, load_weight_part(in, i, n - i, type), n - i);
}

static void to_f32(float *out, const void *in, enum dtype type, int n)
{
    switch (type) {
    case DTYPE_F16: to_f32_as(out, in, DTYPE_F16, n); break;
    case DTYPE_BF16: to_f32_as(out, in, DTYPE_BF16, n); break;
    default: to_f32_as(out, in, DTYPE_F32, n); break;
    }
}

/* Adds a tile's sums to, or puts them in, `rows` rows of out; `tile` of its columns exist. */
INLINE void put_tile(float *out, size_t stride, const float *sum, int rows, int tile, bool add)
{
    for (int r = 0; r < rows; r++) {
        float *to = out + (size_t)r * stride;
        const float *from = sum + r * 4;
        if (add) {
            for (int o = 0; o < tile; o++)
                to[o] += from[o / 4 * 16 + o % 4];
        } else {
            for (int o = 0; o < tile; o++)
                to[o] = from[o / 4 * 16 + o % 4];
        }
    }
}

static const void *weight_at(const struct matmul *m, int output, int column)
{
    return (const char *)m->w + (size_t)output * m->w_pitch + dtype_bytes(m->type, (size_t)column);
}

/* The tile of outputs from o on, for rows r .. r+rows-1, over k columns from k0 on, from weights (or their
 * copies) w. */
INLINE void do_tile(const struct matmul *m, const void *const *w, enum dtype type, int o, int r, int k0,
                    int k)
{
    int tile = m->outputs - o < TILE ? m->outputs - o : TILE;
    int rows = m->rows - r < ROW_BLOCK ? m->rows - r : ROW_BLOCK;
    bool add = m->add || k0 > 0;
    float *out = m->out + (size_t)r * m->out_stride + o;
    const float *x[ROW_BLOCK];
    float sum[TILE_SUMS];
    for (int i = 0; i < rows; i++)
        x[i] = m->x + (size_t)(r + i) * m->x_stride + k0;
    tile_any(sum, x, rows, w, k, type);
    if (tile == TILE && rows == ROW_BLOCK)
        put_tile(out, m->out_stride, sum, ROW_BLOCK, TILE, add);
    else
        put_tile(out, m->out_stride, sum, rows, tile, add);
}

/* A few rows: weights are converted on their way into the registers. A tile's rows are read to their end
 * before the next tile begins, which is the order memory likes. */
static void matmul_few(const struct matmul *m)
{
    for (int o = 0; o < m->outputs; o += TILE) {
        int tile = m->outputs - o < TILE ? m->outputs - o : TILE;
        for (int k0 = 0; k0 < m->inner; k0 += MATMUL_BLOCK) {
            int k = m->inner - k0 < MATMUL_BLOCK ? m->inner - k0 : MATMUL_BLOCK;
            const void *w[TILE];
            for (int t = 0; t < TILE; t++)
                w[t] = weight_at(m, o + (t < tile ? t : 0), k0);
            for (int r = 0; r < m->rows; r += ROW_BLOCK)
                do_tile(m, w, m->type, o, r, k0, k);
        }
    }
}

/* Where the next lines to ask for lie: a tile's block of weights, row after row. Hints only, so going beyond
 * the end does no harm. */
struct ahead {
    const char *row;
    size_t pitch;
    int line, lines; /* of a row's block */
};

INLINE void ask_ahead(struct ahead *a, int n)
{
    for (int i = 0; i < n; i++) {
        __builtin_prefetch(a->row + (size_t)a->line * 64, 0, 2);
        if (++a->line == a->lines) {
            a->line = 0;
            a->row += a->pitch;
        }
    }
}

/* Many rows, one block of a tile's weights: it becomes float32 once, in first-level cache, and meets all
 * rows; meanwhile the block that comes after it, at output next_o and column next_k, is on its way to
 * second-level cache. */
static void do_block(const struct matmul *m, int o, int k0, int next_o, int next_k)
{
    enum { PITCH = MATMUL_BLOCK + 16 }; /* rows a power of two apart would fall into the same cache sets */
    int tile = m->outputs - o < TILE ? m->outputs - o : TILE;
    int k = m->inner - k0 < MATMUL_BLOCK ? m->inner - k0 : MATMUL_BLOCK;
    int row_blocks = (m->rows + ROW_BLOCK - 1) / ROW_BLOCK;
    struct ahead next = {weight_at(m, next_o, next_k), m->w_pitch, 0,
                         (int)(dtype_bytes(m->type, (size_t)k) + 63) / 64};
    int ask = (TILE * next.lines + row_blocks - 1) / row_blocks;
    const void *w[TILE];
    for (int t = 0; t < TILE; t++) {
        float *copy = (float *)m->scratch + (t < tile ? t : 0) * PITCH;
        w[t] = copy;
        if (t < tile)
            to_f32(copy, weight_at(m, o + t, k0), m->type, k);
    }
    for (int r = 0; r < m->rows; r += ROW_BLOCK) {
        ask_ahead(&next, ask);
        do_tile(m, w, DTYPE_F32, o, r, k0, k);
    }
}

/* One block of x after the other meets all tiles, so that it stays in second-level cache. */
static void matmul_many(const struct matmul *m)
{
    for (int k0 = 0; k0 < m->inner; k0 += MATMUL_BLOCK) {
        for (int o = 0; o < m->outputs; o += TILE) {
            bool last = o + TILE >= m->outputs;
            do_block(m, o, k0, last ? 0 : o + TILE, last ? k0 + MATMUL_BLOCK : k0);
        }
    }
}

static void matmul(const struct matmul *m)
{
    if (m->rows <= FEW_ROWS)
        matmul_few(m);
    else
        matmul_many(m);
}

/* --- functions of one number --- */

/* e^x within 2 ulp: x = n ln 2 + r, a polynomial in r, and 2^n in two factors so that subnormal results come
 * out right. */
INLINE vf vf_exp(vf x)
{
    const float log2e = 1.44269504088896341f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer, left in the low bits */
    x = vf_max(vf_all(-104.0f), vf_min(vf_all(89.0f), x));
    vf shifted = vf_fma(x, vf_all(log2e), vf_all(magic));
    vf n = shifted - magic;
    vf r = vf_fma(n, vf_all(-ln2_high), x);
    r = vf_fma(n, vf_all(-ln2_low), r);
    vf p = vf_all(1.9875691500e-4f);
    p = vf_fma(p, r, vf_all(1.3981999507e-3f));
    p = vf_fma(p, r, vf_all(8.3334519073e-3f));
    p = vf_fma(p, r, vf_all(4.1665795894e-2f));
    p = vf_fma(p, r, vf_all(1.6666665459e-1f));
    p = vf_fma(p, r, vf_all(5.0000001201e-1f));
    p = vf_fma(p, r * r, r) + 1.0f;
    vu whole = (vu)shifted - 0x4b400000u + 1024;
    vu half = whole >> 1, rest = whole - half;
    return p * (vf)((half - 512 + 127) << 23) * (vf)((rest - 512 + 127) << 23);
}

INLINE vf vf_sigmoid(vf x)
{
    return 1.0f / (1.0f + vf_exp(-x));
}

INLINE vf vf_gelu(vf x)
{
    for (int i = 0; i < LANES; i++)
        x[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678118654752f));
    return x;
}

INLINE vf vf_act(vf x, enum activation activation)
{
    switch (activation) {
    case ACT_NONE: break;
    case ACT_GELU: return vf_gelu(x);
    case ACT_GELU_TANH: {
        /* (1 + tanh u) / 2 is the sigmoid of 2u */
        vf u = x * vf_fma(x * x, vf_all(0.044715f), vf_all(1.0f));
        return x * vf_sigmoid(u * 1.59576912160573071f);
    }
    case ACT_QUICK_GELU: return x * vf_sigmoid(x * 1.702f);
    case ACT_SILU: return x * vf_sigmoid(x);
    }
    return x;
}

INLINE void bias_act_as(float *x, int n, const float *bias, enum activation activation)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf v = vf_load(x + i);
        vf_store(x + i, vf_act(bias ? v + vf_load(bias + i) : v, activation));
    }
    if (i < n) {
        vf v = vf_load_part(x + i, n - i);
        vf_store_part(x + i, vf_act(bias ? v + vf_load_part(bias + i, n - i) : v, activation), n - i);
    }
}

static void bias_act(float *x, int n, const float *bias, enum activation activation)
{
    switch (activation) {
    case ACT_NONE: bias_act_as(x, n, bias, ACT_NONE); break;
    case ACT_GELU: bias_act_as(x, n, bias, ACT_GELU); break;
    case ACT_GELU_TANH: bias_act_as(x, n, bias, ACT_GELU_TANH); break;
    case ACT_QUICK_GELU: bias_act_as(x, n, bias, ACT_QUICK_GELU); break;
    case ACT_SILU: bias_act_as(x, n, bias, ACT_SILU); break;
    }
}

INLINE void scale_bias_act_as(float *out, const float *x, int n, const float *scale, const float *bias,
                              enum activation activation)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(out + i, vf_act(vf_fma(vf_load(x + i), vf_load(scale + i), vf_load(bias + i)), activation));
    if (i < n) {
        vf v =
            vf_fma(vf_load_part(x + i, n - i), vf_load_part(scale + i, n - i), vf_load_part(bias + i, n - i));
        vf_store_part(out + i, vf_act(v, activation), n - i);
    }
}

static void scale_bias_act(float *out, const float *x, int n, const float *scale, const float *bias,
                           enum activation activation)
{
    switch (activation) {
    case ACT_NONE: scale_bias_act_as(out, x, n, scale, bias, ACT_NONE); break;
    case ACT_GELU: scale_bias_act_as(out, x, n, scale, bias, ACT_GELU); break;
    case ACT_GELU_TANH: scale_bias_act_as(out, x, n, scale, bias, ACT_GELU_TANH); break;
    case ACT_QUICK_GELU: scale_bias_act_as(out, x, n, scale, bias, ACT_QUICK_GELU); break;
    case ACT_SILU: scale_bias_act_as(out, x, n, scale, bias, ACT_SILU); break;
    }
}

static void silu_mul(float *out, const float *gate, const float *up, int n)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(out + i, vf_act(vf_load(gate + i), ACT_SILU) * vf_load(up + i));
    if (i < n) {
        vf v = vf_act(vf_load_part(gate + i, n - i), ACT_SILU) * vf_load_part(up + i, n - i);
        vf_store_part(out + i, v, n - i);
    }
}

/* --- rows
 * ---------------------------------------------------------------------------------------------------------
 */

/* Sum of (x - mean)^2 (or of x: see below) in double, in an order that n alone fixes. */
enum { SUM_LANES = 16 };

INLINE double fold_sums(double *s)
{
    for (int width = SUM_LANES / 2; width > 0; width /= 2) {
        for (int j = 0; j < width; j++)
            s[j] += s[j + width];
    }
    return s[0];
}

static double sum_of(const float *x, int n)
{
    double s[SUM_LANES] = {0};
    int i = 0;
    for (; i + SUM_LANES <= n; i += SUM_LANES) {
        for (int j = 0; j < SUM_LANES; j++)
            s[j] += x[i + j];
    }
    for (int j = 0; i < n; i++, j++)
        s[j] += x[i];
    return fold_sums(s);
}

static double sum_of_squares(const float *x, int n, double mean)
{
    double s[SUM_LANES] = {0};
    int i = 0;
    for (; i + SUM_LANES <= n; i += SUM_LANES) {
        for (int j = 0; j < SUM_LANES; j++)
            s[j] += (x[i + j] - mean) * (x[i + j] - mean);
    }
    for (int j = 0; i < n; i++, j++)
        s[j] += (x[i] - mean) * (x[i] - mean);
    return fold_sums(s);
}

static void rms_norm(float *out, const float *x, int n, const float *weight, float eps)
{
    float scale = (float)(1 / sqrt(sum_of_squares(x, n, 0) / n + eps));
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(out + i, vf_load(x + i) * scale * vf_load(weight + i));
    if (i < n)
        vf_store_part(out + i, vf_load_part(x + i, n - i) * scale * vf_load_part(weight + i, n - i), n - i);
}

static void layer_norm(float *out, const float *x, int n, const float *weight, const float *bias, float eps)
{
    double mean = sum_of(x, n) / n;
    float scale = (float)(1 / sqrt(sum_of_squares(x, n, mean) / n + eps)), centre = (float)mean;
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf v = (vf_load(x + i) - centre) * scale;
        vf_store(out + i, vf_fma(v, vf_load(weight + i), vf_load(bias + i)));
    }
    if (i < n) {
        vf v = (vf_load_part(x + i, n - i) - centre) * scale;
        vf_store_part(out + i, vf_fma(v, vf_load_part(weight + i, n - i), vf_load_part(bias + i, n - i)),
                      n - i);
    }
}

static void multiply(float *x, float by, int n)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(x + i, vf_load(x + i) * by);
    if (i < n)
        vf_store_part(x + i, vf_load_part(x + i, n - i) * by, n - i);
}

static void head_norm(float *x, int n, float scale)
{
    double length = sqrt(sum_of_squares(x, n, 0));
    multiply(x, (float)(scale / (length > 1e-12 ? length : 1e-12)), n);
}

INLINE void rotate(vf *a, vf *b, vf c, vf s)
{
    vf first = *a * c - *b * s;
    *b = *b * c + *a * s;
    *a = first;
}

static void rope(float *x, int half, const float *c, const float *s)
{
    float *y = x + half;
    int i = 0;
    for (; i + LANES <= half; i += LANES) {
        vf a = vf_load(x + i), b = vf_load(y + i);
        rotate(&a, &b, vf_load(c + i), vf_load(s + i));
        vf_store(x + i, a);
        vf_store(y + i, b);
    }
    if (i < half) {
        int n = half - i;
        vf a = vf_load_part(x + i, n), b = vf_load_part(y + i, n);
        rotate(&a, &b, vf_load_part(c + i, n), vf_load_part(s + i, n));
        vf_store_part(x + i, a, n);
        vf_store_part(y + i, b, n);
    }
}

static void add(float *x, const float *y, const float *scale, int n)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf v = vf_load(y + i);
        vf_store(x + i, vf_load(x + i) + (scale ? v * vf_load(scale + i) : v));
    }
    if (i < n) {
        vf v = vf_load_part(y + i, n - i);
        vf_store_part(x + i, vf_load_part(x + i, n - i) + (scale ? v * vf_load_part(scale + i, n - i) : v),
                      n - i);
    }
}

static void guide(float *out, const float *cond, const float *uncond, float t, int n)
{
    float more = 1 + t;
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(out + i, vf_load(cond + i) * more - vf_load(uncond + i) * t);
    if (i < n)
        vf_store_part(out + i, vf_load_part(cond + i, n - i) * more - vf_load_part(uncond + i, n - i) * t,
                      n - i);
}

static int nearest(const float *x, const float *table, int rows, int n)
{
    int best = 0;
    float best_distance = INFINITY;
    for (int row = 0; row < rows; row++) {
        const float *e = table + (size_t)row * (size_t)n;
        vf sum = {0};
        int i = 0;
        for (; i + LANES <= n; i += LANES) {
            vf d = vf_load(x + i) - vf_load(e + i);
            sum = vf_fma(d, d, sum);
        }
        if (i < n) {
            vf d = vf_load_part(x + i, n - i) - vf_load_part(e + i, n - i);
            sum = vf_fma(d, d, sum);
        }
        float distance = vf_sum(sum);
        if (distance < best_distance) {
            best_distance = distance;
            best = row;
        }
    }
    return best;
}

/* --- attention --- */

static void scores(float *score, size_t score_stride, const float *const *q, int rows,
                   const float *const *key, int keys, int n, float scale)
{
    for (int j = 0; j < keys; j += TILE) {
        int tile = keys - j < TILE ? keys - j : TILE;
        const void *k[TILE];
        for (int t = 0; t < TILE; t++)
            k[t] = key[j + (t < tile ? t : 0)];
        float sum[TILE_SUMS];
        tile_f32(sum, q, rows, k, n);
        for (int r = 0; r < rows; r++) {
            for (int t = 0; t < tile; t++)
                score[(size_t)r * score_stride + (size_t)(j + t)] = sum[t / 4 * 16 + r * 4 + t % 4] * scale;
        }
    }
}

static float softmax(float *x, int n)
{
    vf top = vf_all(-INFINITY);
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        top = vf_max(vf_load(x + i), top);
    float largest = vf_largest(top);
    for (; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    vf sum = {0};
    for (i = 0; i + LANES <= n; i += LANES) {
        vf e = vf_exp(vf_load(x + i) - largest);
        vf_store(x + i, e);
        sum += e;
    }
    if (i < n) {
        vf_store_part(x + i, vf_exp(vf_load_part(x + i, n - i) - largest), n - i);
        sum += vf_load_part(x + i, n - i);
    }
    return vf_sum(sum);
}

INLINE void weigh_columns(float *const *out, const float *p, size_t p_stride, int rows,
                          const float *const *value, int keys, int d, int vectors, int part, bool add_to)
{
    vf acc[ROW_BLOCK][4];
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < vectors; v++) {
            float *o = out[r] + d + v * LANES;
            acc[r][v] = !add_to ? (vf){0} : part ? vf_load_part(o, part) : vf_load(o);
        }
    }
    for (int j = 0; j < keys; j++) {
        vf x[4];
        for (int v = 0; v < vectors; v++) {
            const float *from = value[j] + d + v * LANES;
            x[v] = part ? vf_load_part(from, part) : vf_load(from);
        }
        for (int r = 0; r < rows; r++) {
            vf weight = vf_all(p[(size_t)r * p_stride + (size_t)j]);
            for (int v = 0; v < vectors; v++)
                acc[r][v] = vf_fma(weight, x[v], acc[r][v]);
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < vectors; v++) {
            float *o = out[r] + d + v * LANES;
            if (part)
                vf_store_part(o, acc[r][v], part);
            else
                vf_store(o, acc[r][v]);
        }
    }
}

static void weigh(float *const *out, const float *p, size_t p_stride, int rows, const float *const *value,
                  int keys, int n, bool add_to)
{
    int d = 0;
    for (; d + 4 * LANES <= n; d += 4 * LANES)
        weigh_columns(out, p, p_stride, rows, value, keys, d, 4, 0, add_to);
    for (; d + LANES <= n; d += LANES)
        weigh_columns(out, p, p_stride, rows, value, keys, d, 1, 0, add_to);
    if (d < n)
        weigh_columns(out, p, p_stride, rows, value, keys, d, 1, n - d, add_to);
}

/* --- the machine --- */

static double burn(long rounds)
{
    enum { CHAINS = 12 }; /* enough for two units of up to six cycles each; fits 16 registers */
    vf acc[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        acc[i] = vf_all((float)i);
    vf a = vf_all(0.999f), b = vf_all(0.001f);
    for (long n = 0; n < rounds; n++) {
        UNROLL(16)
        for (int i = 0; i < CHAINS; i++)
            acc[i] = vf_fma(acc[i], a, b);
    }
    vf sum = {0};
    for (int i = 0; i < CHAINS; i++)
        sum += acc[i];
    volatile float keep = vf_sum(sum);
    (void)keep;
    return 2.0 * LANES * CHAINS * (double)rounds;
}

static float read_sum(const float *x, size_t n)
{
    vf s[8] = {{0}};
    for (size_t i = 0; i + 8 * LANES <= n; i += 8 * LANES) {
        for (int j = 0; j < 8; j++)
            s[j] += vf_load(x + i + (size_t)j * LANES);
    }
    for (int j = 1; j < 8; j++)
        s[0] += s[j];
    return vf_sum(s[0]);
}

const struct cpu_kernels *GET_KERNELS(void)
{
    static const struct cpu_kernels kernels = {
        .level = LEVEL,
        .lanes = LANES,
        .matmul = matmul,
        .bias_act = bias_act,
        .scale_bias_act = scale_bias_act,
        .to_f32 = to_f32,
        .rms_norm = rms_norm,
        .layer_norm = layer_norm,
        .head_norm = head_norm,
        .rope = rope,
        .silu_mul = silu_mul,
        .add = add,
        .guide = guide,
        .nearest = nearest,
        .scores = scores,
        .softmax = softmax,
        .weigh = weigh,
        .multiply = multiply,
        .burn = burn,
        .read_sum = read_sum,
    };
    return &kernels;
}
