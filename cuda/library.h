/* A shared library of NVIDIA's that is opened while the program runs, so that the program starts without it.
 */
#ifndef VARGPT_CUDA_LIBRARY_H
#define VARGPT_CUDA_LIBRARY_H

#include "base/error.h"

#include <stddef.h>

struct library_function {
    const char *name;
    void *pointer; /* the variable to set, a pointer to function */
};

/* Finds all of them. Failure: STATUS_DEVICE with what is missing. The library is never closed: it has threads
 * and device memory of its own, which need not be gone when its last handle is. */
enum status library_open(const char *file, const struct library_function *, size_t n, struct error *);

#endif
