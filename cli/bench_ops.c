#include "cli/bench_ops.h"

#include "base/clock.h"
#include "base/memory.h"
#include "cpu/cpu_backend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every figure is the best of several runs, after one to warm up; inputs are small random numbers. The limits
 * it is compared with are measured in the same moments, between the runs and around them: on a shared machine
 * a share says more than a rate. */
struct bench {
    struct backend *be;
    const struct bench_ops_options *options;
    uint32_t random;
};

static float *floats_new(struct bench *b, size_t n)
{
    float *x = b->be->op->alloc(b->be, n * sizeof *x);
    if (!x) {
        fprintf(stderr, "bench: no memory for %zu numbers\n", n);
        exit(2);
    }
    for (size_t i = 0; i < n; i++) {
        b->random = b->random * 1664525 + 1013904223;
        x[i] = (float)(b->random >> 8) / 16777216.0f - 0.5f;
    }
    return x;
}

static struct tensor tensor_new(struct bench *b, int rows, int cols)
{
    return (struct tensor){floats_new(b, (size_t)rows * (size_t)cols), DTYPE_F32, rows, cols, cols};
}

static void tensor_free(struct bench *b, struct tensor t)
{
    b->be->op->free(b->be, t.data);
}

static struct weight *weight_new(struct bench *b, enum dtype type, int rows, int cols)
{
    size_t n = (size_t)rows * (size_t)cols;
    float *x = floats_new(b, n);
    uint16_t *half = (uint16_t *)x;
    for (size_t i = 0; type != DTYPE_F32 && i < n; i++) { /* any 16 bits near 1 will do */
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        half[i] = (uint16_t)(type == DTYPE_BF16 ? bits >> 16 : 0x3800 | (bits >> 13 & 0x83ff));
    }
    struct host_matrix m = {x, type, rows, cols, .stays = false};
    struct weight *w = NULL;
    struct error err = {0};
    if (b->be->op->weight_load(b->be, &w, &m, &err) != STATUS_OK) {
        fprintf(stderr, "bench: %s\n", err.message);
        exit(2);
    }
    b->be->op->free(b->be, x);
    return w;
}

typedef void bench_op(struct bench *, void *context, int round);

/* The best of several runs, beside the machine's limits; operations or bytes 0 = do not tell. */
static void measure(struct bench *b, const char *name, bench_op *op, void *context, double operations,
                    double bytes)
{
    op(b, context, 0);
    double best = INFINITY, flops = 0, bandwidth = bytes > 0 ? cpu_measure_bandwidth(b->be, 0.1) : 0;
    double end = clock_seconds() + b->options->seconds_each;
    for (int round = 1; round < 5 || clock_seconds() < end; round++) {
        double limit = operations > 0 ? cpu_measure_flops(b->be, 0) : 0, start = clock_seconds();
        flops = limit > flops ? limit : flops;
        op(b, context, round);
        double took = clock_seconds() - start;
        best = took < best ? took : best;
    }
    if (bytes > 0) {
        double again = cpu_measure_bandwidth(b->be, 0.1);
        bandwidth = again > bandwidth ? again : bandwidth;
    }
    struct op_speed speed = {name, best, operations, bytes, flops, bandwidth};
    b->options->on_speed(b->options->context, &speed);
}

/* --- linear --- */

struct linear_bench {
    struct tensor x, out;
    struct weight **w;
    int copies; /* weights taken in turn, so that caches do not help where a model's would not */
};

static void linear_op(struct bench *b, void *context, int round)
{
    struct linear_bench *k = context;
    b->be->op->linear(b->be, k->out, k->x, k->w[round % k->copies], NULL, ACT_NONE);
}

static void bench_linear(struct bench *b, enum dtype type, int outputs, int inner)
{
    static const int rows[] = {1, 2, 4, 6, 8, 12, 16, 24, 32, 64, 256, 680};
    size_t bytes = dtype_bytes(type, (size_t)outputs * (size_t)inner);
    struct linear_bench k = {.copies = (int)(((size_t)600 << 20) / bytes) + 1};
    if (k.copies > 200)
        k.copies = 200;
    k.w = xcalloc((size_t)k.copies, sizeof *k.w);
    for (int i = 0; i < k.copies; i++)
        k.w[i] = weight_new(b, type, outputs, inner);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[80];
        snprintf(name, sizeof name, "linear %s %d x %d -> %d", dtype_name(type), rows[i], inner, outputs);
        k.x = tensor_new(b, rows[i], inner);
        k.out = tensor_new(b, rows[i], outputs);
        measure(b, name, linear_op, &k, 2.0 * rows[i] * outputs * inner, rows[i] <= 16 ? (double)bytes : 0);
        tensor_free(b, k.x);
        tensor_free(b, k.out);
    }
    for (int i = 0; i < k.copies; i++)
        b->be->op->weight_free(b->be, k.w[i]);
    free(k.w);
}

