/* What the control groups of this process (Linux, version 1 or 2) leave it of the machine: the tightest limit of its group and
 * of those above it. Containers set them; affinity and the machine's own memory are not looked at here. */
#ifndef VARGPT_BASE_CONTROL_GROUP_H
#define VARGPT_BASE_CONTROL_GROUP_H

#include <stddef.h>
#include <stdint.h>

/* root goes in front of /proc and /sys: "" but in tests. */

/* Processors' worth of time, a fraction possibly; 0: no limit. */
double control_group_processors(const char *root);
/* Bytes that may still be taken, files' pages that would be dropped for them included; SIZE_MAX: no limit. */
size_t control_group_memory(const char *root);

#endif
