#include "cpu/backend_state.h"

#include "base/random.h"

#include <assert.h>
#include <string.h>

struct choose_job {
    struct tensor x;
    const struct noise_row *noise;
    const struct choice_row *how;
    const float *table;
    int table_rows;
    int32_t *chosen;
};

static void noise_rows(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)c;
    (void)thread;
    const struct choose_job *j = context;
    for (int r = first; r < first + n; r++) {
        const struct noise_row *row = &j->noise[r];
        float *out = tensor_row(j->x, r);
        for (int i = 0; i < j->x.cols; i += 4) {
            float four[4];
            random_normal4(four, row->seed, (uint32_t)i / 4, row->position, row->ordinal);
            memcpy(out + i, four, (size_t)(j->x.cols - i < 4 ? j->x.cols - i : 4) * sizeof(float));
        }
    }
}

void cpu_noise(struct backend *be, struct tensor out, const struct noise_row *row)
{
    struct choose_job j = {.x = out, .noise = row};
    cpu_for_ranges(cpu_state(be), out.rows, out.cols * 30.0, noise_rows, &j);
}

void cpu_edit_logits(struct backend *be, struct tensor logits, const struct logit_edit *edit, int n)
{
    (void)be;
    for (int i = 0; i < n; i++) {
        float *logit = tensor_row(logits, edit[i].row) + edit[i].id, l = *logit;
        l = l > 0 ? l / edit[i].repetition : l * edit[i].repetition;
        *logit = l - edit[i].less + edit[i].more;
    }
}

static void sample_rows(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    const struct choose_job *j = context;
    for (int r = first; r < first + n; r++)
        j->chosen[r] =
            choice_draw(tensor_row(j->x, r), j->x.cols, &j->how[r].filter, j->how[r].u, c->scratch[thread]);
}

void cpu_sample(struct backend *be, int32_t *out, struct tensor logits, const struct choice_row *how)
{
    if (!cpu_scratch_reserve(cpu_state(be), (size_t)logits.cols * sizeof(float)))
        return;
    struct choose_job j = {.x = logits, .how = how, .chosen = out};
    cpu_for_ranges(cpu_state(be), logits.rows, logits.cols * 10.0, sample_rows, &j);
}

static void nearest_rows(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)thread;
    const struct choose_job *j = context;
    for (int r = first; r < first + n; r++)
        j->chosen[r] = c->k->nearest(tensor_row(j->x, r), j->table, j->table_rows, j->x.cols);
}

void cpu_nearest(struct backend *be, int32_t *out, struct tensor x, const struct weight *table)
{
    struct cpu_backend *c = cpu_state(be);
    assert(table->cols == x.cols);
    size_t values = (size_t)table->rows * (size_t)table->cols;
    if (!cpu_scratch_reserve(c, values * sizeof(float)))
        return;
    struct choose_job j = {.x = x, .table = table->data, .table_rows = table->rows, .chosen = out};
    if (table->type != DTYPE_F32) {
        float *copy = c->scratch[0]; /* the caller's; the kernel needs none */
        for (int r = 0; r < table->rows; r++)
            c->k->to_f32(copy + (size_t)r * (size_t)table->cols, weight_row(table, r), table->type,
                         table->cols);
        j.table = copy;
    }
    cpu_for_ranges(c, x.rows, (double)values * 0.3, nearest_rows, &j);
}
