/* count_steps MODEL: what a full-size model's steps launch, read and compute, counted on the emulated card
 * running dry (cuda/emulator/emulator.h), against a card's limits.
 *
 * A backend that counts stands before the card's: for each operation the bytes that its operands hold, each
 * taken once, and the multiplications and additions of its formula. That is the least that any kernel could
 * move; how far ours are from it is for a real card to say. Prints Markdown. */
#include "cuda/cuda_backend.h"
#include "cuda/emulator/emulator.h"
#include "engine/engine.h"
#include "engine/request.h"

#include "base/memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An H100 SXM, by its data sheet. */
static const double CARD_BYTES = 3.35e12, CARD_TENSOR = 989e12;

enum kind { LINEAR, ATTENTION, CONVOLUTION, ROWS, KINDS };
static const char *const kind_names[KINDS] = {"products", "attention", "convolutions", "the rest"};

struct counts {
    double calls[KINDS], bytes[KINDS], flops[KINDS];
    unsigned long launches, submitted; /* kernels run; what the host started, a graph being one */
    int rows, spans;                   /* of the last causal attention */
};

struct counter {
    struct backend base;
    struct backend *card;
    const struct backend_ops *op;
    struct counts pass, all, decode;   /* since finish(); since reset; the first pass of `want` single rows */
    unsigned long launches, submitted; /* at the last finish() */
    unsigned long replayed; /* what was submitted in the first such pass that was replayed; 0: none yet */
    bool replays;           /* this pass is */
    int want;
};

/* A weight and what it takes. */
struct weight {
    struct weight *own;
    double bytes;
};

static struct counter *counter_of(struct backend *be)
{
    return (struct counter *)be;
}

static void count(struct counter *c, enum kind kind, double bytes, double flops)
{
    c->pass.calls[kind]++;
    c->pass.bytes[kind] += bytes;
    c->pass.flops[kind] += flops;
}

static double cells(struct tensor t)
{
    return (double)t.rows * t.cols;
}

static void *count_alloc(struct backend *be, size_t bytes)
{
    return counter_of(be)->op->alloc(counter_of(be)->card, bytes);
}

static void count_free(struct backend *be, void *memory)
{
    counter_of(be)->op->free(counter_of(be)->card, memory);
}

static size_t count_memory_left(struct backend *be)
{
    return counter_of(be)->op->memory_left(counter_of(be)->card);
}

static enum status count_reserve(struct backend *be, const struct work_limits *limits, struct error *err)
{
    return counter_of(be)->op->reserve(counter_of(be)->card, limits, err);
}

static void count_upload(struct backend *be, void *to, const void *from, size_t bytes)
{
    counter_of(be)->op->upload(counter_of(be)->card, to, from, bytes);
}

static void count_download(struct backend *be, void *to, const void *from, size_t bytes)
{
    counter_of(be)->op->download(counter_of(be)->card, to, from, bytes);
}

static enum replay count_replay(struct backend *be, const struct pass_shape *shape)
{
    struct counter *c = counter_of(be);
    enum replay replay = c->op->replay(c->card, shape);
    c->replays = replay == REPLAY_DONE && shape->n_rows == c->want;
    return replay;
}

static void count_replay_end(struct backend *be)
{
    counter_of(be)->op->replay_end(counter_of(be)->card);
}

static void add_counts(struct counts *to, const struct counts *from)
{
    for (int k = 0; k < KINDS; k++) {
        to->calls[k] += from->calls[k];
        to->bytes[k] += from->bytes[k];
        to->flops[k] += from->flops[k];
    }
    to->launches += from->launches;
    to->submitted += from->submitted;
}

static enum status count_finish(struct backend *be, struct error *err)
{
    struct counter *c = counter_of(be);
    enum status status = c->op->finish(c->card, err);
    c->pass.launches = emulator_launches() - c->launches;
    c->pass.submitted = emulator_submissions() - c->submitted;
    c->launches = emulator_launches();
    c->submitted = emulator_submissions();
    if (c->replays && c->replayed == 0)
        c->replayed = c->pass.submitted;
    c->replays = false;
    add_counts(&c->all, &c->pass);
    if (c->pass.rows == c->want && c->pass.spans == c->want && c->decode.launches == 0)
        c->decode = c->pass;
    c->pass = (struct counts){0};
    return status;
}

static enum status count_weight_load(struct backend *be, struct weight **out, const struct host_matrix *m,
                                     struct error *err)
{
    struct counter *c = counter_of(be);
    struct weight *w = xcalloc(1, sizeof *w);
    w->bytes = (double)dtype_bytes(m->type, (size_t)m->rows * (size_t)m->cols);
    enum status status = c->op->weight_load(c->card, &w->own, m, err);
    if (status == STATUS_OK)
        *out = w;
    else
        free(w);
    return status;
}

