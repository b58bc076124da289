/* Which columns are parted, and gathering them.
 *
 * What is parted may be out of use, since nobody says when a tensor is. It is forgotten when its memory is
 * written, as a whole or freed, and gathered before it is written in part: later, that would undo the
 * writing. */
#include "cuda/group.h"

#include <assert.h>

/* ---- gathering ---- */

static float *column(struct tensor t, int first)
{
    return (float *)t.data + first;
}

/* `cols` columns of `rows` rows, strides in floats. */
static void copy_columns(struct cuda_backend *c, float *to, int to_stride, const float *from, int from_stride,
                         int rows, int cols)
{
    size_t size = sizeof(float);
    if (cols > 0 && cuda_ready(c))
        cuda_check(c,
                   cudaMemcpy2DAsync(to, (size_t)to_stride * size, from, (size_t)from_stride * size,
                                     (size_t)cols * size, (size_t)rows, cudaMemcpyDeviceToDevice, c->stream),
                   "copying columns");
}

static void exchange(struct cuda_group *g, float *const whole[], size_t count)
{
    const float *part[CUDA_MOST_CARDS];
    cudaStream_t stream[CUDA_MOST_CARDS];
    for (int k = 0; k < g->n; k++) {
        part[k] = whole[k] + (size_t)k * count;
        stream[k] = g->card[k]->stream;
    }
    if (group_ready(g))
        nccl_gather(g->nccl, whole, part, count, stream, &g->card[0]->failure);
}

/* Cards of one row that is theirs in equal parts have them where they belong. */
static void gather_row(struct cuda_group *g, struct tensor t, int each)
{
    float *row[CUDA_MOST_CARDS];
    for (int k = 0; k < g->n; k++)
        row[k] = group_tensor(g, k, t).data;
    exchange(g, row, (size_t)each);
}

/* Otherwise parts are brought together in scratch memory, [cards][rows][each], and taken apart there. */
static void gather_rows(struct cuda_group *g, struct tensor t, int each)
{
    float *scratch[CUDA_MOST_CARDS];
    size_t count = (size_t)t.rows * (size_t)each;
    for (int k = 0; k < g->n; k++) {
        struct share own = share_of(t.cols, each, k);
        if (!cuda_ready(g->card[k]) ||
            !(scratch[k] = cuda_scratch(g->card[k], (size_t)g->n * count * sizeof(float))))
            return;
        copy_columns(g->card[k], scratch[k] + (size_t)k * count, each,
                     column(group_tensor(g, k, t), own.first), t.stride, t.rows, own.n);
    }
    exchange(g, scratch, count);
    for (int k = 0; k < g->n && group_ready(g); k++) {
        struct tensor to = group_tensor(g, k, t);
        for (int from = 0; from < g->n; from++) {
            struct share other = share_of(t.cols, each, from);
            if (from != k)
                copy_columns(g->card[k], column(to, other.first), t.stride, scratch[k] + (size_t)from * count,
                             each, t.rows, other.n);
        }
    }
}

/* ---- which ---- */

static bool same_view(struct tensor a, struct tensor b)
{
    return a.data == b.data && a.rows == b.rows && a.cols == b.cols && a.stride == b.stride;
}

static uintptr_t begin(struct tensor t)
{
    return (uintptr_t)t.data;
}

static uintptr_t end(struct tensor t)
{
    size_t values = t.rows > 0 && t.cols > 0 ? (size_t)(t.rows - 1) * (size_t)t.stride + (size_t)t.cols : 0;
    return begin(t) + values * sizeof(float);
}

/* Columns of the same rows lie between each other without overlapping. */
static bool overlap(struct tensor a, struct tensor b)
{
    if (begin(a) >= end(b) || begin(b) >= end(a))
        return false;
    if (a.stride != b.stride)
        return true;
    struct tensor left = begin(a) < begin(b) ? a : b, right = begin(a) < begin(b) ? b : a;
    size_t stride = (size_t)left.stride, apart = (begin(right) - begin(left)) / sizeof(float) % stride;
    return apart < (size_t)left.cols || apart + (size_t)right.cols > stride;
}

/* Whether all of b is part of a. */
static bool covers(struct tensor a, struct tensor b)
{
    bool dense = a.rows == 1 || a.stride == a.cols;
    return same_view(a, b) || (dense && begin(a) <= begin(b) && end(b) <= end(a));
}

static void forget(struct cuda_group *g, int i)
{
    for (g->n_parted--; i < g->n_parted; i++)
        g->parted[i] = g->parted[i + 1];
}

static void gather(struct cuda_group *g, int i)
{
    struct parted p = g->parted[i];
    forget(g, i);
    if (!group_ready(g))
        return;
    if (p.t.rows == 1 && p.t.cols == g->n * p.each)
        gather_row(g, p.t, p.each);
    else
        gather_rows(g, p.t, p.each);
}

void group_read(struct cuda_group *g, struct tensor t)
{
    for (int i = g->n_parted - 1; i >= 0; i--) {
        if (overlap(g->parted[i].t, t))
            gather(g, i);
    }
}

void group_read_all(struct cuda_group *g)
{
    while (g->n_parted > 0)
        gather(g, g->n_parted - 1);
}

void group_write(struct cuda_group *g, struct tensor t)
{
    for (int i = g->n_parted - 1; i >= 0; i--) {
        if (covers(t, g->parted[i].t))
            forget(g, i);
        else if (overlap(t, g->parted[i].t))
            gather(g, i);
    }
}

void group_write_bytes(struct cuda_group *g, const void *memory, size_t bytes)
{
    int floats = (int)((bytes + sizeof(float) - 1) / sizeof(float));
    group_write(g, (struct tensor){(void *)(uintptr_t)memory, DTYPE_F32, 1, floats, floats});
}

void group_write_parted(struct cuda_group *g, struct tensor t, int each)
{
    group_write(g, t);
    if (t.rows <= 0 || t.cols <= 0)
        return;
    if (g->n_parted == MOST_PARTED)
        gather(g, 0);
    g->parted[g->n_parted++] = (struct parted){t, each};
}

int group_parted(const struct cuda_group *g, struct tensor t)
{
    for (int i = 0; i < g->n_parted; i++) {
        if (same_view(g->parted[i].t, t))
            return g->parted[i].each;
    }
    return 0;
}

void group_forget(struct cuda_group *g, const void *memory, size_t bytes)
{
    for (int i = g->n_parted - 1; i >= 0; i--) {
        if (!memory || begin(g->parted[i].t) - (uintptr_t)memory < bytes)
            forget(g, i);
    }
}
