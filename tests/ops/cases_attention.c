#include "check.h"

#include "base/memory.h"
#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A batch of spans over a cache whose pages are dealt at random; slots that no span holds are NaN. */
struct scene {
    struct row_batch batch;
    struct span *span;
    int32_t *position, *slot, *page;
    struct kv_layer kv;
    size_t cache_floats;
    int rows;
};

static void scene_init(struct check *c, struct scene *s, const int (*shape)[2], int spans, int heads,
                       int head_dim)
{
    *s = (struct scene){.span = xcalloc((size_t)spans, sizeof *s->span)};
    int pages = 0;
    for (int i = 0; i < spans; i++) {
        s->span[i] = (struct span){s->rows, shape[i][0], shape[i][1], pages};
        s->rows += shape[i][0];
        pages += (shape[i][0] + shape[i][1] + PAGE_TOKENS - 1) / PAGE_TOKENS;
    }
    int all_pages = pages + 3;
    s->page = xcalloc((size_t)all_pages, sizeof *s->page);
    for (int i = 0; i < all_pages; i++) {
        int at = random_int(c, 0, i);
        s->page[i] = s->page[at];
        s->page[at] = i;
    }
    s->position = xcalloc((size_t)s->rows, sizeof *s->position);
    s->slot = xcalloc((size_t)s->rows, sizeof *s->slot);
    size_t width = (size_t)heads * (size_t)head_dim;
    s->cache_floats = (size_t)all_pages * PAGE_TOKENS * width;
    struct matrix key = matrix_new(all_pages * PAGE_TOKENS, (int)width, (int)width), value = matrix_like(key);
    for (int i = 0; i < spans; i++) {
        struct span *p = &s->span[i];
        for (int t = 0; t < p->first_position + p->n_rows; t++) {
            int slot = s->page[p->first_page + t / PAGE_TOKENS] * PAGE_TOKENS + t % PAGE_TOKENS;
            random_floats(c, tensor_row(key.t, slot), width);
            random_floats(c, tensor_row(value.t, slot), width);
            if (t >= p->first_position) {
                s->position[p->first_row + t - p->first_position] = t;
                s->slot[p->first_row + t - p->first_position] = slot;
            }
        }
    }
    s->kv = (struct kv_layer){key.memory, value.memory, DTYPE_F32, heads, head_dim};
    s->batch = (struct row_batch){s->rows, spans, s->span, s->span, s->position, s->slot, s->page};
}

static void scene_release(struct scene *s)
{
    free(s->span);
    free(s->position);
    free(s->slot);
    free(s->page);
    free(s->kv.key);
    free(s->kv.value);
}

static void attend(struct check *c, struct backend *be, struct matrix out, struct tensor q,
                   const struct scene *s, const struct row_batch *batch, enum mask mask, float scale)
{
    struct error err = {0};
    be->op->attention(be, out.t, q, s->kv, batch, mask, scale);
    if (be->op->finish(be, &err) != STATUS_OK)
        check_fail(c, "finish: %s", err.message);
    if (!matrix_guards_whole(out))
        check_fail(c, "wrote outside its result");
}

/* A span alone; under the causal mask also each of its rows alone, and a prefix of them. */
static void check_alone(struct check *c, const struct scene *s, struct matrix q, struct matrix all,
                        enum mask mask, float scale)
{
    for (int i = 0; i < s->batch.n_spans; i++) {
        struct span whole = s->span[i];
        int step = mask == MASK_FULL || whole.n_rows == 0 ? whole.n_rows : random_int(c, 1, whole.n_rows);
        for (int r = 0; r < whole.n_rows; r += step) {
            int n = whole.n_rows - r < step ? whole.n_rows - r : step;
            struct span part = {0, n, whole.first_position + r, whole.first_page};
            struct row_batch batch = {n, 1, &part, &part, s->position + whole.first_row + r, NULL, s->page};
            struct matrix out = matrix_new(n, all.t.cols, all.t.stride);
            attend(c, c->backend[0], out, tensor_rows(q.t, whole.first_row + r, n), s, &batch, mask, scale);
            check_same_rows(c, "without the rest of the batch", all, whole.first_row + r, out, 0, n);
            matrix_release(&out);
        }
    }
}