static void count_weight_free(struct backend *be, struct weight *w)
{
    if (w)
        counter_of(be)->op->weight_free(counter_of(be)->card, w->own);
    free(w);
}

static void count_embed(struct backend *be, struct tensor out, const struct weight *table,
                        const int32_t *index)
{
    count(counter_of(be), ROWS, 6 * cells(out), 0);
    counter_of(be)->op->embed(counter_of(be)->card, out, table->own, index);
}

static void count_gather(struct backend *be, struct tensor out, struct tensor x, const int32_t *index)
{
    count(counter_of(be), ROWS, 8 * cells(out), 0);
    counter_of(be)->op->gather(counter_of(be)->card, out, x, index);
}

static void count_scatter(struct backend *be, struct tensor out, const int32_t *index, struct tensor x)
{
    count(counter_of(be), ROWS, 8 * cells(x), 0);
    counter_of(be)->op->scatter(counter_of(be)->card, out, index, x);
}

static void count_linear(struct backend *be, struct tensor out, struct tensor x, const struct weight *w,
                         const float *bias, enum activation activation)
{
    count(counter_of(be), LINEAR, w->bytes + 4 * cells(x) + 4 * cells(out), 2 * cells(x) * out.cols);
    counter_of(be)->op->linear(counter_of(be)->card, out, x, w->own, bias, activation);
}

/* x and out; with a residual, x is written too and y read. */
static double norm_bytes(struct tensor x, struct residual residual)
{
    return (residual.y.cols ? 16 : 8) * cells(x);
}

static void count_rms_norm(struct backend *be, struct tensor out, struct tensor x, struct residual residual,
                           const float *weight, float eps)
{
    count(counter_of(be), ROWS, norm_bytes(x, residual), 4 * cells(x));
    counter_of(be)->op->rms_norm(counter_of(be)->card, out, x, residual, weight, eps);
}

static void count_layer_norm(struct backend *be, struct tensor out, struct tensor x, struct residual residual,
                             const float *weight, const float *bias, float eps)
{
    count(counter_of(be), ROWS, norm_bytes(x, residual), 6 * cells(x));
    counter_of(be)->op->layer_norm(counter_of(be)->card, out, x, residual, weight, bias, eps);
}

static void count_silu_mul(struct backend *be, struct tensor out, struct tensor gate, struct tensor up)
{
    count(counter_of(be), ROWS, 12 * cells(out), 4 * cells(out));
    counter_of(be)->op->silu_mul(counter_of(be)->card, out, gate, up);
}

static void count_add(struct backend *be, struct tensor x, struct tensor y, const float *scale)
{
    count(counter_of(be), ROWS, 12 * cells(x), 2 * cells(x));
    counter_of(be)->op->add(counter_of(be)->card, x, y, scale);
}

/* Keys and values, read and in the cache. */
static double cached_bytes(struct kv_layer kv, struct tensor k)
{
    return 8 * cells(k) + 2 * (double)dtype_bytes(kv.type, 1) * cells(k);
}

static void count_kv_write(struct backend *be, struct kv_layer kv, struct tensor k, struct tensor v,
                           const int32_t *slot)
{
    count(counter_of(be), ROWS, cached_bytes(kv, k), 0);
    counter_of(be)->op->kv_write(counter_of(be)->card, kv, k, v, slot);
}

static void count_rope_write(struct backend *be, struct kv_layer kv, struct tensor q, struct tensor k,
                             struct tensor v, const int32_t *slot, const int32_t *position,
                             const float *inv_freq)
{
    count(counter_of(be), ROWS, 8 * cells(q) + 4 * cells(k) + cached_bytes(kv, k),
          3 * cells(q) + 3 * cells(k));
    counter_of(be)->op->rope_write(counter_of(be)->card, kv, q, k, v, slot, position, inv_freq);
}

static void count_norm_write(struct backend *be, struct kv_layer kv, struct tensor q, struct tensor k,
                             struct tensor v, const int32_t *slot, const float *query_scale)
{
    count(counter_of(be), ROWS, 8 * cells(q) + 4 * cells(k) + cached_bytes(kv, k),
          3 * cells(q) + 3 * cells(k));
    counter_of(be)->op->norm_write(counter_of(be)->card, kv, q, k, v, slot, query_scale);
}