/* --- conv2d, group_norm --- */

struct picture_bench {
    struct tensor x, out;
    struct conv conv;
    struct weight *w;
    float *a;
    int groups;
};

static void conv_op(struct bench *b, void *context, int round)
{
    struct picture_bench *k = context;
    (void)round;
    b->be->op->conv2d(b->be, k->out, k->x, &k->conv, k->w, NULL);
}

static void bench_conv(struct bench *b, int size, int channels, int outputs, int upsample)
{
    struct picture_bench k = {.conv = {size, size, 3, 1, upsample, false}};
    int to = size * upsample;
    k.x = tensor_new(b, size * size, channels);
    k.out = tensor_new(b, to * to, outputs);
    k.w = weight_new(b, DTYPE_F16, outputs, 9 * channels);
    char name[80];
    snprintf(name, sizeof name, "conv2d 3x3 F16 %d -> %d at %d x %d", channels, outputs, to, to);
    measure(b, name, conv_op, &k, 2.0 * to * to * outputs * 9 * channels, 0);
    tensor_free(b, k.x);
    tensor_free(b, k.out);
    b->be->op->weight_free(b->be, k.w);
}

static void group_norm_op(struct bench *b, void *context, int round)
{
    struct picture_bench *k = context;
    (void)round;
    b->be->op->group_norm(b->be, k->out, k->x, k->groups, k->a, k->a, 1e-6f, ACT_SILU);
}

static void bench_group_norm(struct bench *b, int size, int channels)
{
    struct picture_bench k = {.groups = 32};
    k.x = tensor_new(b, size * size, channels);
    k.out = tensor_new(b, size * size, channels);
    k.a = floats_new(b, (size_t)channels);
    char name[80];
    snprintf(name, sizeof name, "group_norm + silu %d channels at %d x %d", channels, size, size);
    measure(b, name, group_norm_op, &k, 0, 12.0 * size * size * channels);
    tensor_free(b, k.x);
    tensor_free(b, k.out);
    b->be->op->free(b->be, k.a);
}

/* --- attention --- */

struct attention_bench {
    struct tensor q, out;
    struct kv_layer kv;
    struct row_batch batch;
    enum mask mask;
};

static void attention_op(struct bench *b, void *context, int round)
{
    struct attention_bench *k = context;
    (void)round;
    b->be->op->attention(b->be, k->out, k->q, k->kv, &k->batch, k->mask, 0.1f);
}

/* Of that many numbers; int8 are all 1 and their scales random. */
static struct kv_layer cache_new(struct bench *b, enum dtype type, size_t n, int heads, int head_dim)
{
    struct kv_layer kv = {.type = type, .heads = heads, .head_dim = head_dim};
    kv.key = floats_new(b, n);
    kv.value = floats_new(b, n);
    if (type == DTYPE_I8) {
        kv.key_scale = floats_new(b, n / (size_t)head_dim);
        kv.value_scale = floats_new(b, n / (size_t)head_dim);
    }
    for (size_t i = 0; i < n && type != DTYPE_F32; i++) {
        uint16_t half = (uint16_t)(0x3f00 + i % 200);
        memcpy((char *)kv.key + dtype_bytes(type, i), &half, dtype_bytes(type, 1));
        memcpy((char *)kv.value + dtype_bytes(type, i), &half, dtype_bytes(type, 1));
    }
    return kv;
}

static void cache_free(struct bench *b, struct kv_layer kv)
{
    b->be->op->free(b->be, kv.key);
    b->be->op->free(b->be, kv.value);
    b->be->op->free(b->be, kv.key_scale);
    b->be->op->free(b->be, kv.value_scale);
}

