/* Plain C over vectors of four, which every processor's compiler turns into what it has (SSE2, NEON, or
 * single floats). */
#include "cpu/half.h"
#include "cpu/kernels.h"

#define LANES       4
#define ROW_BLOCK   4
#define TILE        3
#define LEVEL       CPU_SCALAR
#define GET_KERNELS cpu_kernels_scalar

typedef float vf __attribute__((vector_size(LANES * 4)));
typedef uint32_t vu __attribute__((vector_size(LANES * 4)));

static inline vf vf_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vf_store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

static inline vf vf_load_part(const float *p, int n)
{
    vf v = {0};
    memcpy(&v, p, (size_t)n * sizeof(float));
    return v;
}

static inline void vf_store_part(float *p, vf v, int n)
{
    memcpy(p, &v, (size_t)n * sizeof(float));
}

static inline vf vf_load_bf16(const uint16_t *p)
{
    return (vf){bf16_to_float(p[0]), bf16_to_float(p[1]), bf16_to_float(p[2]), bf16_to_float(p[3])};
}

static inline vf vf_load_f16(const uint16_t *p)
{
    return (vf){f16_to_float(p[0]), f16_to_float(p[1]), f16_to_float(p[2]), f16_to_float(p[3])};
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return a * b + c;
}

static inline vf vf_select(vu mask, vf a, vf b)
{
    return (vf)((mask & (vu)a) | (~mask & (vu)b));
}

/* the second operand where either is NaN, as the x86 instructions do */
static inline vf vf_max(vf a, vf b)
{
    return vf_select((vu)(a > b), a, b);
}

static inline vf vf_min(vf a, vf b)
{
    return vf_select((vu)(a < b), a, b);
}

static inline float vf_sum(vf v)
{
    return (v[0] + v[2]) + (v[1] + v[3]);
}

static inline float vf_largest(vf v)
{
    float a = v[0] > v[2] ? v[0] : v[2], b = v[1] > v[3] ? v[1] : v[3];
    return a > b ? a : b;
}

#include "cpu/kernels_body.h"
