#include "cpu/backend_state.h"
#include "cpu/cpu_features.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static void *cpu_alloc(struct backend *be, size_t bytes)
{
    (void)be;
    return try_malloc_aligned(bytes ? bytes : 1, 1);
}

static void cpu_free(struct backend *be, void *memory)
{
    (void)be;
    free(memory);
}

static void cpu_copy(struct backend *be, void *to, const void *from, size_t bytes)
{
    (void)be;
    if (bytes)
        memcpy(to, from, bytes);
}

static enum status cpu_finish(struct backend *be, struct error *err)
{
    struct cpu_backend *c = cpu_state(be);
    enum status status = c->failure.status;
    if (status != STATUS_OK && err) { /* a want of memory, which may pass */
        *err = c->failure;
        c->failure.status = STATUS_OK;
    }
    return status;
}

bool cpu_scratch_reserve(struct cpu_backend *c, size_t bytes)
{
    if (c->failure.status != STATUS_OK)
        return false;
    if (bytes <= c->scratch_bytes)
        return true;
    for (int i = 0; i < c->threads; i++) {
        free(c->scratch[i]);
        c->scratch[i] = NULL;
    }
    c->scratch_bytes = 0;
    for (int i = 0; i < c->threads; i++) {
        c->scratch[i] = try_malloc_aligned(bytes, 1);
        if (!c->scratch[i]) {
            error_set(&c->failure, STATUS_NO_MEMORY,
                      "no memory for %zu bytes of scratch on each of %d threads", bytes, c->threads);
            return false;
        }
    }
    c->scratch_bytes = bytes;
    return true;
}

struct ranges {
    struct cpu_backend *backend;
    range_task *task;
    void *context;
    int n, chunk;
};

static void run_range(void *context, int task, int thread)
{
    const struct ranges *r = context;
    int first = task * r->chunk;
    r->task(r->backend, r->context, first, r->n - first < r->chunk ? r->n - first : r->chunk, thread);
}

void cpu_for_ranges(struct cpu_backend *c, int n, double cost, range_task *task, void *context)
{
    enum { TASK_NANOSECONDS = 10 * 1000, TASKS_PER_THREAD = 4 };
    if (n <= 0 || c->failure.status != STATUS_OK)
        return;
    double chunks = n * cost / TASK_NANOSECONDS;
    int limit = c->threads * TASKS_PER_THREAD;
    int tasks = chunks < 2 ? 1 : chunks > limit ? limit : (int)chunks;
    int chunk = (n + tasks - 1) / tasks;
    struct ranges r = {c, task, context, n, chunk};
    cpu_for_tasks(c, (n + chunk - 1) / chunk, tasks == 1, run_range, &r);
}

void cpu_for_tasks(struct cpu_backend *c, int n, bool small, pool_task *task, void *context)
{
    if (!small) {
        thread_pool_run(c->pool, n, task, context);
        return;
    }
    for (int i = 0; i < n; i++)
        task(context, i, 0);
}

static const struct backend_ops cpu_ops = {
    .name = "cpu",
    .cache_types = 1u << DTYPE_BF16 | 1u << DTYPE_I8,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_copy,
    .download = cpu_copy,
    .finish = cpu_finish,
    .weight_load = cpu_weight_load,
    .weight_free = cpu_weight_free,
    .embed = cpu_embed,
    .gather = cpu_gather,
    .scatter = cpu_scatter,
    .linear = cpu_linear,
    .rms_norm = cpu_rms_norm,
    .layer_norm = cpu_layer_norm,
    .silu_mul = cpu_silu_mul,
    .add = cpu_add,
    .kv_write = cpu_kv_write,
    .rope_write = cpu_rope_write,
    .norm_write = cpu_norm_write,
    .attention = cpu_attention,
    .conv2d = cpu_conv2d,
    .group_norm = cpu_group_norm,
    .resize = cpu_resize,
    .guide = cpu_guide,
    .noise = cpu_noise,
    .edit_logits = cpu_edit_logits,
    .sample = cpu_sample,
    .nearest = cpu_nearest,
};

enum status cpu_backend_open(struct backend **out, int threads, enum cpu_level level, struct error *err)
{
    struct cpu_backend *c = xcalloc(1, sizeof *c);
    c->base.op = &cpu_ops;
    c->threads = threads > 0 ? threads : cpu_count_usable(NULL);
    c->scratch = xcalloc((size_t)c->threads, sizeof *c->scratch);
    c->k = cpu_kernels_get(level);
    size_t rows = cpu_l2_bytes() / 4 / (MATMUL_BLOCK * sizeof(float));
    c->panel_rows = rows < 48 ? 48 : rows > 192 ? 192 : (int)rows / 4 * 4;
    enum status status = thread_pool_open(&c->pool, c->threads, err);
    if (status != STATUS_OK) {
        cpu_backend_close(&c->base);
        return status;
    }
    *out = &c->base;
    return STATUS_OK;
}

void cpu_backend_close(struct backend *be)
{
    if (!be)
        return;
    struct cpu_backend *c = cpu_state(be);
    thread_pool_close(c->pool);
    for (int i = 0; i < c->threads; i++)
        free(c->scratch[i]);
    free(c->scratch);
    free(c);
}

int cpu_backend_threads(const struct backend *be)
{
    return ((const struct cpu_backend *)be)->threads;
}

enum cpu_level cpu_backend_level(const struct backend *be)
{
    return ((const struct cpu_backend *)be)->k->level;
}
