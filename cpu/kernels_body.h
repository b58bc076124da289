/* The kernels, once, over vectors of LANES floats. Included by one file an instruction set, which defines
 * LANES, TILE (the weight rows a product takes beside four rows of x; accumulators for 4 x TILE fit the
 * registers), TALL_ROWS (rows a product of stored weights takes at a time where there are enough, 4 or more: each
 * conversion of a weight then serves more of them), COLUMNS (vectors of four rows that attention sums at a
 * time), STEPS (of a product's inner loop at a time), LEVEL, GET_KERNELS, INLINE, the vector types vf and vu,
 * and the vf_ primitives used here. */

#include <math.h>

enum { ROW_BLOCK = 4, TALL_TILE = 4 * TILE / TALL_ROWS, FEW_ROWS = 16, TILE_SUMS = (TILE + 3) / 4 * 16 };

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

#include "cpu/kernels_cache_body.h"

#include "cpu/kernels_product_body.h"

#include "cpu/kernels_activation_body.h"

#include "cpu/kernels_rows_body.h"

#include "cpu/kernels_attention_body.h"

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
        .to_bf16 = to_bf16,
        .to_i8 = to_i8,
        .from_i8 = from_i8,
        .rms_norm = rms_norm,
        .layer_norm = layer_norm,
        .column_sums = column_sums,
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
