#include "cuda/backend_state.h"

#include <assert.h>
#include <string.h>

enum { STAGING_BYTES = 8 << 20, STAGED_MOST = 4 << 20 }; /* copies of more go in pieces */

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

/* A want of memory that is noted, with what may help. */
static void note_exhausted(struct cuda_backend *c, size_t bytes, const char *what)
{
    if (c->failure.status == STATUS_OK)
        error_set(&c->failure, STATUS_NO_MEMORY,
                  "cuda: no %zu KiB of %s: the card's %zu MiB are taken; a smaller --cache leaves more, a "
                  "larger --device-memory gives more",
                  (bytes + 1023) >> 10, what, card_arena_size(c->arena) >> 20);
}

bool cuda_memory_open(struct cuda_backend *c)
{
    struct staging *s = &c->staging;
    s->bytes = STAGING_BYTES;
    if (!cuda_check(c, cudaHostAlloc((void **)&s->host, s->bytes, cudaHostAllocDefault), "pinned memory"))
        return false;
    if (!(s->device = card_arena_take(c->arena, s->bytes)))
        note_exhausted(c, s->bytes, "staging memory");
    return s->device;
}

void cuda_memory_close(struct cuda_backend *c)
{
    card_arena_give_back(c->arena, c->scratch);
    card_arena_give_back(c->arena, c->staging.device);
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
    /* until then it is in use, and so are graphs */
    if (!cuda_check(c, cudaStreamSynchronize(c->stream), "waiting"))
        return NULL;
    card_arena_give_back(c->arena, c->scratch);
    cuda_graphs_forget(c);
    c->scratch_bytes = 0;
    if ((c->scratch = card_arena_take(c->arena, bytes)))
        c->scratch_bytes = bytes;
    else
        note_exhausted(c, bytes, "scratch memory");
    return c->scratch;
}

/* At least the scratch memory that operations within those limits take, one at a time. */
static size_t most_scratch(const struct cuda_backend *c, const struct work_limits *m)
{
    const struct attention_shape shape = {.single_rows = m->single_rows,
                                          .single_splits = cuda_splits(m->keys),
                                          .kv_heads = m->heads,
                                          .group = 1,
                                          .head_dim = m->head_dim};
    const size_t each[] = {
        m->single_rows > 0 ? attention_scratch(&shape) : 0,
        m->picture_side > 0 ? group_norm_scratch(m->picture_side * m->picture_side, m->channels) : 0,
        blas_lt_scratch(c->blas_lt, m),
        cudnn_scratch(c->cudnn, m),
    };
    size_t most = 0;
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        most = each[i] > most ? each[i] : most;
    return most;
}

enum status cuda_reserve(struct backend *be, const struct work_limits *limits, struct error *err)
{
    struct cuda_backend *c = cuda_state(be);
    size_t bytes = most_scratch(c, limits);
    if (cuda_ready(c) && bytes > 0)
        cuda_scratch(c, bytes);
    return cuda_finish(be, err);
}

size_t cuda_memory_left(struct backend *be)
{
    return card_arena_left(cuda_state(be)->arena);
}

void *cuda_alloc(struct backend *be, size_t bytes)
{
    struct cuda_backend *c = cuda_state(be);
    return cuda_ready(c) ? card_arena_take(c->arena, bytes) : NULL; /* the caller hears of it by the NULL */
}

void cuda_free(struct backend *be, void *memory)
{
    card_arena_give_back(cuda_state(be)->arena, memory);
}

/* Copies go through pinned memory, in pieces if need be; only where that is full they wait. */
static size_t piece_of(size_t bytes)
{
    return bytes < STAGED_MOST ? bytes : STAGED_MOST;
}

void cuda_upload(struct backend *be, void *to, const void *from_host, size_t bytes)
{
    struct cuda_backend *c = cuda_state(be);
    const char *from = from_host;
    size_t place;
    for (size_t at = 0, n; at < bytes; at += n) {
        n = piece_of(bytes - at);
        if (!cuda_ready(c) || !staging_take(c, n, &place))
            return;
        char *half_way = memcpy(c->staging.host + place, from + at, n);
        cuda_check(c, cudaMemcpyAsync((char *)to + at, half_way, n, cudaMemcpyHostToDevice, c->stream),
                   "upload");
    }
}

void cuda_download(struct backend *be, void *to_host, const void *from, size_t bytes)
{
    struct cuda_backend *c = cuda_state(be);
    size_t place;
    for (size_t at = 0, n; at < bytes; at += n) {
        n = piece_of(bytes - at);
        if (!cuda_ready(c) || (c->n_handovers == MOST_HANDOVERS && !cuda_wait(c)) ||
            !staging_take(c, n, &place))
            return;
        char *half_way = c->staging.host + place;
        const char *piece = (const char *)from + at;
        if (cuda_check(c, cudaMemcpyAsync(half_way, piece, n, cudaMemcpyDeviceToHost, c->stream), "download"))
            c->handover[c->n_handovers++] = (struct handover){(char *)to_host + at, half_way, n};
    }
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
