/* The CPU as a backend: portable C, with AVX2 and AVX-512 kernels where the processor has them. */
#ifndef VARGPT_CPU_CPU_BACKEND_H
#define VARGPT_CPU_CPU_BACKEND_H

#include "engine/backend.h"

enum cpu_level { CPU_SCALAR, CPU_AVX2, CPU_AVX512 };

/* What this processor and operating system can run. */
enum cpu_level cpu_level_detected(void);
const char *cpu_level_name(enum cpu_level); /* "scalar", "avx2", "avx512" */

/* threads: 0 = as many as the process may use (affinity). level: at most this (tests run as an older
 * processor would). */
enum status cpu_backend_open(struct backend **out, int threads, enum cpu_level level, struct error *err);
void cpu_backend_close(struct backend *); /* accepts NULL */

/* What was chosen, for start-up lines and benchmarks. */
int cpu_backend_threads(const struct backend *);
enum cpu_level cpu_backend_level(const struct backend *);

/* The machine's limits, measured now on the backend's threads: multiply-adds in registers (floating-point
 * operations a second), and a sum over memory far larger than the caches (bytes a second). Each repeats its
 * few milliseconds of work for `seconds`. */
double cpu_measure_flops(struct backend *, double seconds);
double cpu_measure_bandwidth(struct backend *, double seconds);

/* Processors this process may keep busy, at least 1: those it may run on, or as many as its control group gives it the time
 * of, rounded up. *limit (may be NULL): "affinity" or "control group". */
int cpu_count_usable(const char **limit);

#endif