static void count_attention(struct backend *be, struct tensor out, struct tensor q, struct kv_layer kv,
                            const struct row_batch *batch, enum mask mask, float scale)
{
    struct counter *c = counter_of(be);
    double keys = 0, pairs = 0, width = (double)kv.heads * kv.head_dim;
    for (int i = 0; i < batch->n_spans; i++) {
        const struct span *s = &batch->span[i];
        double all = s->first_position + s->n_rows, n = s->n_rows;
        keys += all;
        pairs += mask == MASK_FULL ? n * all : n * s->first_position + n * (n + 1) / 2;
    }
    if (mask == MASK_CAUSAL) {
        c->pass.rows = batch->n_rows;
        c->pass.spans = batch->n_spans;
    }
    count(c, ATTENTION, keys * width * 2 * (double)dtype_bytes(kv.type, 1) + 8 * cells(q),
          4 * pairs * q.cols);
    c->op->attention(c->card, out, q, kv, batch, mask, scale);
}

static void count_conv2d(struct backend *be, struct tensor out, struct tensor x, const struct conv *conv,
                         const struct weight *w, const float *bias)
{
    double taps = (double)conv->kernel * conv->kernel * x.cols;
    count(counter_of(be), CONVOLUTION, w->bytes + 4 * cells(x) + 4 * cells(out), 2 * cells(out) * taps);
    counter_of(be)->op->conv2d(counter_of(be)->card, out, x, conv, w->own, bias);
}

static void count_group_norm(struct backend *be, struct tensor out, struct tensor x, int groups,
                             const float *weight, const float *bias, float eps, enum activation activation)
{
    count(counter_of(be), ROWS, 12 * cells(x), 8 * cells(x));
    counter_of(be)->op->group_norm(counter_of(be)->card, out, x, groups, weight, bias, eps, activation);
}

static void count_resize(struct backend *be, struct tensor out, struct tensor x, int from, int to,
                         enum resize how)
{
    count(counter_of(be), ROWS, 4 * cells(x) + 4 * cells(out), 32 * cells(out));
    counter_of(be)->op->resize(counter_of(be)->card, out, x, from, to, how);
}

static void count_guide(struct backend *be, struct tensor out, struct tensor cond, struct tensor uncond,
                        const float *t)
{
    count(counter_of(be), ROWS, 12 * cells(out), 3 * cells(out));
    counter_of(be)->op->guide(counter_of(be)->card, out, cond, uncond, t);
}

static void count_noise(struct backend *be, struct tensor out, const struct noise_row *row)
{
    count(counter_of(be), ROWS, 4 * cells(out), 0);
    counter_of(be)->op->noise(counter_of(be)->card, out, row);
}

static void count_edit_logits(struct backend *be, struct tensor logits, const struct logit_edit *edit, int n)
{
    count(counter_of(be), ROWS, (8 + (double)sizeof *edit) * n, 4 * n);
    counter_of(be)->op->edit_logits(counter_of(be)->card, logits, edit, n);
}

static void count_sample(struct backend *be, int32_t *out, struct tensor logits, const struct choice_row *how)
{
    count(counter_of(be), ROWS, 4 * cells(logits), 0);
    counter_of(be)->op->sample(counter_of(be)->card, out, logits, how);
}

static void count_nearest(struct backend *be, int32_t *out, struct tensor x, const struct weight *table)
{
    count(counter_of(be), ROWS, table->bytes + 4 * cells(x), 0);
    counter_of(be)->op->nearest(counter_of(be)->card, out, x, table->own);
}

static const struct backend_ops counting = {
    .name = "counting",
    .cache_types = 1u << DTYPE_BF16 | 1u << DTYPE_I8,
    .alloc = count_alloc,
    .free = count_free,
    .memory_left = count_memory_left,
    .reserve = count_reserve,
    .upload = count_upload,
    .download = count_download,
    .finish = count_finish,
    .replay = count_replay,
    .replay_end = count_replay_end,
    .weight_load = count_weight_load,
    .weight_free = count_weight_free,
    .embed = count_embed,
    .gather = count_gather,
    .scatter = count_scatter,
    .linear = count_linear,
    .rms_norm = count_rms_norm,
    .layer_norm = count_layer_norm,
    .silu_mul = count_silu_mul,
    .add = count_add,
    .kv_write = count_kv_write,
    .rope_write = count_rope_write,
    .norm_write = count_norm_write,
    .attention = count_attention,
    .conv2d = count_conv2d,
    .group_norm = count_group_norm,
    .resize = count_resize,
    .guide = count_guide,
    .noise = count_noise,
    .edit_logits = count_edit_logits,
    .sample = count_sample,
    .nearest = count_nearest,
};

/* ---- what is run ---- */

/* Requests that are still under way. */
struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    int left;
    bool failed;
};

