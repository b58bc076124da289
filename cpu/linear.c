#include "cpu/backend_state.h"

#include <assert.h>

enum { TASKS_PER_THREAD = 4, WIDEST_TILES = 128 };

struct linear_job {
    struct cpu_backend *c;
    struct tensor out, x;
    const struct weight *w;
    const float *bias;
    enum activation activation;
    int panel, chunk, chunks; /* a task is a panel of rows by a chunk of outputs */
};

static int at_most(int value, int limit)
{
    return value < limit ? value : limit;
}

static void linear_task(void *context, int task, int thread)
{
    const struct linear_job *j = context;
    const struct cpu_kernels *k = j->c->k;
    int row = task / j->chunks * j->panel, output = task % j->chunks * j->chunk;
    int rows = at_most(j->panel, j->out.rows - row), outputs = at_most(j->chunk, j->out.cols - output);
    k->matmul(&(struct matmul){
        .out = tensor_row(j->out, row) + output,
        .x = tensor_row(j->x, row),
        .w = weight_row(j->w, output),
        .out_stride = (size_t)j->out.stride,
        .x_stride = (size_t)j->x.stride,
        .w_pitch = dtype_bytes(j->w->type, (size_t)j->w->cols),
        .type = j->w->type,
        .rows = rows,
        .outputs = outputs,
        .inner = j->w->cols,
        .scratch = j->c->scratch[thread],
    });
    if (!j->bias && j->activation == ACT_NONE)
        return;
    for (int r = row; r < row + rows; r++)
        k->bias_act(tensor_row(j->out, r) + output, outputs, j->bias ? j->bias + output : NULL,
                    j->activation);
}

void cpu_linear(struct backend *be, struct tensor out, struct tensor x, const struct weight *w,
                const float *bias, enum activation activation)
{
    struct cpu_backend *c = cpu_state(be);
    assert(x.cols == w->cols && out.cols == w->rows && out.rows == x.rows);
    if (out.rows <= 0 || !cpu_scratch_reserve(c, MATMUL_SCRATCH))
        return;
    struct linear_job j = {c, out, x, w, bias, activation, 0, 0, 0};
    double work = (double)out.rows * out.cols * x.cols;
    bool small = work < 200e3;
    j.panel = at_most(out.rows, c->panel_rows);
    int panels = (out.rows + j.panel - 1) / j.panel;
    /* some tasks a thread, of whole tiles, so that one that is held up does not hold up the others for long;
     * each wide enough that fetching the rows' block into its cache is small beside the work on it */
    int tiles = (out.cols + MATMUL_TILE - 1) / MATMUL_TILE, want = small ? 1 : TASKS_PER_THREAD * c->threads;
    int tiles_each = (tiles + want - 1) / want;
    j.chunk = at_most(tiles_each, WIDEST_TILES) * MATMUL_TILE;
    j.chunks = (out.cols + j.chunk - 1) / j.chunk;
    cpu_for_tasks(c, panels * j.chunks, small, linear_task, &j);
}
