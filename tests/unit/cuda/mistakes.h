#ifndef VARGPT_TESTS_UNIT_CUDA_MISTAKES_H
#define VARGPT_TESTS_UNIT_CUDA_MISTAKES_H

#include <cuda_runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

enum mistake {
    SKIPS_BARRIER,
    SPLITS_BARRIERS,
    LOSES_LANE,
    MIXES_EXCHANGES,
    NAMES_HALF_A_WARP,
    OVERRUNS_SHARED,
    TAKES_MUCH_SHARED,
    RACES,
    READS_UNINITIALISED,
    BEHAVES,
};

/* out: 64 floats of device memory; two blocks write them. */
void start_mistake(cudaStream_t, enum mistake, float *out);
/* to += from, 64 floats */
void start_add(cudaStream_t, float *to, const float *from);
void start_large_block(cudaStream_t, float *out);

#ifdef __cplusplus
}
#endif

#endif
