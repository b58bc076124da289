/* What this processor and operating system can run. The answer is the highest level of cpu_level all of whose
 * instructions exist and whose registers the system saves. */
#ifndef VARGPT_CPU_CPU_FEATURES_H
#define VARGPT_CPU_CPU_FEATURES_H

#include "cpu/cpu_backend.h"

#include <stddef.h>

/* Bytes of second-level cache of one core; a guess of 512 KiB where the system does not say. */
size_t cpu_l2_bytes(void);

#endif
