#include "cuda/backend_state.h"

#include <assert.h>
#include <string.h>

enum { STAGING_BYTES = 8 << 20, STAGED_MOST = 4 << 20 }; /* what is larger goes its own way, and waits */

bool cuda_check(struct cuda_backend *c, cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return true;
    bool memory = error == cudaErrorMemoryAllocation;
    if (c->failure.status == STATUS_OK)
        error_set(&c->failure, memory ? STATUS_NO_MEMORY : STATUS_DEVICE, "cuda: %s: %s", what,
                  cudaGetErrorString(error));
    if (memory)
        cudaGetLastError(); /* not to be taken for a launch's */
    return false;
}

void cuda_check_launch(struct cuda_backend *c, const char *operation)
{
    cuda_check(c, cudaGetLastError(), operation);
}

bool cuda_ready(struct cuda_backend *c)
{
    return c->failure.status == STATUS_OK && cuda_check(c, cudaSetDevice(c->device), "choosing the device");
}

bool cuda_memory_open(struct cuda_backend *c)
{
    struct staging *s = &c->staging;
    s->bytes = STAGING_BYTES;
    return cuda_check(c, cudaHostAlloc((void **)&s->host, s->bytes, cudaHostAllocDefault), "pinned memory") &&
           cuda_check(c, cudaMalloc((void **)&s->device, s->bytes), "device memory");
}

void cuda_memory_close(struct cuda_backend *c)
{
    cudaFree(c->scratch);
    cudaFree(c->staging.device);
    cudaFreeHost(c->staging.host);
}

bool cuda_wait(struct cuda_backend *c)
{
    assert(!cuda_is_recording(c));
    if (!cuda_ready(c) || !cuda_check(c, cudaStreamSynchronize(c->stream), "waiting"))
        return false;
    for (int i = 0; i < c->n_handovers; i++)
        memcpy(c->handover[i].to, c->handover[i].from, c->handover[i].bytes);
    c->n_handovers = 0;
    c->staging.used = 0;
    return true;
}

/* A place in the staging memory; waits for the device when it is full. */
static bool staging_take(struct cuda_backend *c, size_t bytes, size_t *place)
{
    enum { ALIGNMENT = 256 };
    assert(!cuda_is_recording(c)); /* the place would be another one in the next pass */
    struct staging *s = &c->staging;
    size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (s->bytes - s->used < rounded && !cuda_wait(c))
        return false;
    *place = s->used;
    s->used += rounded;
    return true;
}

const void *cuda_stage(struct cuda_backend *c, const void *from_host, size_t bytes)
{
    struct staging *s = &c->staging;
    size_t place;
    if (bytes > s->bytes) {
        if (c->failure.status == STATUS_OK)
            error_set(&c->failure, STATUS_DEVICE, "cuda: %zu bytes of arguments, %zu are the most", bytes,
                      s->bytes);
        return NULL;
    }
    if (!staging_take(c, bytes, &place))
        return NULL;
    memcpy(s->host + place, from_host, bytes);
    if (!cuda_check(
            c, cudaMemcpyAsync(s->device + place, s->host + place, bytes, cudaMemcpyHostToDevice, c->stream),
            "copying arguments"))
        return NULL;
    return s->device + place;
}

void *cuda_scratch(struct cuda_backend *c, size_t bytes)
{
    if (bytes <= c->scratch_bytes)
        return c->scratch;
    if (cuda_is_recording(c)) { /* the same pass ran before, so this does not happen */
        if (c->failure.status == STATUS_OK)
            error_set(&c->failure, STATUS_DEVICE, "cuda: scratch memory grew while a pass was recorded");
        return NULL;
    }
    bytes = bytes < 2 * c->scratch_bytes ? 2 * c->scratch_bytes : bytes; /* contexts grow step by step */
    cudaFree(c->scratch);                                                /* waits for what still uses it */
    cuda_graphs_forget(c);
    c->scratch = NULL;
    c->scratch_bytes = 0;
    if (!cuda_check(c, cudaMalloc(&c->scratch, bytes), "scratch memory"))
        return NULL;
    c->scratch_bytes = bytes;
    return c->scratch;
}

size_t cuda_memory_left(struct backend *be)
{
    struct cuda_backend *c = cuda_state(be);
    size_t left = 0, all = 0;
    if (cuda_ready(c))
        cuda_check(c, cudaMemGetInfo(&left, &all), "asking for free memory");
    return left;
}

void *cuda_alloc(struct backend *be, size_t bytes)
{
    struct cuda_backend *c = cuda_state(be);
    void *memory = NULL;
    if (!cuda_ready(c))
        return NULL;
    if (cudaMalloc(&memory, bytes ? bytes : 1) != cudaSuccess) {
        cudaGetLastError(); /* the caller hears of it by the NULL; the device is as well as before */
        return NULL;
    }
    return memory;
}

void cuda_free(struct backend *be, void *memory)
{
    struct cuda_backend *c = cuda_state(be);
    if (memory && cudaSetDevice(c->device) == cudaSuccess)
        cudaFree(memory);
}

void cuda_upload(struct backend *be, void *to, const void *from_host, size_t bytes)
{
    struct cuda_backend *c = cuda_state(be);
    const char *from = from_host;
    size_t place;
    if (bytes == 0 || !cuda_ready(c))
        return;
    if (bytes <= STAGED_MOST) {
        if (!staging_take(c, bytes, &place))
            return;
        from = memcpy(c->staging.host + place, from_host, bytes);
    }
    /* from pageable memory the call returns when the source may be reused */
    cuda_check(c, cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, c->stream), "upload");
}

void cuda_download(struct backend *be, void *to_host, const void *from, size_t bytes)
{
    struct cuda_backend *c = cuda_state(be);
    size_t place;
    if (bytes == 0 || !cuda_ready(c))
        return;
    if (bytes > STAGED_MOST) {
        cuda_check(c, cudaMemcpyAsync(to_host, from, bytes, cudaMemcpyDeviceToHost, c->stream), "download");
        return;
    }
    if ((c->n_handovers == MOST_HANDOVERS && !cuda_wait(c)) || !staging_take(c, bytes, &place))
        return;
    char *half_way = c->staging.host + place;
    if (cuda_check(c, cudaMemcpyAsync(half_way, from, bytes, cudaMemcpyDeviceToHost, c->stream), "download"))
        c->handover[c->n_handovers++] = (struct handover){to_host, half_way, bytes};
}

/* A want of memory may pass: once it was told, all goes on, without the downloads of those operations. */
enum status cuda_finish(struct backend *be, struct error *err)
{
    struct cuda_backend *c = cuda_state(be);
    cuda_wait(c);
    enum status status = c->failure.status;
    if (status != STATUS_OK && err)
        *err = c->failure;
    if (status == STATUS_NO_MEMORY && err) {
        c->failure.status = STATUS_OK;
        c->n_handovers = 0;
        cuda_wait(c);
    }
    return status;
}

bool cuda_pending(struct backend *be)
{
    struct cuda_backend *c = cuda_state(be);
    bool pending = cuda_ready(c) && cudaStreamQuery(c->stream) == cudaErrorNotReady;
    if (pending)
        cudaGetLastError(); /* not to be taken for a launch's */
    return pending;
}