static void hear_end(void *context, const struct event *e)
{
    struct waiting *w = context;
    if (e->type != EVENT_DONE && e->type != EVENT_FAILED)
        return;
    pthread_mutex_lock(&w->lock);
    w->left--;
    w->failed |= e->type == EVENT_FAILED;
    pthread_cond_signal(&w->ended);
    pthread_mutex_unlock(&w->lock);
}

static struct request *prompt(int ids, enum draw_mode draw, int tokens)
{
    struct request *r = request_new();
    r->n_ids = (size_t)ids;
    r->ids = xcalloc((size_t)ids, sizeof *r->ids);
    for (int i = 0; i < ids; i++)
        r->ids[i] = i == 0 ? 1 : 300 + i * 7 % 500;
    r->draw.mode = draw;
    r->text.max_tokens = tokens;
    return r;
}

static void run(struct engine *e, int requests, int ids, enum draw_mode draw, int tokens)
{
    struct waiting w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, requests, false};
    struct error err = {0};
    for (int i = 0; i < requests; i++) {
        struct request *r = prompt(ids, draw, tokens);
        if (engine_submit(e, r, (struct event_sink){hear_end, &w}, NULL, &err)) {
            fprintf(stderr, "count_steps: %s\n", err.message);
            exit(1);
        }
    }
    pthread_mutex_lock(&w.lock);
    while (w.left > 0)
        pthread_cond_wait(&w.ended, &w.lock);
    pthread_mutex_unlock(&w.lock);
    if (w.failed) {
        fprintf(stderr, "count_steps: a request failed\n");
        exit(1);
    }
}

static void print_counts(const char *name, const struct counts *c, unsigned long replayed)
{
    char submitted[64] = "";
    double total = 0;
    for (int k = 0; k < KINDS; k++) {
        double memory = c->bytes[k] / CARD_BYTES, compute = c->flops[k] / CARD_TENSOR;
        if (c->calls[k] == 0)
            continue;
        total += memory > compute ? memory : compute;
        printf("| %s | %s | %.0f | %.3f GB | %.3f TFLOP | %s | %.2f ms |\n", name, kind_names[k], c->calls[k],
               c->bytes[k] / 1e9, c->flops[k] / 1e12, memory > compute ? "memory" : "tensor cores",
               1e3 * (memory > compute ? memory : compute));
    }
    if (replayed)
        snprintf(submitted, sizeof submitted, ", %lu when replayed", replayed);
    printf("| %s | **together** | %lu launches%s | | | | **%.2f ms** |\n", name, c->submitted, submitted,
           1e3 * total);
}

static void count_decode(struct counter *c, struct engine *e, int rows, int context)
{
    char name[64];
    c->want = rows;
    c->decode = (struct counts){0};
    c->replayed = 0;
    run(e, rows, context, DRAW_NEVER, 200);
    snprintf(name, sizeof name, "decode, %d row%s, contexts of %d", rows, rows == 1 ? "" : "s", context);
    print_counts(name, &c->decode, c->replayed);
}

static void count_picture(struct counter *c, struct engine *e)
{
    c->all = (struct counts){0};
    run(e, 1, 30, DRAW_NOW, 1);
    print_counts("one picture, prompt included", &c->all, 0);
}

static const struct {
    const char *name;
    enum dtype layers, cache;
} forms[] = {{"as the file has them", DTYPE_F32, DTYPE_BF16}, {"int8", DTYPE_Q8_0, DTYPE_I8}};

int main(int argc, char **argv)
{
    struct counter c = {.base = {&counting}};
    struct error err = {0};
    int form = argc > 2 && strcmp(argv[2], "int8") == 0;
    emulator_run_dry();
    if (argc < 2 || cuda_backend_open(&c.card, 0, 0, &err)) {
        fprintf(stderr, "usage: count_steps MODEL [int8]   %s\n", err.message);
        return 2;
    }
    cuda_backend_set_fast(c.card, true);
    c.op = c.card->op;
    struct engine *e;
    struct engine_options options = {.model_path = argv[1],
                                     .max_sequences = 64,
                                     .layers = forms[form].layers,
                                     .cache_type = forms[form].cache};
    if (engine_open(&e, &c.base, &options, &err)) {
        fprintf(stderr, "count_steps: %s\n", err.message);
        return 1;
    }
    printf("Weights %s, cache %s:\n\n", forms[form].name, dtype_name(forms[form].cache));
    printf("| step | operations | calls | bytes | computed | bound by | at the limit "
           "|\n|---|---|---|---|---|---|---|\n");
    count_decode(&c, e, 1, 1000);
    count_decode(&c, e, 8, 1000);
    count_decode(&c, e, 64, 500);
    if (engine_config(e)->kind == MODEL_VARGPT)
        count_picture(&c, e);
    engine_close(e);
    cuda_backend_close(c.card);
    return 0;
}
