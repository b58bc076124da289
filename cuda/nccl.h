/* What cards tell each other, by NVIDIA's NCCL, which is opened at run time. */
#ifndef VARGPT_CUDA_NCCL_H
#define VARGPT_CUDA_NCCL_H

#include "base/error.h"

#include <cuda_runtime.h>
#include <stddef.h>

struct nccl;

/* For n devices, no two the same, whose order is that of all arrays below. Failure: STATUS_DEVICE with what
 * the user can do about it; nothing is left open. */
enum status nccl_open(struct nccl **out, const int *device, int n, struct error *);
void nccl_close(struct nccl *); /* accepts NULL; after the streams' work is done */

/* Every card's part[k], `count` floats, goes to place k of whole[0..n-1], [n][count] floats each; part[k] may
 * lie there already. In the cards' streams, all or none. Failure: STATUS_DEVICE. */
enum status nccl_gather(struct nccl *, float *const whole[], const float *const part[], size_t count,
                        const cudaStream_t stream[], struct error *);

/* A card is lost: ends what the others do with it, which would last for ever. Only nccl_close may follow. */
void nccl_abort(struct nccl *);

#endif
