/* Plain C over vectors of four, which every processor's compiler turns into what it has (SSE2, NEON, or
 * single floats). */
#include "base/half.h"
#include "cpu/kernels.h"

#define LANES       4
#define TILE        3
#define TALL_ROWS   4
#define COLUMNS     2
#define STEPS       1
#define LEVEL       CPU_SCALAR
#define GET_KERNELS cpu_kernels_scalar
#define INLINE      static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(LANES * 4)));
typedef uint32_t vu __attribute__((vector_size(LANES * 4)));

INLINE vf vf_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void vf_store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

INLINE vf vf_load_part(const float *p, int n)
{
    vf v = {0};
    memcpy(&v, p, (size_t)n * sizeof(float));
    return v;
}

INLINE void vf_store_part(float *p, vf v, int n)
{
    memcpy(p, &v, (size_t)n * sizeof(float));
}

INLINE vf vf_load_bf16(const uint16_t *p)
{
    return (vf){bf16_to_float(p[0]), bf16_to_float(p[1]), bf16_to_float(p[2]), bf16_to_float(p[3])};
}

INLINE vf vf_load_bf16_part(const uint16_t *p, int n)
{
    uint16_t part[LANES] = {0};
    memcpy(part, p, (size_t)n * sizeof *part);
    return vf_load_bf16(part);
}

INLINE vf vf_load_f16(const uint16_t *p)
{
    return (vf){f16_to_float(p[0]), f16_to_float(p[1]), f16_to_float(p[2]), f16_to_float(p[3])};
}

INLINE vf vf_load_f16_part(const uint16_t *p, int n)
{
    uint16_t part[LANES] = {0};
    memcpy(part, p, (size_t)n * sizeof *part);
    return vf_load_f16(part);
}

INLINE vf vf_load_i8(const int8_t *p)
{
    return (vf){(float)p[0], (float)p[1], (float)p[2], (float)p[3]};
}

INLINE vf vf_fma(vf a, vf b, vf c)
{
    return a * b + c;
}

INLINE vf vf_select(vu mask, vf a, vf b)
{
    return (vf)((mask & (vu)a) | (~mask & (vu)b));
}

/* the second operand where either is NaN, as the x86 instructions do */
INLINE vf vf_max(vf a, vf b)
{
    return vf_select((vu)(a > b), a, b);
}

INLINE vf vf_min(vf a, vf b)
{
    return vf_select((vu)(a < b), a, b);
}

INLINE float vf_sum(vf v)
{
    return (v[0] + v[2]) + (v[1] + v[3]);
}

INLINE float vf_largest(vf v)
{
    float a = v[0] > v[2] ? v[0] : v[2], b = v[1] > v[3] ? v[1] : v[3];
    return a > b ? a : b;
}

/* sum[r][o] for rows of four, the last left over */
INLINE void sum_tile(float *sum, vf acc[4][TILE])
{
    for (int r = 0; r < 4; r++) {
        for (int o = 0; o < TILE; o++)
            sum[4 * r + o] = vf_sum(acc[r][o]);
    }
}

#include "cpu/kernels_body.h"
