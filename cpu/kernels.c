#include "cpu/kernels.h"

const struct cpu_kernels *cpu_kernels_get(enum cpu_level level)
{
    enum cpu_level best = cpu_level_detected();
    if (level > best)
        level = best;
    const struct cpu_kernels *k = NULL;
    if (level >= CPU_AVX512)
        k = cpu_kernels_avx512();
    if (!k && level >= CPU_AVX2)
        k = cpu_kernels_avx2();
    return k ? k : cpu_kernels_scalar();
}
