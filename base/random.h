/* Counter-based random numbers: every draw is a function of (seed, place, purpose), whatever else runs.
 * Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC11); the purposes and counters are
 * those of docs/model.md, "Random numbers". Plain inline C, so that CPU and CUDA code draw the same bits. */
#ifndef VARGPT_BASE_RANDOM_H
#define VARGPT_BASE_RANDOM_H

#include <math.h>
#include <stdint.h>

#ifndef RANDOM_INLINE
#define RANDOM_INLINE static inline
#endif

enum random_purpose {
    RANDOM_NOISE = 1, /* guidance noise: i = column / 4, j = position in the picture, k = picture ordinal */
    RANDOM_CODE = 2,  /* image token: i = 0, j = position in the picture, k = picture ordinal */
    RANDOM_TEXT = 3,  /* text token: i = 0, j = index of the token in the reply, k = choice index */
};

struct random_words {
    uint32_t x[4];
};

/* The four words for key = seed and counter = (i, j, purpose, k). */
RANDOM_INLINE struct random_words random_philox(uint64_t seed, uint32_t i, uint32_t j, uint32_t purpose, uint32_t k)
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t c0 = i, c1 = j, c2 = purpose, c3 = k;
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    struct random_words w = {{c0, c1, c2, c3}};
    return w;
}

/* A word as a uniform number in (0, 1), double precision. */
RANDOM_INLINE double random_unit(uint32_t word)
{
    return ((double)word + 0.5) / 4294967296.0;
}

/* Columns 4i..4i+3 of the standard-normal row for (seed, position j, picture k): Box-Muller in double, stored as float. */
RANDOM_INLINE void random_normal4(float out[4], uint64_t seed, uint32_t i, uint32_t j, uint32_t k)
{
    const double two_pi = 6.283185307179586476925286766559;
    struct random_words w = random_philox(seed, i, j, RANDOM_NOISE, k);
    for (int pair = 0; pair < 2; pair++) {
        double radius = sqrt(-2.0 * log(random_unit(w.x[2 * pair])));
        double angle = two_pi * random_unit(w.x[2 * pair + 1]);
        out[2 * pair] = (float)(radius * cos(angle));
        out[2 * pair + 1] = (float)(radius * sin(angle));
    }
}

#endif