static void bench_attention(struct bench *b, const char *what, enum dtype type, int spans, int rows,
                            int before, int heads, int group, int head_dim, enum mask mask)
{
    int keys = rows + before, pages = (keys + PAGE_TOKENS - 1) / PAGE_TOKENS;
    struct span *span = xcalloc((size_t)spans, sizeof *span);
    int32_t *page = xcalloc((size_t)(spans * pages), sizeof *page);
    for (int i = 0; i < spans; i++)
        span[i] = (struct span){i * rows, rows, before, i * pages};
    for (int i = 0; i < spans * pages; i++)
        page[i] = i;
    size_t cache = (size_t)(spans * pages * PAGE_TOKENS * heads) * (size_t)head_dim;
    struct attention_bench k = {
        .q = tensor_new(b, spans * rows, heads * group * head_dim),
        .out = tensor_new(b, spans * rows, heads * group * head_dim),
        .kv = cache_new(b, type, cache, heads, head_dim),
        .batch = {spans * rows, spans, span, span, NULL, NULL, page},
        .mask = mask,
    };
    double pairs = mask == MASK_FULL ? (double)rows * keys : (double)rows * before + rows * (rows + 1) / 2.0;
    char name[100];
    snprintf(name, sizeof name, "attention %s %s %dx%d rows %d keys %dx%d of %d", what, dtype_name(type),
             spans, rows, keys, heads, group, head_dim);
    measure(b, name, attention_op, &k, 4 * pairs * spans * heads * group * head_dim,
            rows == 1 ? 2.0 * spans * keys * heads * (double)dtype_bytes(type, (size_t)head_dim) : 0);
    tensor_free(b, k.q);
    tensor_free(b, k.out);
    cache_free(b, k.kv);
    free(span);
    free(page);
}

/* --- rows --- */

struct rows_bench {
    struct tensor x, y, z;
    struct kv_layer kv;
    const float *a;
    const int32_t *position;
    struct choice_row *how;
    struct noise_row *noise;
    int32_t *chosen;
    struct weight *w;
};

static void rms_norm_op(struct bench *b, void *context, int round)
{
    struct rows_bench *k = context;
    (void)round;
    b->be->op->rms_norm(b->be, k->y, k->x, (struct residual){k->z, NULL}, k->a, 1e-5f);
}

static void silu_mul_op(struct bench *b, void *context, int round)
{
    struct rows_bench *k = context;
    (void)round;
    b->be->op->silu_mul(b->be, k->y, k->x, k->x);
}

static void rope_op(struct bench *b, void *context, int round)
{
    struct rows_bench *k = context;
    (void)round;
    b->be->op->rope_write(b->be, k->kv, k->x, k->y, k->z, k->position, k->position, k->a);
}

static void sample_op(struct bench *b, void *context, int round)
{
    struct rows_bench *k = context;
    (void)round;
    b->be->op->sample(b->be, k->chosen, k->x, k->how);
}

static void noise_op(struct bench *b, void *context, int round)
{
    struct rows_bench *k = context;
    (void)round;
    b->be->op->noise(b->be, k->x, k->noise);
}

static void nearest_op(struct bench *b, void *context, int round)
{
    struct rows_bench *k = context;
    (void)round;
    b->be->op->nearest(b->be, k->chosen, k->x, k->w);
}

static void bench_rows(struct bench *b, int rows, int cols)
{
    char name[80];
    int32_t *position = xcalloc((size_t)rows, sizeof *position);
    for (int r = 0; r < rows; r++)
        position[r] = r;
    int heads = cols / 128;
    struct rows_bench k = {.x = tensor_new(b, rows, cols),
                           .y = tensor_new(b, rows, cols),
                           .z = tensor_new(b, rows, cols),
                           .kv = cache_new(b, DTYPE_F32, (size_t)(rows * heads) * 128, heads, 128),
                           .a = floats_new(b, (size_t)cols),
                           .position = position};
    snprintf(name, sizeof name, "silu_mul %d x %d", rows, cols);
    measure(b, name, silu_mul_op, &k, 0, 12.0 * rows * cols);
    snprintf(name, sizeof name, "rms_norm with a residual %d x %d", rows, cols);
    measure(b, name, rms_norm_op, &k, 0, 16.0 * rows * cols); /* x grows by it, round after round */
    snprintf(name, sizeof name, "rope_write %d x %d", rows, heads * 128);
    k.x.cols = k.y.cols = k.z.cols = heads * 128;
    measure(b, name, rope_op, &k, 0, 28.0 * rows * heads * 128);
    tensor_free(b, k.x);
    tensor_free(b, k.y);
    tensor_free(b, k.z);
    cache_free(b, k.kv);
    b->be->op->free(b->be, (void *)k.a);
    free(position);
}

static void bench_choice(struct bench *b, int rows, int n, struct choice_filter filter, const char *what)
{
    char name[80];
    struct rows_bench k = {.x = tensor_new(b, rows, n),
                           .how = xcalloc((size_t)rows, sizeof *k.how),
                           .chosen = xcalloc((size_t)rows, sizeof *k.chosen)};
    for (int r = 0; r < rows; r++) {
        k.how[r] = (struct choice_row){filter, (r + 0.5) / rows};
        for (int i = 0; i < n; i++)
            tensor_row(k.x, r)[i] *= 20;
    }
    snprintf(name, sizeof name, "sample %d x %d %s", rows, n, what);
    measure(b, name, sample_op, &k, 0, 0);
    tensor_free(b, k.x);
    free(k.how);
    free(k.chosen);
}

