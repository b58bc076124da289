#include "check.h"

#include "base/memory.h"
#include "reference.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const enum dtype cache_types[] = {DTYPE_F32, DTYPE_BF16, DTYPE_I8};
enum { CACHE_TYPES = sizeof cache_types / sizeof *cache_types };

static bool has_cache(const struct check *c, enum dtype type)
{
    return type == DTYPE_F32 || (c->backend[0]->op->cache_types >> type & 1);
}

static size_t cache_bytes(struct kv_layer kv, int slots)
{
    return dtype_bytes(kv.type, (size_t)slots * (size_t)kv.heads * (size_t)kv.head_dim);
}

/* Memory of all ones, which are NaN in any of the types (of int8, the scales are). */
static void *ones(size_t bytes)
{
    return memset(xmalloc(bytes ? bytes : 1), 0xff, bytes);
}

static struct kv_layer cache_new(enum dtype type, int slots, int heads, int head_dim)
{
    struct kv_layer kv = {.type = type, .heads = heads, .head_dim = head_dim};
    size_t scales = (size_t)slots * (size_t)heads * sizeof(float);
    kv.key = ones(cache_bytes(kv, slots));
    kv.value = ones(cache_bytes(kv, slots));
    kv.key_scale = ones(scales);
    kv.value_scale = ones(scales);
    return kv;
}

static void cache_free(struct kv_layer kv)
{
    free(kv.key);
    free(kv.value);
    free(kv.key_scale);
    free(kv.value_scale);
}

/* A batch of spans over a cache whose pages are dealt at random; slots that no span holds are NaN. */
struct scene {
    struct row_batch batch;
    struct span *span;
    int32_t *position, *slot, *page;
    struct kv_layer kv;
    int rows, slots;
};

static void fill_slot(struct check *c, struct scene *s, int slot)
{
    size_t width = (size_t)s->kv.head_dim;
    float *x = xmalloc(width * sizeof *x);
    for (int h = 0; h < s->kv.heads; h++) {
        size_t at = (size_t)slot * (size_t)s->kv.heads + (size_t)h;
        random_floats(c, x, width);
        reference_cache_put(s->kv, s->kv.key, s->kv.key_scale, at, x);
        random_floats(c, x, width);
        reference_cache_put(s->kv, s->kv.value, s->kv.value_scale, at, x);
    }
    free(x);
}

static int deal_pages(struct check *c, struct scene *s, const int (*shape)[2], int spans)
{
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
    return all_pages;
}

static void scene_init(struct check *c, struct scene *s, const int (*shape)[2], int spans, enum dtype type,
                       int heads, int head_dim)
{
    *s = (struct scene){.span = xcalloc((size_t)spans, sizeof *s->span)};
    s->slots = deal_pages(c, s, shape, spans) * PAGE_TOKENS;
    s->position = xcalloc((size_t)s->rows, sizeof *s->position);
    s->slot = xcalloc((size_t)s->rows, sizeof *s->slot);
    s->kv = cache_new(type, s->slots, heads, head_dim);
    for (int i = 0; i < spans; i++) {
        struct span *p = &s->span[i];
        for (int t = 0; t < p->first_position + p->n_rows; t++) {
            int slot = s->page[p->first_page + t / PAGE_TOKENS] * PAGE_TOKENS + t % PAGE_TOKENS;
            fill_slot(c, s, slot);
            if (t >= p->first_position) {
                s->position[p->first_row + t - p->first_position] = t;
                s->slot[p->first_row + t - p->first_position] = slot;
            }
        }
    }
    s->batch = (struct row_batch){s->rows, spans, s->span, s->span, s->position, s->slot, s->page};
}

