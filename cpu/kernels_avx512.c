/* Vectors of sixteen: AVX-512 F, BW, DQ, VL. */
#include "base/half.h"
#include "cpu/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define LANES       16
#define TILE        6
#define TALL_ROWS   8
#define COLUMNS     4
#define STEPS       4
#define LEVEL       CPU_AVX512
#define GET_KERNELS cpu_kernels_avx512
#define INLINE      static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(LANES * 4)));
typedef uint32_t vu __attribute__((vector_size(LANES * 4)));

INLINE __mmask16 first_lanes(int n)
{
    return (__mmask16)((1u << n) - 1);
}

INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

INLINE void vf_store(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}

INLINE vf vf_load_part(const float *p, int n)
{
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
}

INLINE void vf_store_part(float *p, vf v, int n)
{
    _mm512_mask_storeu_ps(p, first_lanes(n), v);
}

INLINE vf vf_from_bf16(__m256i h)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

INLINE vf vf_load_bf16(const uint16_t *p)
{
    return vf_from_bf16(_mm256_loadu_si256((const __m256i *)p));
}

INLINE vf vf_load_bf16_part(const uint16_t *p, int n)
{
    return vf_from_bf16(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}

INLINE vf vf_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

INLINE vf vf_load_f16_part(const uint16_t *p, int n)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}

INLINE vf vf_load_i8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* the second operand where either is NaN */
INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

INLINE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

/* Lanes eight apart are added, then four, two and one apart. */
INLINE float vf_sum(vf v)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(b) + _mm_cvtss_f32(_mm_movehdup_ps(b));
}

INLINE float vf_largest(vf v)
{
    return _mm512_reduce_max_ps(v);
}

/* [a, b, c, d], each folded to four lanes */
INLINE __m512 fold4(vf a, vf b, vf c, vf d)
{
    __m512 ab = _mm512_mask_blend_ps(0xff00, a, b) + _mm512_shuffle_f32x4(a, b, 0x4e);
    __m512 cd = _mm512_mask_blend_ps(0xff00, c, d) + _mm512_shuffle_f32x4(c, d, 0x4e);
    return _mm512_shuffle_f32x4(ab, cd, 0x88) + _mm512_shuffle_f32x4(ab, cd, 0xdd);
}

INLINE __m512 fold_pair(__m512 a, __m512 b)
{
    return _mm512_mask_blend_ps(0xcccc, a, b) + _mm512_shuffle_ps(a, b, 0x4e);
}

INLINE __m512 fold_last(__m512 a, __m512 b)
{
    return _mm512_shuffle_ps(a, b, 0x88) + _mm512_shuffle_ps(a, b, 0xdd);
}

/* sum[o / 4][r][o % 4] = vf_sum(acc[r][o]), all 24 at once by transposing as it folds; the additions are
 * vf_sum's. */
INLINE void sum_tile(float *sum, vf acc[4][TILE])
{
    __m512 column[TILE];
#pragma GCC unroll 8
    for (int o = 0; o < TILE; o++)
        column[o] = fold4(acc[0][o], acc[1][o], acc[2][o], acc[3][o]);
    __m512 left = fold_pair(column[0], column[1]), right = fold_pair(column[2], column[3]);
    __m512 rest = fold_pair(column[4], column[5]);
    _mm512_storeu_ps(sum, fold_last(left, right));
    _mm512_storeu_ps(sum + 16, fold_last(rest, rest));
}

#include "cpu/kernels_body.h"

#else

const struct cpu_kernels *cpu_kernels_avx512(void)
{
    return NULL;
}

#endif
