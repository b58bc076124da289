/* Vectors of eight: AVX2, FMA, F16C. */
#include "base/half.h"
#include "cpu/kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define LANES       8
#define TILE        3
#define TALL_ROWS   4
#define COLUMNS     2
#define STEPS       1
#define LEVEL       CPU_AVX2
#define GET_KERNELS cpu_kernels_avx2
#define INLINE      static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(LANES * 4)));
typedef uint32_t vu __attribute__((vector_size(LANES * 4)));

INLINE __m256i first_lanes(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

INLINE void vf_store(float *p, vf v)
{
    _mm256_storeu_ps(p, v);
}

INLINE vf vf_load_part(const float *p, int n)
{
    return _mm256_maskload_ps(p, first_lanes(n));
}

INLINE void vf_store_part(float *p, vf v, int n)
{
    _mm256_maskstore_ps(p, first_lanes(n), v);
}

INLINE vf vf_from_bf16(__m128i h)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

INLINE __m128i load_part16(const uint16_t *p, int n)
{
    uint16_t part[LANES] = {0};
    memcpy(part, p, (size_t)n * sizeof *part);
    return _mm_loadu_si128((const __m128i *)part);
}

INLINE vf vf_load_bf16(const uint16_t *p)
{
    return vf_from_bf16(_mm_loadu_si128((const __m128i *)p));
}

INLINE vf vf_load_bf16_part(const uint16_t *p, int n)
{
    return vf_from_bf16(load_part16(p, n));
}

INLINE vf vf_load_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

INLINE vf vf_load_f16_part(const uint16_t *p, int n)
{
    return _mm256_cvtph_ps(load_part16(p, n));
}

INLINE vf vf_load_i8(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

/* the second operand where either is NaN */
INLINE vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

INLINE vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}

/* Lanes four apart are added, then two and one apart. */
INLINE float vf_sum(vf v)
{
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(b) + _mm_cvtss_f32(_mm_movehdup_ps(b));
}

INLINE float vf_largest(vf v)
{
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

/* [a, b], each folded to four lanes */
INLINE __m256 fold2(vf a, vf b)
{
    return _mm256_blend_ps(a, b, 0xf0) + _mm256_permute2f128_ps(a, b, 0x21);
}

INLINE __m256 fold_pair(__m256 a, __m256 b)
{
    return _mm256_blend_ps(a, b, 0xcc) + _mm256_shuffle_ps(a, b, 0x4e);
}

INLINE __m256 fold_last(__m256 a, __m256 b)
{
    return _mm256_shuffle_ps(a, b, 0x88) + _mm256_shuffle_ps(a, b, 0xdd);
}

/* sum[r][o] = vf_sum(acc[r][o]) for rows of four (the last is left over), transposing as it folds; the
 * additions are vf_sum's. */
INLINE void sum_tile(float *sum, vf acc[4][TILE])
{
#pragma GCC unroll 2
    for (int r = 0; r < 4; r += 2) {
        __m256 column[TILE];
#pragma GCC unroll 4
        for (int o = 0; o < TILE; o++)
            column[o] = fold2(acc[r][o], acc[r + 1][o]);
        __m256 rest = fold_pair(column[2], column[2]);
        _mm256_storeu_ps(sum + 4 * r, fold_last(fold_pair(column[0], column[1]), rest));
    }
}

#include "cpu/kernels_body.h"

#else

const struct cpu_kernels *cpu_kernels_avx2(void)
{
    return NULL;
}

#endif
