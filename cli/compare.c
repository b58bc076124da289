/* vargpt compare: what numbers of fewer bits cost. One set of prompts is computed twice: exactly, in float32
 * on the processor, and with the device, precision, cache type and weights of the settings; then the
 * distributions of every next token and every image code are compared. Image codes are forced to be the exact
 * run's, so that scales compare alike. */
#include "cli/cli.h"
#include "cli/traced_run.h"

#include "base/memory.h"
#include "engine/prompt.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DRAWINGS = 4, MAX_RUNS = 2 + DRAWINGS };

static const char text[] =
    "A lighthouse keeper writes a letter every evening. He tells of the weather, of the ships that passed, "
    "of the gulls on the railing and of what he had for supper. Nobody has ever answered. One morning a boat "
    "brings a sack with two thousand replies, all from one small town where his letters had been read aloud "
    "each Sunday. What should he write tonight? Answer in three sentences, and name one thing that he might "
    "draw.";
static const char look[] = "What is in this picture? Describe it in one sentence.";
static const char *const subjects[DRAWINGS] = {"a butterfly on a flower", "a cat",
                                               "a house to the left of a tree", "a boat under the moon"};

/* Both computations of one prompt. */
struct pair {
    const char *name;
    struct traced_run exact, other;
};

struct comparison {
    const struct config *config;
    struct pair pair[MAX_RUNS];
    int n;
    struct picture shown; /* what the model looks at */
    json_t *report;
};

static struct traced_run *side(struct pair *p, bool exactly)
{
    return exactly ? &p->exact : &p->other;
}

/* Mean and largest Kullback-Leibler divergence of rows of logits, and how often the likeliest is the same. */
struct distance {
    double sum, largest;
    int rows, agree;
};

/* ---- requests ---- */

static struct request *build(const struct engine *e, const char *words, const struct picture *seen,
                             struct error *err)
{
    struct prompt_part part[2] = {{.kind = PROMPT_SEEN, .picture = seen},
                                  {.kind = PROMPT_TEXT, .text = words, .length = strlen(words)}};
    struct prompt_message message = {"user", seen ? part : part + 1, seen ? 2 : 1};
    struct request *r = request_new();
    r->text.max_tokens = 0;
    r->draw.mode = DRAW_NEVER;
    if (prompt_build(e, &message, 1, true, r, err) == STATUS_OK)
        return r;
    request_close(r);
    return NULL;
}

/* Codes are given where the exact run has chosen them. */
static void have_drawn(struct request *r, const struct engine *e, int seed, const struct traced_run *exact)
{
    r->draw.mode = DRAW_NOW;
    r->draw.seed = (uint64_t)seed;
    r->draw.filter = engine_config(e)->drawing.filter;
    r->draw.guidance = engine_config(e)->drawing.guidance;
    if (!exact->n_codes)
        return;
    r->draw.n_given = exact->n_codes;
    r->draw.given = xmalloc(exact->n_codes * sizeof *r->draw.given);
    memcpy(r->draw.given, exact->codes, exact->n_codes * sizeof *r->draw.given);
}

static enum status run(struct traced_run *out, struct engine *e, struct request *r, struct error *err)
{
    if (!r)
        return err->status;
    traced_run_start(out, e, r, RUN_ROWS);
    if (traced_run_wait(out))
        return STATUS_OK;
    *err = out->error;
    return err->status;
}

/* A picture of stripes, for models that look and do not draw. */
static void paint(struct picture *p, int side)
{
    *p = (struct picture){.width = side, .height = side};
    p->rgb = xmalloc((size_t)side * (size_t)side * 3);
    for (int i = 0; i < side * side * 3; i++)
        p->rgb[i] = (uint8_t)((i / 3 % side * 5 + i / 3 / side * 3) * (i % 3 + 1));
}

static enum status run_all(struct comparison *c, struct engine *e, bool exactly, struct error *err)
{
    bool sees = engine_config(e)->kind >= MODEL_LLAVA, draws = engine_picture_tokens(e) > 0;
    c->n = 0;
    struct pair *p = &c->pair[c->n++];
    p->name = "text";
    if (run(side(p, exactly), e, build(e, text, NULL, err), err))
        return err->status;
    for (int i = 0; draws && i < DRAWINGS; i++) {
        p = &c->pair[c->n++];
        p->name = subjects[i];
        struct request *r = build(e, subjects[i], NULL, err);
        if (r)
            have_drawn(r, e, i + 1, &p->exact);
        if (run(side(p, exactly), e, r, err))
            return err->status;
    }
    if (!sees)
        return STATUS_OK;
    if (exactly)
        paint(&c->shown, engine_config(e)->vision.image_size);
    const struct picture *shown = draws ? &c->pair[1].exact.picture : &c->shown;
    p = &c->pair[c->n++];
    p->name = "looking";
    return run(side(p, exactly), e, build(e, look, shown, err), err);
}

/* ---- comparing ---- */

static double log_total(const float *logits, int n, int *likeliest)
{
    double sum = 0;
    int best = 0;
    for (int i = 1; i < n; i++)
        best = logits[i] > logits[best] ? i : best;
    for (int i = 0; i < n; i++)
        sum += exp((double)logits[i] - (double)logits[best]);
    *likeliest = best;
    return log(sum) + (double)logits[best];
}

