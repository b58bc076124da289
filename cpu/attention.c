#include "cpu/backend_state.h"

#include <assert.h>
#include <string.h>

/* A task is some queries of one span that read the same key/value head: (row, head of the group) pairs, rows
 * first. Keys are walked in blocks that stay in first-level cache while all queries of the task use them; the
 * scores of a query lie end to end in scratch, so the softmax sees all keys at once and neither the blocks
 * nor the queries of a task show in the result. */
enum { MOST_QUERIES = 64, LEAST_QUERIES = 16, QUERY_ROWS = 4, KEYS = 48, MOST_AHEAD = 12 };

struct attention_job {
    struct cpu_backend *c;
    struct tensor out, q;
    struct kv_layer kv;
    const struct row_batch *batch;
    enum mask mask;
    float scale;
    int group;    /* query heads a kv head */
    int queries;  /* of a task, at most */
    size_t pitch; /* floats between the score rows of two queries */
};

struct task_place {
    const struct span *span;
    int kv_head, first, n; /* queries first .. first+n-1 of the span's n_rows * group */
};

static int span_blocks(const struct attention_job *j, const struct span *s)
{
    return (s->n_rows * j->group + j->queries - 1) / j->queries;
}

static int count_tasks(const struct attention_job *j)
{
    int tasks = 0;
    for (int i = 0; i < j->batch->n_spans; i++)
        tasks += span_blocks(j, &j->batch->span[i]) * j->kv.heads;
    return tasks;
}

static struct task_place find_task(const struct attention_job *j, int task)
{
    const struct span *s = j->batch->span;
    for (;; s++) {
        int tasks = span_blocks(j, s) * j->kv.heads;
        if (task < tasks)
            break;
        task -= tasks;
    }
    int blocks = span_blocks(j, s), first = task % blocks * j->queries, n = s->n_rows * j->group - first;
    return (struct task_place){s, task / blocks, first, n < j->queries ? n : j->queries};
}

static int keys_seen(const struct attention_job *j, const struct task_place *t, int query)
{
    int rows = j->mask == MASK_FULL ? t->span->n_rows : (t->first + query) / j->group + 1;
    return t->span->first_position + rows;
}

static float *query_row(const struct attention_job *j, const struct task_place *t, struct tensor x, int query)
{
    int m = t->first + query, head = t->kv_head * j->group + m % j->group;
    return tensor_row(x, t->span->first_row + m / j->group) + (size_t)head * (size_t)j->kv.head_dim;
}

static int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* The keys (or values) of up to KEYS positions: where their rows lie. The rows of a head are far apart in
 * memory, so the processor does not ask for them by itself, and often a power of two apart, so its caches
 * hold only a few of them. More queries than a kernel takes at once therefore use a dense copy, and so do
 * rows that are not float32 in memory; else the kernel asks for the rows `ahead` of the one it uses. */
struct block {
    const float *row[KEYS + MOST_AHEAD]; /* n rows and MOST_AHEAD more */
    int n, ahead;
};

/* A layer's keys or its values. */
struct side {
    const char *memory;
    const float *scale; /* DTYPE_I8 only */
};

static void copy_row(const struct attention_job *j, const struct side *side, float *to, size_t at)
{
    const struct cpu_kernels *k = j->c->k;
    const char *from = side->memory + at * dtype_bytes(j->kv.type, (size_t)j->kv.head_dim);
    if (j->kv.type == DTYPE_I8)
        k->from_i8(to, (const int8_t *)from, side->scale[at], j->kv.head_dim);
    else
        k->to_f32(to, from, j->kv.type, j->kv.head_dim);
}

static void copy_block(struct block *b, const struct attention_job *j, const struct side *side,
                       const size_t *at, int ahead, float *copy)
{
    size_t row = dtype_bytes(j->kv.type, (size_t)j->kv.head_dim);
    for (int i = 0; i < b->n; i++) {
        const char *next = side->memory + at[i + ahead] * row;
        for (size_t k = 0; k < row; k += 64)
            __builtin_prefetch(next + k);
        copy_row(j, side, copy + (size_t)i * (size_t)j->kv.head_dim, at[i]);
        b->row[i] = copy + (size_t)i * (size_t)j->kv.head_dim;
    }
}

static void find_block(struct block *b, const struct attention_job *j, const struct task_place *t,
                       const struct side *side, int from, int all, float *copy)
{
    const int32_t *page = j->batch->page + t->span->first_page;
    size_t at[KEYS + MOST_AHEAD];
    int ahead = clamp(768 / j->kv.head_dim, 1, MOST_AHEAD); /* about 3 KiB of float32 */
    b->n = clamp(all - from, 0, KEYS);
    b->ahead = t->n > QUERY_ROWS || j->kv.type != DTYPE_F32 ? 0 : ahead;
    for (int i = 0; i < b->n + ahead; i++) {
        int p = clamp(from + i, 0, all - 1);
        size_t slot = (size_t)page[p / PAGE_TOKENS] * PAGE_TOKENS + (size_t)(p % PAGE_TOKENS);
        at[i] = slot * (size_t)j->kv.heads + (size_t)t->kv_head;
    }
    if (b->ahead == 0) {
        copy_block(b, j, side, at, ahead, copy);
        return;
    }
    for (int i = 0; i < b->n + ahead; i++)
        b->row[i] = (const float *)(const void *)side->memory + at[i] * (size_t)j->kv.head_dim;
}

