/* The part of NCCL's interface (nccl.h, stable since version 2.0) that this program uses, declared here
 * because the library is opened at run time and its header comes in a package of hundreds of megabytes. */
#ifndef VARGPT_CUDA_NCCL_API_H
#define VARGPT_CUDA_NCCL_API_H

#include <cuda_runtime.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ncclComm *ncclComm_t;
typedef enum {
    ncclSuccess = 0,
    ncclUnhandledCudaError = 1,
    ncclSystemError = 2,
    ncclInternalError = 3,
    ncclInvalidArgument = 4,
    ncclInvalidUsage = 5,
} ncclResult_t;
typedef enum { ncclFloat32 = 7 } ncclDataType_t;

ncclResult_t ncclCommInitAll(ncclComm_t *, int n_devices, const int *device);
ncclResult_t ncclCommDestroy(ncclComm_t);
ncclResult_t ncclCommAbort(ncclComm_t);
ncclResult_t ncclGroupStart(void);
ncclResult_t ncclGroupEnd(void);
ncclResult_t ncclAllGather(const void *send, void *receive, size_t send_count, ncclDataType_t, ncclComm_t,
                           cudaStream_t);
const char *ncclGetErrorString(ncclResult_t);

#ifdef __cplusplus
}
#endif

#endif