static void bench_noise(struct bench *b, int rows, int cols)
{
    char name[80];
    struct rows_bench k = {.x = tensor_new(b, rows, cols), .noise = xcalloc((size_t)rows, sizeof *k.noise)};
    snprintf(name, sizeof name, "noise %d x %d", rows, cols);
    measure(b, name, noise_op, &k, 0, 0);
    tensor_free(b, k.x);
    free(k.noise);
}

static void bench_nearest(struct bench *b, int rows, int entries, int cols)
{
    char name[80];
    struct rows_bench k = {.x = tensor_new(b, rows, cols),
                           .w = weight_new(b, DTYPE_F32, entries, cols),
                           .chosen = xcalloc((size_t)rows, sizeof *k.chosen)};
    snprintf(name, sizeof name, "nearest %d rows of %d x %d", rows, entries, cols);
    measure(b, name, nearest_op, &k, 3.0 * rows * entries * cols, 0);
    tensor_free(b, k.x);
    b->be->op->weight_free(b->be, k.w);
    free(k.chosen);
}

static bool wanted(const struct bench *b, const char *name)
{
    return !b->options->only || !strcmp(b->options->only, name);
}

static void all_linear(struct bench *b)
{
    for (int type = DTYPE_BF16; type >= DTYPE_F32; type--) {
        bench_linear(b, (enum dtype)type, 4096, 4096);
        if (type == DTYPE_BF16) {
            bench_linear(b, DTYPE_BF16, 11008, 4096);
            bench_linear(b, DTYPE_BF16, 7680, 1920);
            bench_linear(b, DTYPE_BF16, 1536, 576);
            bench_linear(b, DTYPE_BF16, 64, 64);
        }
    }
}

static void all_conv2d(struct bench *b)
{
    bench_conv(b, 256, 160, 160, 1);
    bench_conv(b, 16, 640, 640, 1);
    bench_conv(b, 64, 320, 320, 2);
    bench_conv(b, 256, 160, 3, 1);
}

static void all_attention(struct bench *b)
{
    static const enum dtype cache[] = {DTYPE_F32, DTYPE_BF16, DTYPE_I8};
    for (int i = 0; i < 3; i++) {
        bench_attention(b, "decode", cache[i], 1, 1, 1023, 32, 1, 128, MASK_CAUSAL);
        bench_attention(b, "decode", cache[i], 1, 1, 8191, 32, 1, 128, MASK_CAUSAL);
        bench_attention(b, "decode", cache[i], 16, 1, 255, 4, 8, 64, MASK_CAUSAL);
    }
    bench_attention(b, "prefill", DTYPE_F32, 1, 256, 768, 32, 1, 128, MASK_CAUSAL);
    bench_attention(b, "scale", DTYPE_F32, 2, 256, 424, 30, 1, 64, MASK_FULL);
    bench_attention(b, "vision", DTYPE_F32, 1, 577, 0, 16, 1, 64, MASK_FULL);
    bench_attention(b, "vae", DTYPE_F32, 1, 256, 0, 1, 1, 640, MASK_FULL);
}

static void all_sample(struct bench *b)
{
    bench_choice(b, 256, 4096, (struct choice_filter){1, 900, 0.96f, 0}, "top_k 900 top_p 0.96");
    bench_choice(b, 1, 32064, (struct choice_filter){0.7f, 0, 0.9f, 0}, "top_p 0.9");
    bench_choice(b, 1, 128256, (struct choice_filter){0.7f, 0, 0.9f, 0}, "top_p 0.9");
}

void bench_ops(struct backend *be, const struct bench_ops_options *options)
{
    struct bench b = {.be = be, .options = options, .random = 1};
    if (wanted(&b, "linear"))
        all_linear(&b);
    if (wanted(&b, "conv2d"))
        all_conv2d(&b);
    if (wanted(&b, "group_norm"))
        bench_group_norm(&b, 256, 160);
    if (wanted(&b, "attention"))
        all_attention(&b);
    if (wanted(&b, "rows"))
        bench_rows(&b, 64, 4096);
    if (wanted(&b, "noise"))
        bench_noise(&b, 256, 4096);
    if (wanted(&b, "sample"))
        all_sample(&b);
    if (wanted(&b, "nearest"))
        bench_nearest(&b, 256, 4096, 32);
}