static void attention_case(struct check *c, const int (*shape)[2], int spans, int heads, int group,
                           int head_dim, enum mask mask, int gap)
{
    check_begin(c, "attention %d spans, %d kv heads x %d of %d, %s, gap %d", spans, heads, group, head_dim,
                mask == MASK_FULL ? "full" : "causal", gap);
    struct scene s;
    scene_init(c, &s, shape, spans, heads, head_dim);
    int cols = heads * group * head_dim;
    struct matrix q = matrix_random(c, s.rows, cols, cols + gap), out = matrix_new(s.rows, cols, cols + gap);
    float scale = 1 / sqrtf((float)head_dim);
    size_t n = (size_t)s.rows * (size_t)cols;
    double *want = doubles_new(n), *bound = doubles_new(n);
    reference_attention(want, bound, q.t, s.kv, &s.batch, mask, scale, c->fast ? 0x1p-8 : 0);
    attend(c, c->backend[0], out, q.t, &s, &s.batch, mask, scale);
    check_close(c, out, want, bound);
    for (int i = 1; i < CHECK_BACKENDS; i++) {
        struct matrix again = matrix_like(out);
        attend(c, c->backend[i], again, q.t, &s, &s.batch, mask, scale);
        check_same_rows(c, "on more threads", out, 0, again, 0, s.rows);
        matrix_release(&again);
    }
    check_alone(c, &s, q, out, mask, scale);
    matrix_release(&q);
    matrix_release(&out);
    free(want);
    free(bound);
    scene_release(&s);
}

void case_attention(struct check *c)
{
    /* {rows, first position} of each span */
    static const int decode[][2] = {{1, 0}, {1, 1}, {1, 15}, {1, 16}, {1, 47}, {1, 301}, {0, 0}, {1, 95}};
    static const int mixed[][2] = {{1, 100}, {9, 52}, {33, 40}, {30, 0}, {64, 200}, {0, 7}, {2, 0}};
    static const int scales[][2] = {{1, 0},   {4, 1},   {9, 5},     {16, 14},
                                    {25, 30}, {36, 55}, {100, 155}, {169, 255}};
    static const int picture[][2] = {{65, 0}};
    static const int lengthy[][2] = {{130, 900}, {1, 2100}, {70, 33}};
    for (int mask = MASK_CAUSAL; mask <= MASK_FULL; mask++) {
        attention_case(c, decode, 8, 4, 1, 16, mask, 0);
        attention_case(c, decode, 8, 3, 3, 64, mask, 3);
        attention_case(c, decode, 8, 1, 8, 128, mask, 0);
        attention_case(c, mixed, 7, 2, 3, 12, mask, 1);
        attention_case(c, mixed, 7, 1, 5, 34, mask, 0);
        attention_case(c, mixed, 7, 2, 1, 128, mask, 64);
        attention_case(c, scales, 8, 2, 1, 64, mask, 0);
        attention_case(c, lengthy, 3, 2, 2, 64, mask, 0);
        attention_case(c, picture, 1, 1, 1, 640, mask, 0);
        attention_case(c, picture, 1, 1, 1, 1026, mask, 2);
        attention_case(c, picture, 1, 3, 1, 2, mask, 2);
        attention_case(c, mixed, 0, 2, 1, 16, mask, 0);
    }
}

void case_kv_write(struct check *c)
{
    static const int mixed[][2] = {{1, 100}, {9, 52}, {0, 3}, {30, 0}};
    for (int i = 0; i < 4; i++) {
        int heads = random_int(c, 1, 4), head_dim = 2 * random_int(c, 1, 40), width = heads * head_dim;
        check_begin(c, "kv_write %d heads of %d", heads, head_dim);
        struct scene s;
        scene_init(c, &s, mixed, i == 3 ? 0 : 4, heads, head_dim);
        struct matrix k = matrix_random(c, s.rows, width, width + i),
                      v = matrix_random(c, s.rows, width, width + 2 * i);
        for (int b = 0; b < CHECK_BACKENDS; b++) {
            int slots = (int)(s.cache_floats / (size_t)width);
            struct matrix key = matrix_new(slots, width, width), value = matrix_like(key),
                          empty = matrix_like(key);
            struct kv_layer kv = {key.memory, value.memory, DTYPE_F32, heads, head_dim};
            c->backend[b]->op->kv_write(c->backend[b], kv, k.t, v.t, s.slot);
            c->backend[b]->op->finish(c->backend[b], NULL);
            for (int slot = 0; slot < slots; slot++) {
                int row = 0;
                while (row < s.rows && s.slot[row] != slot)
                    row++;
                check_same_rows(c, "as the key written", key, slot, row < s.rows ? k : empty,
                                row < s.rows ? row : slot, 1);
                check_same_rows(c, "as the value written", value, slot, row < s.rows ? v : empty,
                                row < s.rows ? row : slot, 1);
            }
            matrix_release(&key);
            matrix_release(&value);
            matrix_release(&empty);
        }
        matrix_release(&k);
        matrix_release(&v);
        scene_release(&s);
    }
}
