#include "cuda/cuda_backend.h"

#include "cuda/backend_state.h"
#include "cuda/group.h"

#include "base/log.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>

static enum status cuda_aside(struct backend *, struct backend **out, struct error *);
static void cuda_after(struct backend *, struct backend *other);

static const struct backend_ops cuda_ops = {
    .name = "cuda",
    .cache_types = 1u << DTYPE_BF16 | 1u << DTYPE_I8,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .memory_left = cuda_memory_left,
    .reserve = cuda_reserve,
    .upload = cuda_upload,
    .download = cuda_download,
    .finish = cuda_finish,
    .aside = cuda_aside,
    .after = cuda_after,
    .pending = cuda_pending,
    .replay = cuda_replay,
    .replay_end = cuda_replay_end,
    .weight_load = cuda_weight_load,
    .weight_free = cuda_weight_free,
    .embed = cuda_embed,
    .gather = cuda_gather,
    .scatter = cuda_scatter,
    .linear = cuda_linear,
    .rms_norm = cuda_rms_norm,
    .layer_norm = cuda_layer_norm,
    .silu_mul = cuda_silu_mul,
    .add = cuda_add,
    .kv_write = cuda_kv_write,
    .rope_write = cuda_rope_write,
    .norm_write = cuda_norm_write,
    .attention = cuda_attention,
    .conv2d = cuda_conv2d,
    .group_norm = cuda_group_norm,
    .resize = cuda_resize,
    .guide = cuda_guide,
    .noise = cuda_noise,
    .edit_logits = cuda_edit_logits,
    .sample = cuda_sample,
    .nearest = cuda_nearest,
};

/* Where there is no driver at all, CUDA calls it too old. */
static const char *explain(cudaError_t error)
{
    int version = 0;
    if (error == cudaErrorInsufficientDriver && cudaDriverGetVersion(&version) == cudaSuccess && version == 0)
        return "there is no NVIDIA driver here (libcuda.so.1)";
    return cudaGetErrorString(error);
}

int cuda_device_count(const char **why)
{
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (why)
        *why = explain(error);
    if (error == cudaSuccess)
        return count;
    cudaGetLastError();
    return 0;
}

static void describe(struct cuda_backend *c)
{
    struct cudaDeviceProp p;
    if (cudaGetDeviceProperties(&p, c->device) == cudaSuccess)
        snprintf(c->name, sizeof c->name, "%s, sm_%d%d, %.0f GiB", p.name, p.major, p.minor,
                 (double)p.totalGlobalMem / (1 << 30));
}

/* ---- lines: a stream each, with its own staging and scratch memory ---- */

static void close_line(struct cuda_backend *c)
{
    if (!c)
        return;
    cuda_graphs_close(c);
    if (c->place)
        cudaEventDestroy(c->place);
    if (c->stream)
        cudaStreamDestroy(c->stream);
    cuda_memory_close(c);
    free(c);
}

static enum status open_line(struct cuda_backend **out, int device, struct card_arena *arena,
                             struct error *err)
{
    struct cuda_backend *c = xcalloc(1, sizeof *c);
    c->base.op = &cuda_ops;
    c->device = device;
    c->arena = arena;
    if (cuda_ready(c) &&
        cuda_check(c, cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking), "making a stream") &&
        cuda_check(c, cudaEventCreateWithFlags(&c->place, cudaEventDisableTiming), "making an event") &&
        cuda_memory_open(c)) {
        *out = c;
        return STATUS_OK;
    }
    error_set(err, STATUS_DEVICE, "%s", c->failure.message);
    close_line(c);
    return STATUS_DEVICE;
}

static enum status cuda_aside(struct backend *be, struct backend **out, struct error *err)
{
    struct cuda_backend *c = cuda_state(be);
    if (!c->aside) {
        if (open_line(&c->aside, c->device, c->arena, err))
            return STATUS_DEVICE;
        c->aside->base.rows_vary = c->base.rows_vary;
        c->aside->fast = c->fast;
        c->aside->blas_lt = c->blas_lt;
        c->aside->cudnn = c->cudnn;
    }
    *out = &c->aside->base;
    return STATUS_OK;
}

