/* An NVIDIA graphics card as a backend. One file of two stands behind this header: cuda_backend.c, or, in a
 * program built without CUDA, cuda_none.c, which can only say so. The program starts without a driver in
 * either case. */
#ifndef VARGPT_CUDA_CUDA_BACKEND_H
#define VARGPT_CUDA_CUDA_BACKEND_H

#include "engine/backend.h"

#include <stddef.h>

/* Cards that can be used; 0 without a driver. *why, if not NULL: what stands in the way when there are none.
 */
int cuda_device_count(const char **why);

/* memory: bytes of the card, taken at once, for all that this backend will ever have there (cuda/arena.h); 0
 * is nine tenths of what the card has free. Failure: STATUS_DEVICE, nothing is left open. */
enum status cuda_backend_open(struct backend **out, int device, size_t memory, struct error *err);
void cuda_backend_close(struct backend *); /* accepts NULL */

enum { CUDA_MOST_CARDS = 16 };

/* Several cards as one backend, 2..CUDA_MOST_CARDS of one kind, no two the same: matrices that may be divided
 * and caches are shared out among them, and results are one card's to the bit (docs/cuda.md, "Several
 * cards"). Needs NCCL at run time. memory: of each card. All functions here take it as they take one card.
 * Failure: STATUS_DEVICE, nothing is left open. */
enum status cuda_group_open(struct backend **out, const int *device, int n, size_t memory, struct error *err);

/* fast: products with 16-bit weights run on tensor cores, their other operand rounded to 16 bits; a row's
 * result is still the same bits alone and among others. Otherwise (the default) all is float32. To be said
 * before the first operation. */
void cuda_backend_set_fast(struct backend *, bool fast);

/* off: every pass is launched operation by operation. On (the default), passes that repeat are kept as CUDA
 * graphs; several cards launch them all operation by operation. */
void cuda_backend_set_graphs(struct backend *, bool on);

/* After cuda_backend_set_fast(be, true): products of many rows by cuBLASLt and convolutions by cuDNN, where
 * these libraries can be opened and take the operands. A row's bits depend on what is computed with it then
 * (backend->rows_vary). What cannot be opened is logged, and our own kernels go on computing that. */
void cuda_backend_use_libraries(struct backend *);

/* "cuda (NVIDIA H100, sm_90, 79 GiB, fast, cuBLASLt, cuDNN)", for start-up lines and benchmarks. */
void cuda_backend_describe(const struct backend *, char *text, size_t size);

#endif
