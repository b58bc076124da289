#include "cpu/cpu_features.h"

#include "base/control_group.h"

#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* Register state the operating system saves, as XCR0 tells it. */
static uint64_t saved_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

enum cpu_level cpu_level_detected(void)
{
    const uint64_t ymm_state = 0x6, zmm_state = 0xe6;
    const unsigned avx2_ecx1 = bit_FMA | bit_OSXSAVE | bit_AVX | bit_F16C;
    const unsigned avx512_ebx7 = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & avx2_ecx1) != avx2_ecx1 ||
        (saved_state() & ymm_state) != ymm_state)
        return CPU_SCALAR;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2))
        return CPU_SCALAR;
    if ((b & avx512_ebx7) != avx512_ebx7 || (saved_state() & zmm_state) != zmm_state)
        return CPU_AVX2;
    return CPU_AVX512;
}
#else
enum cpu_level cpu_level_detected(void)
{
    return CPU_SCALAR;
}
#endif

const char *cpu_level_name(enum cpu_level level)
{
    static const char *const names[] = {"scalar", "avx2", "avx512"};
    return names[level];
}

static int count_allowed(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

int cpu_count_usable(const char **limit)
{
    int allowed = count_allowed();
    double quota = control_group_processors("");
    bool by_group = quota > 0 && quota < allowed;
    if (limit)
        *limit = by_group ? "control group" : "affinity";
    return by_group ? (int)ceil(quota) : allowed;
}

size_t cpu_l2_bytes(void)
{
#ifdef _SC_LEVEL2_CACHE_SIZE
    long size = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (size > 0)
        return (size_t)size;
#endif
    return 512 * 1024;
}