static void score_keys(const struct attention_job *j, const struct task_place *t, float *score, float *copy)
{
    int all = keys_seen(j, t, t->n - 1);
    struct side keys_side = {j->kv.key, j->kv.key_scale};
    struct block b;
    for (int from = 0; from < all; from += KEYS) {
        find_block(&b, j, t, &keys_side, from, all, copy);
        for (int m = 0; m < t->n; m += QUERY_ROWS) {
            int rows = clamp(t->n - m, 0, QUERY_ROWS);
            int keys = clamp(keys_seen(j, t, m + rows - 1) - from, 0, KEYS);
            const float *q[QUERY_ROWS];
            for (int r = 0; r < rows; r++)
                q[r] = query_row(j, t, j->q, m + r);
            j->c->k->scores(score + (size_t)m * j->pitch + from, j->pitch, q, rows, b.row, keys, b.ahead,
                            j->kv.head_dim, j->scale);
        }
    }
}

static void weigh_values(const struct attention_job *j, const struct task_place *t, const float *p,
                         float *copy)
{
    const struct cpu_kernels *k = j->c->k;
    int all = keys_seen(j, t, t->n - 1);
    struct side values = {j->kv.value, j->kv.value_scale};
    struct block b;
    for (int from = 0; from < all; from += KEYS) {
        find_block(&b, j, t, &values, from, all, copy);
        for (int m = 0; m < t->n; m += QUERY_ROWS) {
            int rows = clamp(t->n - m, 0, QUERY_ROWS);
            float *out[QUERY_ROWS];
            for (int r = 0; r < rows; r++)
                out[r] = query_row(j, t, j->out, m + r);
            const float *row = p + (size_t)m * j->pitch + from;
            int common = clamp(keys_seen(j, t, m) - from, 0, KEYS);
            if (common)
                k->weigh(out, row, j->pitch, rows, b.row, common, b.ahead, j->kv.head_dim, from > 0);
            for (int r = 1; r < rows; r++) { /* the keys that only later rows see */
                int keys = clamp(keys_seen(j, t, m + r) - from, 0, KEYS);
                if (keys > common)
                    k->weigh(&out[r], row + (size_t)r * j->pitch + common, j->pitch, 1, b.row + common,
                             keys - common, 0, j->kv.head_dim, true);
            }
        }
    }
}

static void attention_task(void *context, int task, int thread)
{
    const struct attention_job *j = context;
    const struct cpu_kernels *k = j->c->k;
    struct task_place t = find_task(j, task);
    float *copy = j->c->scratch[thread], *score = copy + (size_t)KEYS * (size_t)j->kv.head_dim,
          sum[MOST_QUERIES];
    score_keys(j, &t, score, copy);
    for (int m = 0; m < t.n; m++)
        sum[m] = k->softmax(score + (size_t)m * j->pitch, keys_seen(j, &t, m));
    weigh_values(j, &t, score, copy);
    for (int m = 0; m < t.n; m++)
        k->multiply(query_row(j, &t, j->out, m), 1 / sum[m], j->kv.head_dim);
}

void cpu_attention(struct backend *be, struct tensor out, struct tensor q, struct kv_layer kv,
                   const struct row_batch *batch, enum mask mask, float scale)
{
    struct cpu_backend *c = cpu_state(be);
    assert(q.cols % (kv.heads * kv.head_dim) == 0);
    struct attention_job j = {c, out, q, kv, batch, mask, scale, q.cols / (kv.heads * kv.head_dim), 0, 0};
    int most_keys = 0;
    double work = 0;
    for (int i = 0; i < batch->n_spans; i++) {
        const struct span *s = &batch->span[i];
        int keys = s->first_position + s->n_rows;
        most_keys = keys > most_keys ? keys : most_keys;
        work += (double)s->n_rows * keys * q.cols;
    }
    /* the more queries share a block the better, as long as every thread gets some tasks */
    j.queries = MOST_QUERIES;
    while (j.queries > LEAST_QUERIES && count_tasks(&j) < 4 * c->threads)
        j.queries /= 2;
    j.pitch = ((size_t)most_keys + 31) / 16 * 16;
    size_t floats = j.pitch * (size_t)j.queries + (size_t)KEYS * (size_t)kv.head_dim;
    int tasks = count_tasks(&j);
    if (tasks == 0 || !cpu_scratch_reserve(c, floats * sizeof(float)))
        return;
    cpu_for_tasks(c, tasks, work < 100e3, attention_task, &j);
}
