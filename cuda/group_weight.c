#include "cuda/group.h"

#include "base/memory.h"
#include "engine/block.h"

#include <stdlib.h>

/* Blocks beyond F16's range become float32 as a whole or not at all (weight.c), so that is not to be decided
 * of parts. */
static bool can_divide(const struct host_matrix *m)
{
    size_t n = (size_t)m->rows * (size_t)m->cols;
    return m->divides && m->rows > 0 && m->cols > 0 &&
           (!dtype_is_blocks(m->type) || m->cols % BLOCK_WEIGHTS || blocks_fit_f16(m->data, m->type, n));
}

static struct host_matrix rows_of(const struct host_matrix *m, struct share rows)
{
    struct host_matrix part = *m;
    part.data = (const char *)m->data + (size_t)rows.first * dtype_bytes(m->type, (size_t)m->cols);
    part.rows = rows.n;
    return part;
}

enum status group_weight_load(struct backend *be, struct weight **out, const struct host_matrix *m,
                              struct error *err)
{
    struct cuda_group *g = group_state(be);
    struct group_weight *w = xcalloc(1, sizeof *w);
    w->rows = m->rows;
    w->each = can_divide(m) ? share_each(g, m->rows) : 0;
    for (int k = 0; k < g->n; k++) {
        struct share rows = share_of(m->rows, w->each, k);
        struct host_matrix part = rows_of(m, rows);
        if (w->each && rows.n == 0)
            continue;
        enum status status = cuda_weight_load(&g->card[k]->base, &w->card[k], &part, err);
        if (status != STATUS_OK) {
            group_weight_free(be, (struct weight *)(void *)w);
            return error_prefix(err, "device %d", g->card[k]->device);
        }
    }
    *out = (struct weight *)(void *)w;
    return STATUS_OK;
}

void group_weight_free(struct backend *be, struct weight *w)
{
    struct cuda_group *g = group_state(be);
    struct group_weight *own = (struct group_weight *)(void *)w;
    for (int k = 0; w && k < g->n; k++)
        cuda_weight_free(&g->card[k]->base, own->card[k]);
    free(own);
}
