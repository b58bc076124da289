#include "cpu/backend_state.h"

#include <string.h>

/* Operations that treat each row by itself: one context for all, the row range split over the threads. */
struct row_job {
    struct tensor out, x, y;
    const float *a, *b;
    const int32_t *index;
    const struct weight *table;
    struct residual residual;
    float eps;
};

static size_t row_bytes(struct tensor t)
{
    return (size_t)t.cols * sizeof(float);
}

static void embed_rows(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)thread;
    const struct row_job *j = context;
    for (int r = first; r < first + n; r++)
        c->k->to_f32(tensor_row(j->out, r), weight_row(j->table, j->index[r]), j->table->type, j->out.cols);
}

void cpu_embed(struct backend *be, struct tensor out, const struct weight *table, const int32_t *index)
{
    struct row_job j = {.out = out, .table = table, .index = index};
    cpu_for_ranges(cpu_state(be), out.rows, out.cols * 0.2, embed_rows, &j);
}

static void gather_rows(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)c;
    (void)thread;
    const struct row_job *j = context;
    for (int r = first; r < first + n; r++)
        memcpy(tensor_row(j->out, r), tensor_row(j->x, j->index[r]), row_bytes(j->out));
}

void cpu_gather(struct backend *be, struct tensor out, struct tensor x, const int32_t *index)
{
    struct row_job j = {.out = out, .x = x, .index = index};
    cpu_for_ranges(cpu_state(be), out.rows, out.cols * 0.2, gather_rows, &j);
}

static void scatter_rows(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)c;
    (void)thread;
    const struct row_job *j = context;
    for (int r = first; r < first + n; r++)
        memcpy(tensor_row(j->out, j->index[r]), tensor_row(j->x, r), row_bytes(j->x));
}

void cpu_scatter(struct backend *be, struct tensor out, const int32_t *index, struct tensor x)
{
    struct row_job j = {.out = out, .x = x, .index = index};
    cpu_for_ranges(cpu_state(be), x.rows, x.cols * 0.2, scatter_rows, &j);
}

static void add_residual(struct cpu_backend *c, const struct row_job *j, int row)
{
    if (j->residual.y.cols > 0)
        c->k->add(tensor_row(j->x, row), tensor_row(j->residual.y, row), j->residual.scale, j->x.cols);
}

static void rms_norm_rows(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)thread;
    const struct row_job *j = context;
    for (int r = first; r < first + n; r++) {
        add_residual(c, j, r);
        c->k->rms_norm(tensor_row(j->out, r), tensor_row(j->x, r), j->x.cols, j->a, j->eps);
    }
}

void cpu_rms_norm(struct backend *be, struct tensor out, struct tensor x, struct residual residual,
                  const float *weight, float eps)
{
    struct row_job j = {.out = out, .x = x, .residual = residual, .a = weight, .eps = eps};
    cpu_for_ranges(cpu_state(be), x.rows, x.cols * 0.4, rms_norm_rows, &j);
}

static void layer_norm_rows(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)thread;
    const struct row_job *j = context;
    for (int r = first; r < first + n; r++) {
        add_residual(c, j, r);
        c->k->layer_norm(tensor_row(j->out, r), tensor_row(j->x, r), j->x.cols, j->a, j->b, j->eps);
    }
}

void cpu_layer_norm(struct backend *be, struct tensor out, struct tensor x, struct residual residual,
                    const float *weight, const float *bias, float eps)
{
    struct row_job j = {.out = out, .x = x, .residual = residual, .a = weight, .b = bias, .eps = eps};
    cpu_for_ranges(cpu_state(be), x.rows, x.cols * 0.6, layer_norm_rows, &j);
}

static void silu_mul_rows(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)thread;
    const struct row_job *j = context;
    for (int r = first; r < first + n; r++)
        c->k->silu_mul(tensor_row(j->out, r), tensor_row(j->x, r), tensor_row(j->y, r), j->x.cols);
}

void cpu_silu_mul(struct backend *be, struct tensor out, struct tensor gate, struct tensor up)
{
    struct row_job j = {.out = out, .x = gate, .y = up};
    cpu_for_ranges(cpu_state(be), gate.rows, gate.cols * 1.0, silu_mul_rows, &j);
}

static void add_rows(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)thread;
    const struct row_job *j = context;
    for (int r = first; r < first + n; r++)
        c->k->add(tensor_row(j->x, r), tensor_row(j->y, r), j->a, j->x.cols);
}

void cpu_add(struct backend *be, struct tensor x, struct tensor y, const float *scale)
{
    struct row_job j = {.x = x, .y = y, .a = scale};
    cpu_for_ranges(cpu_state(be), x.rows, x.cols * 0.2, add_rows, &j);
}

static void guide_rows(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)thread;
    const struct row_job *j = context;
    for (int r = first; r < first + n; r++)
        c->k->guide(tensor_row(j->out, r), tensor_row(j->x, r), tensor_row(j->y, r), j->a[r], j->x.cols);
}

void cpu_guide(struct backend *be, struct tensor out, struct tensor cond, struct tensor uncond,
               const float *t)
{
    struct row_job j = {.out = out, .x = cond, .y = uncond, .a = t};
    cpu_for_ranges(cpu_state(be), cond.rows, cond.cols * 0.3, guide_rows, &j);
}