static void scene_release(struct scene *s)
{
    free(s->span);
    free(s->position);
    free(s->slot);
    free(s->page);
    cache_free(s->kv);
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

static void attention_typed(struct check *c, enum dtype type, const int (*shape)[2], int spans, int heads,
                            int group, int head_dim, enum mask mask, int gap)
{
    check_begin(c, "attention %s, %d spans, %d kv heads x %d of %d, %s, gap %d", dtype_name(type), spans,
                heads, group, head_dim, mask == MASK_FULL ? "full" : "causal", gap);
    struct scene s;
    scene_init(c, &s, shape, spans, type, heads, head_dim);
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

static void attention_case(struct check *c, const int (*shape)[2], int spans, int heads, int group,
                           int head_dim, enum mask mask, int gap)
{
    for (int i = 0; i < CACHE_TYPES; i++) {
        if (has_cache(c, cache_types[i]))
            attention_typed(c, cache_types[i], shape, spans, heads, group, head_dim, mask, gap);
    }
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

/* One side of a slot that was written: float32 and BF16 to the bit; an int8 within half a step (and the
 * rounding of the product) of what it stands for, its scale within a rounding of the largest's 127th. */
static void check_written(struct check *c, struct kv_layer kv, const void *memory, const float *scale,
                          int slot, const float *x)
{
    int n = kv.head_dim;
    double *got = doubles_new((size_t)n), *want = doubles_new((size_t)n);
    struct kv_layer one = {.type = kv.type, .heads = 1, .head_dim = n};
    void *expected = xcalloc((size_t)n, sizeof(float));
    float expected_scale = 0;
    for (int h = 0; h < kv.heads; h++) {
        size_t at = (size_t)slot * (size_t)kv.heads + (size_t)h;
        const float *head = x + (size_t)h * (size_t)n;
        reference_cache_put(one, expected, &expected_scale, 0, head);
        reference_cache_get(want, one, expected, &expected_scale, 0);
        reference_cache_get(got, kv, memory, scale, at);
        bool scaled = kv.type == DTYPE_I8;
        if (scaled && !(fabs(scale[at] - expected_scale) <= 1.2e-7 * expected_scale))
            check_fail(c, "scale %g of slot %d head %d, expected %g", scale[at], slot, h, expected_scale);
        for (int d = 0; d < n; d++) {
            double off = scaled ? fabs(got[d] - head[d]) - expected_scale * 0.500001 : fabs(got[d] - want[d]);
            if (!(off <= 0))
                check_fail(c, "%g written as %g to slot %d head %d", head[d], got[d], slot, h);
        }
    }
    free(expected);
    free(got);
    free(want);
}

static bool slot_untouched(struct kv_layer kv, const void *memory, const float *scale, int slot)
{
    size_t bytes = cache_bytes(kv, 1), scales = (size_t)kv.heads * sizeof(float);
    const unsigned char *data = (const unsigned char *)memory + (size_t)slot * bytes;
    const unsigned char *s = (const unsigned char *)scale + (size_t)slot * scales;
    bool whole = true;
    for (size_t i = 0; i < bytes; i++)
        whole &= data[i] == 0xff;
    for (size_t i = 0; i < scales; i++)
        whole &= kv.type == DTYPE_I8 ? s[i] == 0xff : true;
    return whole;
}

static void check_cache(struct check *c, const struct scene *s, struct kv_layer kv, struct matrix k,
                        struct matrix v)
{
    for (int slot = 0; slot < s->slots; slot++) {
        int row = 0;
        while (row < s->rows && s->slot[row] != slot)
            row++;
        if (row < s->rows) {
            check_written(c, kv, kv.key, kv.key_scale, slot, tensor_row(k.t, row));
            check_written(c, kv, kv.value, kv.value_scale, slot, tensor_row(v.t, row));
        } else if (!slot_untouched(kv, kv.key, kv.key_scale, slot) ||
                   !slot_untouched(kv, kv.value, kv.value_scale, slot)) {
            check_fail(c, "wrote to slot %d, which no row has", slot);
        }
    }
}

static bool same_cache(struct kv_layer a, struct kv_layer b, int slots)
{
    size_t scales = (size_t)slots * (size_t)a.heads * sizeof(float);
    return memcmp(a.key, b.key, cache_bytes(a, slots)) == 0 &&
           memcmp(a.value, b.value, cache_bytes(a, slots)) == 0 &&
           memcmp(a.key_scale, b.key_scale, scales) == 0 && memcmp(a.value_scale, b.value_scale, scales) == 0;
}

static void kv_write_case(struct check *c, enum dtype type, int spans, int gap)
{
    static const int mixed[][2] = {{1, 100}, {9, 52}, {0, 3}, {30, 0}};
    int heads = random_int(c, 1, 4), head_dim = 2 * random_int(c, 1, 40), width = heads * head_dim;
    check_begin(c, "kv_write %s, %d heads of %d", dtype_name(type), heads, head_dim);
    struct scene s;
    scene_init(c, &s, mixed, spans, type, heads, head_dim);
    struct matrix k = matrix_random(c, s.rows, width, width + gap),
                  v = matrix_random(c, s.rows, width, width + 2 * gap);
    for (int d = 0; s.rows > 3 && d < head_dim; d++)
        tensor_row(k.t, 3)[d] = tensor_row(v.t, 3)[d] = 0; /* a head of zeros has no scale */
    struct kv_layer plain = cache_new(type, s.slots, heads, head_dim);
    c->plain->op->kv_write(c->plain, plain, k.t, v.t, s.slot);
    for (int b = 0; b < CHECK_BACKENDS; b++) {
        struct kv_layer kv = cache_new(type, s.slots, heads, head_dim);
        c->backend[b]->op->kv_write(c->backend[b], kv, k.t, v.t, s.slot);
        c->backend[b]->op->finish(c->backend[b], NULL);
        check_cache(c, &s, kv, k, v);
        if (!same_cache(kv, plain, s.slots))
            check_fail(c, "not the bits that the plainest kernels write");
        cache_free(kv);
    }
    cache_free(plain);
    matrix_release(&k);
    matrix_release(&v);
    scene_release(&s);
}

void case_kv_write(struct check *c)
{
    for (int i = 0; i < CACHE_TYPES; i++) {
        for (int gap = 0; gap < 4 && has_cache(c, cache_types[i]); gap++)
            kv_write_case(c, cache_types[i], gap == 3 ? 0 : 4, gap);
    }
}

/* --- rope_write, norm_write --- */

struct heads_context {
    const struct scene *s;
    struct matrix q, k, v;
    const float *by; /* frequencies, or the queries' scales */
    bool rope;
    bool keys; /* the operation's result that is looked at is k, not q */
};

static void write_heads(struct backend *be, const struct heads_context *h, struct kv_layer kv,
                        struct tensor q, struct tensor k, int first)
{
    struct tensor v = tensor_rows(h->v.t, first, k.rows);
    if (h->rope)
        be->op->rope_write(be, kv, q, k, v, h->s->slot + first, h->s->position + first, h->by);
    else
        be->op->norm_write(be, kv, q, k, v, h->s->slot + first, h->by);
}

static void run_heads(struct backend *be, void *context, int first, int n, struct tensor out)
{
    const struct heads_context *h = context;
    struct matrix other = matrix_like(h->keys ? h->q : h->k);
    other.t.rows = n;
    matrix_copy(other, h->keys ? h->q : h->k, first, n);
    matrix_copy((struct matrix){.t = out}, h->keys ? h->k : h->q, first, n);
    write_heads(be, h, h->s->kv, h->keys ? other.t : out, h->keys ? out : other.t, first);
    be->op->finish(be, NULL);
    matrix_release(&other);
}

/* What is left in q (keys: in k) is the reference's. */
static void check_heads(struct check *c, struct heads_context *h, bool keys)
{
    struct matrix x = keys ? h->k : h->q;
    size_t n = (size_t)x.t.rows * (size_t)x.t.cols;
    double *want = doubles_new(n), *bound = doubles_new(n);
    struct matrix out = matrix_like(x);
    h->keys = keys;
    if (h->rope)
        reference_rope(want, bound, x.t, h->s->kv.head_dim, h->s->position, h->by);
    else
        reference_head_norm(want, bound, x.t, h->s->kv.head_dim, keys ? NULL : h->by);
    check_rows(c, out, want, bound, run_heads, h);
    matrix_release(&out);
    free(want);
    free(bound);
}

/* What is in the cache is what kv_write makes of the k that is left. */
static void check_heads_written(struct check *c, const struct heads_context *h)
{
    struct kv_layer shape = h->s->kv;
    for (int b = 0; b < CHECK_BACKENDS; b++) {
        struct backend *be = c->backend[b];
        struct kv_layer kv = cache_new(shape.type, h->s->slots, shape.heads, shape.head_dim);
        struct kv_layer plain = cache_new(shape.type, h->s->slots, shape.heads, shape.head_dim);
        struct matrix q = matrix_like(h->q), k = matrix_like(h->k);
        matrix_copy(q, h->q, 0, h->s->rows);
        matrix_copy(k, h->k, 0, h->s->rows);
        write_heads(be, h, kv, q.t, k.t, 0);
        be->op->finish(be, NULL);
        be->op->kv_write(be, plain, k.t, h->v.t, h->s->slot);
        be->op->finish(be, NULL);
        if (!same_cache(kv, plain, h->s->slots))
            check_fail(c, "the cache is not what kv_write makes of the keys that are left");
        matrix_release(&q);
        matrix_release(&k);
        cache_free(kv);
        cache_free(plain);
    }
}

static void heads_case(struct check *c, bool rope, enum dtype type, int heads, int group, int head_dim,
                       int gap)
{
    static const int mixed[][2] = {{1, 100}, {9, 52}, {0, 3}, {30, 0}};
    int width = heads * head_dim;
    check_begin(c, "%s %s, %d heads x %d of %d, gap %d", rope ? "rope_write" : "norm_write", dtype_name(type),
                heads, group, head_dim, gap);
    struct scene s;
    scene_init(c, &s, mixed, gap == 3 ? 0 : 4, type, heads, head_dim);
    float *by = xmalloc((size_t)(heads * group + head_dim) * sizeof *by);
    random_floats(c, by, (size_t)(heads * group));
    for (int r = 0; r < s.rows; r++) /* slots and angles have nothing to do with each other */
        s.position[r] = random_int(c, 0, 5000);
    for (int d = 0; rope && d < head_dim / 2; d++)
        by[d] = powf(10000, -2.0f * (float)d / (float)head_dim);
    struct heads_context h = {&s,
                              matrix_random(c, s.rows, width * group, width * group + gap),
                              matrix_random(c, s.rows, width, width + 2 * gap),
                              matrix_random(c, s.rows, width, width + gap),
                              by,
                              rope,
                              false};
    for (int d = 0; s.rows > 3 && !rope && d < head_dim; d++)
        tensor_row(h.k.t, 3)[d] = tensor_row(h.q.t, 2)[d] = 0; /* heads of length 0 */
    check_heads(c, &h, false);
    check_heads(c, &h, true);
    check_heads_written(c, &h);
    matrix_release(&h.q);
    matrix_release(&h.k);
    matrix_release(&h.v);
    free(by);
    scene_release(&s);
}

static void heads_cases(struct check *c, bool rope)
{
    static const int dims[] = {2, 6, 16, 34, 64, 100, 128};
    for (int i = 0; i < CACHE_TYPES; i++) {
        for (size_t d = 0; d < sizeof dims / sizeof *dims && has_cache(c, cache_types[i]); d++)
            heads_case(c, rope, cache_types[i], random_int(c, 1, 3), random_int(c, 1, 3), dims[d],
                       (int)d % 4);
    }
}

void case_rope_write(struct check *c)
{
    heads_cases(c, true);
}

void case_norm_write(struct check *c)
{
    heads_cases(c, false);
}