static void cuda_after(struct backend *be, struct backend *other)
{
    struct cuda_backend *c = cuda_state(be), *o = cuda_state(other);
    if (cuda_ready(c) && cuda_check(c, cudaEventRecord(o->place, o->stream), "an event"))
        cuda_check(c, cudaStreamWaitEvent(c->stream, o->place, 0), "waiting for an event");
}

/* ---- opening and closing ---- */

static enum status open_card(struct cuda_backend **out, int device, size_t memory, struct error *err)
{
    struct card_arena *arena;
    cudaError_t error = cudaSetDevice(device);
    if (error != cudaSuccess)
        return error_set(err, STATUS_DEVICE, "cuda: device %d: %s", device, cudaGetErrorString(error));
    if (card_arena_open(&arena, memory, err))
        return STATUS_DEVICE;
    if (open_line(out, device, arena, err) == STATUS_OK)
        return STATUS_OK;
    card_arena_close(arena);
    return STATUS_DEVICE;
}

enum status cuda_backend_open(struct backend **out, int device, size_t memory, struct error *err)
{
    const char *why;
    int count = cuda_device_count(&why);
    if (count == 0)
        return error_set(err, STATUS_DEVICE, "cuda: %s", why);
    if (device < 0 || device >= count)
        return error_set(err, STATUS_DEVICE, "cuda: there is no device %d, the last one is %d", device,
                         count - 1);
    struct cuda_backend *c;
    if (open_card(&c, device, memory, err))
        return STATUS_DEVICE;
    cuda_graphs_open(c);
    describe(c);
    *out = &c->base;
    return STATUS_OK;
}

static bool is_group(const struct backend *be)
{
    return be->op == &cuda_group_ops;
}

void cuda_backend_close(struct backend *be)
{
    if (!be)
        return;
    if (is_group(be)) {
        cuda_group_close(group_state(be));
        return;
    }
    struct cuda_backend *c = cuda_state(be);
    cudaSetDevice(c->device);
    cudaStreamSynchronize(c->stream);
    if (c->aside)
        cudaStreamSynchronize(c->aside->stream);
    blas_lt_close(c->blas_lt);
    cudnn_close(c->cudnn);
    struct card_arena *arena = c->arena;
    close_line(c->aside);
    close_line(c);
    card_arena_close(arena);
}

void cuda_backend_set_fast(struct backend *be, bool fast)
{
    if (!is_group(be)) {
        cuda_state(be)->fast = fast;
        return;
    }
    for (int k = 0; k < group_state(be)->n; k++)
        cuda_backend_set_fast(&group_state(be)->card[k]->base, fast);
}

void cuda_backend_set_graphs(struct backend *be, bool on)
{
    if (is_group(be)) /* which launches all passes one by one */
        return;
    struct cuda_backend *c = cuda_state(be);
    if (!on)
        cuda_graphs_close(c);
    else if (!c->graphs)
        cuda_graphs_open(c);
}

static void tell_missing(const char *what, const struct error *why)
{
    log_warning("cuda: %s by our own kernels: %s", what, why->message);
}

static void use_libraries_of_all(struct cuda_group *g)
{
    for (int k = 0; k < g->n; k++) {
        cuda_backend_use_libraries(&g->card[k]->base);
        g->base.rows_vary |= g->card[k]->base.rows_vary;
    }
}

void cuda_backend_use_libraries(struct backend *be)
{
    if (is_group(be)) {
        use_libraries_of_all(group_state(be));
        return;
    }
    struct cuda_backend *c = cuda_state(be);
    struct error why = {0};
    if (!c->fast || !cuda_ready(c))
        return;
    if (blas_lt_open(&c->blas_lt, &why) != STATUS_OK)
        tell_missing("products", &why);
    if (cudnn_open(&c->cudnn, &why) != STATUS_OK)
        tell_missing("convolutions", &why);
    be->rows_vary = c->blas_lt || c->cudnn;
}

void cuda_backend_describe(const struct backend *be, char *text, size_t size)
{
    if (is_group(be)) {
        cuda_group_describe((const struct cuda_group *)be, text, size);
        return;
    }
    const struct cuda_backend *c = (const struct cuda_backend *)be;
    snprintf(text, size, "cuda (%s, %s%s%s)", c->name, c->fast ? "fast" : "exact",
             c->blas_lt ? ", cuBLASLt" : "", c->cudnn ? ", cuDNN" : "");
}
