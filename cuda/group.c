#include "cuda/group.h"

#include "base/memory.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where no host has memory: what takes a group's address for memory ends at once. */
static const uintptr_t FIRST_ADDRESS = (uintptr_t)1 << 60;

/* Cards of other kinds may round expf or sinf otherwise, and what all compute alike must be alike. */
static enum status check_kinds(const int *device, int n, struct error *err)
{
    struct cudaDeviceProp first, other;
    for (int k = 1; k < n; k++) {
        if (cudaGetDeviceProperties(&first, device[0]) != cudaSuccess ||
            cudaGetDeviceProperties(&other, device[k]) != cudaSuccess)
            return error_set(err, STATUS_DEVICE, "cuda: %s", cudaGetErrorString(cudaGetLastError()));
        if (first.major != other.major || first.minor != other.minor)
            return error_set(err, STATUS_DEVICE,
                             "cuda: device %d is sm_%d%d and device %d sm_%d%d: name cards of one kind",
                             device[0], first.major, first.minor, device[k], other.major, other.minor);
    }
    return STATUS_OK;
}

static enum status open_cards(struct cuda_group *g, const int *device, int n, size_t memory,
                              struct error *err)
{
    for (; g->n < n; g->n++) {
        struct backend *be;
        enum status status = cuda_backend_open(&be, device[g->n], memory, err);
        if (status != STATUS_OK)
            return status;
        g->card[g->n] = cuda_state(be);
    }
    return STATUS_OK;
}

enum status cuda_group_open(struct backend **out, const int *device, int n, size_t memory, struct error *err)
{
    struct cuda_group *g = xcalloc(1, sizeof *g);
    enum status status;
    g->base.op = &cuda_group_ops;
    g->next = FIRST_ADDRESS;
    if ((status = open_cards(g, device, n, memory, err)) || (status = check_kinds(device, n, err)) ||
        (status = nccl_open(&g->nccl, device, n, err))) {
        cuda_group_close(g);
        return status;
    }
    *out = &g->base;
    return STATUS_OK;
}

void cuda_group_close(struct cuda_group *g)
{
    group_finish(&g->base, NULL);
    nccl_close(g->nccl);
    for (int k = 0; k < g->n; k++)
        cuda_backend_close(&g->card[k]->base);
    free(g->piece);
    free(g);
}

void cuda_group_describe(const struct cuda_group *g, char *text, size_t size)
{
    char one[400];
    cuda_backend_describe(&g->card[0]->base, one, sizeof one);
    snprintf(text, size, "%d x %s, devices", g->n, one);
    for (int k = 0; k < g->n; k++) {
        size_t length = strlen(text);
        snprintf(text + length, size - length, "%s%d", k ? "," : " ", g->card[k]->device);
    }
}

bool group_ready(const struct cuda_group *g)
{
    for (int k = 0; k < g->n; k++) {
        if (g->card[k]->failure.status != STATUS_OK)
            return false;
    }
    return true;
}

static bool is_lost(const struct cuda_group *g)
{
    for (int k = 0; k < g->n; k++) {
        if (g->card[k]->failure.status == STATUS_DEVICE)
            return true;
    }
    return false;
}

/* Asks all cards in turn: one that is lost would let the others wait for it for ever. */
static void wait_for_all(struct cuda_group *g)
{
    for (bool busy = true; busy && !is_lost(g); sched_yield()) {
        busy = false;
        for (int k = 0; k < g->n; k++) {
            cudaError_t error = cudaStreamQuery(g->card[k]->stream);
            if (error != cudaErrorNotReady) {
                cuda_check(g->card[k], error, "waiting");
                continue;
            }
            cudaGetLastError(); /* not to be taken for a launch's */
            busy = true;
        }
    }
    if (is_lost(g) && g->nccl)
        nccl_abort(g->nccl);
}

/* The worst that any card has to say; a lost card is worse than one that lacked memory. */
enum status group_finish(struct backend *be, struct error *err)
{
    struct cuda_group *g = group_state(be);
    enum status worst = STATUS_OK;
    wait_for_all(g);
    if (!group_ready(g))
        group_forget(g, NULL, 0);
    for (int k = 0; k < g->n; k++) {
        struct error own = {0};
        enum status status = cuda_finish(&g->card[k]->base, err ? &own : NULL);
        if (status == STATUS_OK || worst == STATUS_DEVICE)
            continue;
        worst = status;
        if (err)
            error_set(err, status, "device %d: %.200s", g->card[k]->device, own.message);
    }
    return worst;
}
