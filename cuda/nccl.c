#include "cuda/nccl.h"

#include "cuda/library.h"
#include "cuda/nccl_api.h"

#include "base/memory.h"

#include <stdlib.h>

struct nccl {
    int n;
    ncclComm_t comm[]; /* [n]; NULL after an abort */
};

static struct {
    __typeof__(ncclCommInitAll) *comm_init_all;
    __typeof__(ncclCommDestroy) *comm_destroy;
    __typeof__(ncclCommAbort) *comm_abort;
    __typeof__(ncclGroupStart) *group_start;
    __typeof__(ncclGroupEnd) *group_end;
    __typeof__(ncclAllGather) *all_gather;
    __typeof__(ncclGetErrorString) *error_string;
} call;

static enum status open_library(struct error *err)
{
    const struct library_function functions[] = {
        {"ncclCommInitAll", &call.comm_init_all},   {"ncclCommDestroy", &call.comm_destroy},
        {"ncclCommAbort", &call.comm_abort},        {"ncclGroupStart", &call.group_start},
        {"ncclGroupEnd", &call.group_end},          {"ncclAllGather", &call.all_gather},
        {"ncclGetErrorString", &call.error_string},
    };
    struct error why = {0};
    if (library_open("libnccl.so.2", functions, sizeof functions / sizeof *functions, &why) == STATUS_OK)
        return STATUS_OK;
    return error_set(
        err, STATUS_DEVICE,
        "several cards need NCCL: %.100s (tools/get-nvidia-libraries fetches it; or name one card: "
        "--device cuda:N)",
        why.message);
}

static enum status failed(ncclResult_t result, const char *what, struct error *err)
{
    return error_set(err, STATUS_DEVICE, "NCCL: %s: %s (NCCL_DEBUG=WARN in the environment says more)", what,
                     call.error_string(result));
}

enum status nccl_open(struct nccl **out, const int *device, int n, struct error *err)
{
    if (open_library(err))
        return STATUS_DEVICE;
    struct nccl *c = xcalloc(1, sizeof *c + (size_t)n * sizeof *c->comm);
    c->n = n;
    ncclResult_t result = call.comm_init_all(c->comm, n, device);
    if (result != ncclSuccess) {
        free(c);
        return failed(result, "connecting the cards", err);
    }
    *out = c;
    return STATUS_OK;
}

void nccl_close(struct nccl *c)
{
    for (int k = 0; c && k < c->n; k++) {
        if (c->comm[k])
            call.comm_destroy(c->comm[k]);
    }
    free(c);
}

void nccl_abort(struct nccl *c)
{
    for (int k = 0; k < c->n; k++) {
        if (c->comm[k])
            call.comm_abort(c->comm[k]);
        c->comm[k] = NULL;
    }
}

enum status nccl_gather(struct nccl *c, float *const whole[], const float *const part[], size_t count,
                        const cudaStream_t stream[], struct error *err)
{
    ncclResult_t result = call.group_start();
    for (int k = 0; k < c->n && result == ncclSuccess; k++)
        result = call.all_gather(part[k], whole[k], count, ncclFloat32, c->comm[k], stream[k]);
    ncclResult_t end = call.group_end();
    result = result == ncclSuccess ? end : result;
    return result == ncclSuccess ? STATUS_OK : failed(result, "gathering", err);
}