static void add_row(struct distance *d, const float *exact, const float *other, int n)
{
    int a, b;
    double exact_total = log_total(exact, n, &a), other_total = log_total(other, n, &b), sum = 0;
    for (int i = 0; i < n; i++) {
        double logprob = (double)exact[i] - exact_total;
        sum += exp(logprob) * (logprob - ((double)other[i] - other_total));
    }
    d->sum += sum;
    d->largest = fmax(d->largest, sum);
    d->agree += a == b;
    d->rows++;
}

static void add_rows(struct distance *d, const struct run_rows *exact, const struct run_rows *other)
{
    for (int i = 0; exact && other && i < exact->rows && i < other->rows; i++)
        add_row(d, exact->values + (size_t)i * (size_t)exact->cols,
                other->values + (size_t)i * (size_t)exact->cols, exact->cols);
}

/* A prompt's rows come in parts, which need not be cut alike. */
static void add_prompt(struct distance *d, const struct pair *p)
{
    int cols = 0;
    for (int at = 0;; at++) {
        const float *exact = traced_run_row(&p->exact, TRACE_PROMPT_LOGITS, at, &cols);
        const float *other = traced_run_row(&p->other, TRACE_PROMPT_LOGITS, at, &cols);
        if (!exact || !other)
            return;
        add_row(d, exact, other, cols);
    }
}

static void tell(struct comparison *c, const char *name, const struct distance *d)
{
    if (d->rows == 0)
        return;
    double mean = d->sum / d->rows, agreement = 100.0 * d->agree / d->rows;
    if (!c->config->json)
        printf("%-16s %6d  %14.2e  %14.2e  %15.2f\n", name, d->rows, mean, d->largest, agreement);
    json_array_append_new(c->report, json_pack("{s:s, s:i, s:f, s:f, s:f}", "name", name, "rows", d->rows,
                                               "mean_divergence", mean, "largest_divergence", d->largest,
                                               "top1_percent", agreement));
}

static void tell_scales(struct comparison *c, int scales)
{
    for (int s = 0; s < scales; s++) {
        struct distance d = {0};
        char name[32];
        for (int i = 0; i < c->n; i++)
            add_rows(&d, traced_run_find(&c->pair[i].exact, TRACE_COND_LOGITS, s),
                     traced_run_find(&c->pair[i].other, TRACE_COND_LOGITS, s));
        snprintf(name, sizeof name, "drawing, scale %d", s + 1);
        tell(c, name, &d);
    }
}

static void tell_all(struct comparison *c, int scales)
{
    if (!c->config->json)
        printf("%-16s %6s  %14s  %14s  %15s\n", "", "rows", "mean KL, nats", "largest", "same top-1, %");
    for (int i = 0; i < c->n; i++) {
        struct distance d = {0};
        if (c->pair[i].exact.n_codes) /* drawings are told scale by scale */
            continue;
        add_prompt(&d, &c->pair[i]);
        tell(c, c->pair[i].name, &d);
    }
    tell_scales(c, scales);
    if (c->config->json && json_dumpf(c->report, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) == 0)
        printf("\n");
}

/* ---- the subcommand ---- */

/* The settings of an exact run: the same model and memory, nothing shortened. */
static struct config exact_settings(const struct config *c)
{
    static char cpu[] = "cpu";
    struct config exact = *c;
    exact.device = cpu;
    exact.precision = PRECISION_EXACT;
    exact.cache_type = CACHE_TYPE_F32;
    exact.weights = WEIGHTS_FILE;
    return exact;
}

static enum status compute(struct comparison *c, const struct config *settings, bool exactly, int *scales,
                           struct error *err)
{
    struct cli_engine e;
    char device[64];
    if (cli_open_engine(&e, settings, NULL, NULL, err))
        return err->status;
    cli_describe_backend(e.backend, device, sizeof device);
    fprintf(stderr, "%s: %s, cache %s, weights as %s\n", exactly ? "exact" : "compared", device,
            dtype_name(engine_memory(e.engine).cache_type),
            settings->weights == WEIGHTS_FILE   ? "in the file"
            : settings->weights == WEIGHTS_INT8 ? "int8"
                                                : "int4");
    *scales = engine_config(e.engine)->drawing.n_scales;
    enum status status = run_all(c, e.engine, exactly, err);
    cli_close_engine(&e);
    return status;
}

static void release(struct comparison *c)
{
    for (int i = 0; i < MAX_RUNS; i++) {
        if (c->pair[i].exact.ended)
            traced_run_release(&c->pair[i].exact);
        if (c->pair[i].other.ended)
            traced_run_release(&c->pair[i].other);
    }
    picture_release(&c->shown);
    json_decref(c->report);
}

int compare_main(int argc, char **argv)
{
    struct config config;
    struct error err = {0};
    int code, scales = 0;
    if (!cli_begin(&config, COMMAND_COMPARE, argc, argv, &code))
        return code;
    struct config exact = exact_settings(&config);
    struct comparison c = {.config = &config, .report = json_array()};
    if (compute(&c, &exact, true, &scales, &err) || compute(&c, &config, false, &scales, &err)) {
        code = cli_fail(&err);
    } else {
        tell_all(&c, scales);
        code = EXIT_DONE;
    }
    release(&c);
    config_release(&config);
    return code;
}
