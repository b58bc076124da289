/* The stages of a checkpoint: each measured by when its events and trace points come. */
#include "base/clock.h"
#include "base/memory.h"
#include "cli/bench.h"
#include "cli/cli.h"
#include "cli/traced_run.h"
#include "engine/model/checkpoint.h"
#include "engine/prompt.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Weights of that many bytes may stay in the processor's caches: memory says nothing of their speed. */
enum { REPLY_TOKENS = 64, MOST_CLIENTS = 16, CACHED_BYTES = 64 << 20 };

struct bench_stage {
    struct bench_report *report;
    struct engine *engine;
    const struct config *config;
    int tokens;                    /* of the replies whose speed is measured */
    double llm_bytes, llm_weights; /* read for each token: all of the LLM's matrices but the embedding */
    int prompts;                   /* made so far: each differs from the others from its first word on */
    struct error *err;
};

/* ---- memory ---- */

/* Most memory this process has held since the last call. */
static double peak_megabytes(void)
{
    long kilobytes = 0;
    char line[128];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "VmHWM: %ld", &kilobytes) == 1)
            break;
    }
    if (f)
        fclose(f);
    struct rusage usage;
    if (!kilobytes && getrusage(RUSAGE_SELF, &usage) == 0)
        kilobytes = usage.ru_maxrss;
    int reset = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (reset >= 0) { /* "5" begins a new peak; where it may not be written, the peak is the process's */
        ssize_t written = write(reset, "5", 1);
        (void)written;
        close(reset);
    }
    return (double)kilobytes / 1024;
}

/* The limits of these moments; the memory for measuring them is not the stage's. */
static void measure_limits(struct bench_stage *s)
{
    bench_measure_limits(s->report, 0.1);
    peak_megabytes();
}

static void tell(struct bench_stage *s, const char *name, const struct bench_figure *figure, size_t n)
{
    struct bench_figure all[6];
    for (size_t i = 0; i < n; i++)
        all[i] = figure[i];
    all[n] = (struct bench_figure){"peak_mb", "MB peak", peak_megabytes()};
    bench_tell(s->report, "model", name, all, n + 1);
}

static double seconds_between(int64_t from, int64_t to)
{
    return (double)(to - from) * 1e-9;
}

/* ---- requests ---- */

/* A prompt of about `words` words that no earlier one begins with, so that no cached row answers for it. */
static struct request *text_request(struct bench_stage *s, int words, const struct picture *picture)
{
    static const char *const word[] = {"river", "stone", "light", "under",
                                       "green", "seven", "paper", "quiet"};
    struct buffer text;
    struct request *request = request_new();
    uint32_t mix = (uint32_t)++s->prompts * 2654435761u;
    buffer_init(&text, BUFFER_NO_LIMIT);
    buffer_printf(&text, "%d", s->prompts);
    for (int i = 0; i < words; i++, mix = mix * 1664525 + 1013904223)
        buffer_printf(&text, " %s", word[mix >> 29]);
    struct prompt_part part[2] = {{.kind = PROMPT_TEXT, .text = text.data, .length = text.length},
                                  {.kind = PROMPT_SEEN, .picture = picture}};
    struct prompt_message message = {"user", part, picture ? 2 : 1};
    enum status status = prompt_build(s->engine, &message, 1, true, request, s->err);
    buffer_release(&text);
    if (status) {
        request_close(request);
        return NULL;
    }
    request->text.filter.temperature = 0;
    request->text.ignore_end = true;
    request->draw.mode = DRAW_NEVER;
    return request;
}

/* As run_wait, with the reason of a failure handed on. */
static bool finish(struct bench_stage *s, struct traced_run *run)
{
    bool done = traced_run_wait(run);
    if (!done)
        *s->err = run->error;
    return done;
}

/* ---- stages ---- */

static bool bench_vision(struct bench_stage *s)
{
    const struct vision_preprocess *p = &engine_config(s->engine)->vision.preprocess;
    if (engine_config(s->engine)->kind < MODEL_LLAVA)
        return true;
    size_t bytes = (size_t)p->crop_width * (size_t)p->crop_height * 3;
    struct picture picture = {p->crop_width, p->crop_height, xcalloc(bytes, 1)};
    struct traced_run run;
    for (size_t i = 0; i < bytes; i++)
        picture.rgb[i] = (uint8_t)(i * 2654435761u >> 24);
    int64_t start = clock_ns();
    struct request *request = text_request(s, 4, &picture);
    picture_release(&picture);
    if (!request)
        return false;
    double prompt = seconds_between(start, clock_ns());
    request->text.max_tokens = 0;
    traced_run_start(&run, s->engine, request, RUN_TIMES);
    bool done = finish(s, &run);
    const struct run_rows *rows = traced_run_find(&run, TRACE_PICTURE_ROWS, 0);
    if (done && rows) {
        struct bench_figure figure[] = {
            {"time_ms", "ms", seconds_between(run.submitted_ns, rows->at_ns) * 1e3},
            {"prompt_ms", "ms before (prompt, resizing)", prompt * 1e3},
        };
        tell(s, "vision tower and projector, one picture", figure, 2);
    }
    traced_run_release(&run);
    return done;
}

static bool bench_prefill(struct bench_stage *s, int words)
{
    struct traced_run run;
    struct request *request = text_request(s, words, NULL);
    if (!request)
        return false;
    size_t n = request->n_ids;
    request->text.max_tokens = 1;
    measure_limits(s);
    traced_run_start(&run, s->engine, request, RUN_UNTRACED);
    bool done = finish(s, &run);
    if (done) {
        char name[64];
        double took = seconds_between(run.submitted_ns, run.n_tokens ? run.token[0].at_ns : run.ended_ns);
        snprintf(name, sizeof name, "prefill, %zu tokens", n);
        struct bench_figure figure[] = {
            {"time_ms", "ms", took * 1e3},
            {"tokens_per_second", "tokens/s", (double)n / took},
            {"percent_of_flops", "% of FLOP/s",
             200 * s->llm_weights * (double)n / took / s->report->limit.flops},
        };
        tell(s, name, figure, 3);
    }
    traced_run_release(&run);
    return done;
}

static bool bench_decode(struct bench_stage *s)
{
    struct traced_run run;
    struct request *request = text_request(s, 8, NULL);
    if (!request)
        return false;
    request->text.max_tokens = s->tokens;
    measure_limits(s);
    traced_run_start(&run, s->engine, request, RUN_UNTRACED);
    bool done = finish(s, &run);
    if (done && run.n_tokens > 1) {
        double each = seconds_between(run.token[0].at_ns, run.token[run.n_tokens - 1].at_ns) /
                      (double)(run.n_tokens - 1);
        struct bench_figure figure[] = {
            {"time_ms", "ms a token", each * 1e3},
            {"tokens_per_second", "tokens/s", 1 / each},
            {"percent_of_bandwidth", "% of GB/s", 100 * s->llm_bytes / each / s->report->limit.bandwidth},
        };
        tell(s, "decode, one request", figure, s->llm_bytes > CACHED_BYTES ? 3 : 2);
    }
    traced_run_release(&run);
    return done;
}

/* What all threads of this process have computed so far: unlike the clock, no neighbour on the machine
 * stretches it. */
static double processor_seconds(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) ? 0 : (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool bench_clients(struct bench_stage *s, int clients)
{
    struct traced_run *run = xcalloc((size_t)clients, sizeof *run);
    int64_t start = clock_ns();
    double busy = processor_seconds();
    size_t tokens = 0;
    int started = 0;
    bool done = true;
    for (; done && started < clients; started++) {
        struct request *request = text_request(s, 8, NULL);
        if (!(done = request != NULL))
            break;
        request->text.max_tokens = s->tokens;
        traced_run_start(&run[started], s->engine, request, RUN_UNTRACED);
    }
    for (int i = 0; i < started; i++) {
        done = finish(s, &run[i]) && done;
        tokens += run[i].n_tokens;
        traced_run_release(&run[i]);
    }
    free(run);
    if (done) {
        char name[64];
        snprintf(name, sizeof name, "replies of %d tokens, %d at once", s->tokens, clients);
        struct bench_figure figure[] = {
            {"tokens_per_second", "tokens/s altogether", (double)tokens / seconds_between(start, clock_ns())},
            {"tokens_per_processor_second", "tokens a processor's s",
             (double)tokens / (processor_seconds() - busy)},
        };
        tell(s, name, figure, 2);
    }
    return done;
}

/* ---- drawing ---- */

/* When the last row of the prompt was through the LLM. */
static int64_t prompt_end(const struct traced_run *run)
{
    for (const struct run_rows *r = run->newest; r; r = r->older) {
        if (r->point == TRACE_PROMPT_HIDDEN || r->point == TRACE_PROMPT_LOGITS)
            return r->at_ns;
    }
    return run->submitted_ns;
}

static void tell_scales(struct bench_stage *s, const struct traced_run *run)
{
    const struct drawing_config *d = &engine_config(s->engine)->drawing;
    int64_t before = prompt_end(run);
    for (int i = 0; i < d->n_scales; i++) {
        const struct run_rows *map = traced_run_find(run, TRACE_FEATURE_MAP, i);
        if (!map)
            return;
        char name[64];
        snprintf(name, sizeof name, "picture, scale %d (%d x %d)", i, d->scale[i], d->scale[i]);
        struct bench_figure figure = {"time_ms", "ms", seconds_between(before, map->at_ns) * 1e3};
        tell(s, name, &figure, 1);
        before = map->at_ns;
    }
    struct bench_figure figure = {"time_ms", "ms", seconds_between(before, run->picture_ns) * 1e3};
    tell(s, "picture, VAE decoder", &figure, 1);
}

static bool bench_drawing(struct bench_stage *s)
{
    if (engine_config(s->engine)->kind != MODEL_VARGPT)
        return true;
    bool done = true;
    for (int traced = 1; done && traced >= 0; traced--) {
        struct traced_run run;
        struct request *request = text_request(s, 8, NULL);
        if (!request)
            return false;
        request->draw.mode = DRAW_NOW;
        traced_run_start(&run, s->engine, request, traced ? RUN_TIMES : RUN_UNTRACED);
        done = finish(s, &run);
        if (done && traced) {
            tell_scales(s, &run);
        } else if (done) {
            struct bench_figure figure = {"time_ms", "ms",
                                          seconds_between(run.submitted_ns, run.picture_ns) * 1e3};
            tell(s, "picture, whole", &figure, 1);
        }
        traced_run_release(&run);
    }
    return done;
}

/* ---- all of them ---- */

static bool is_read_for_each_token(const struct checkpoint_tensor *t, bool tied)
{
    static const char llm[] = "language_model.", embedding[] = "language_model.model.embed_tokens.weight";
    return !strncmp(t->name, llm, sizeof llm - 1) && t->n_dims == 2 &&
           (tied || strcmp(t->name, embedding) != 0);
}

static enum status count_weights(struct bench_stage *s)
{
    struct checkpoint *ck;
    bool tied = engine_config(s->engine)->llm.tied_head;
    if (checkpoint_open(&ck, s->config->model, s->err))
        return s->err->status;
    for (size_t i = 0; i < checkpoint_count(ck); i++) {
        const struct checkpoint_tensor *t = checkpoint_at(ck, i);
        if (is_read_for_each_token(t, tied)) {
            s->llm_bytes += (double)t->bytes;
            s->llm_weights += (double)t->shape[0] * (double)t->shape[1];
        }
    }
    checkpoint_close(ck);
    return STATUS_OK;
}

static bool bench_stages(struct bench_stage *s)
{
    int context = engine_context(s->engine), picture = engine_picture_tokens(s->engine);
    if (!bench_vision(s))
        return false;
    for (int words = 64; words <= 1024 && words * 6 + picture < context; words *= 4) {
        if (!bench_prefill(s, words))
            return false;
    }
    if (!bench_decode(s))
        return false;
    for (int clients = 1; clients <= MOST_CLIENTS; clients = clients == 1 ? 4 : clients * 2) {
        if (!bench_clients(s, clients))
            return false;
    }
    return bench_drawing(s) && bench_fairness(s->report, s->engine, s->config, s->err) == STATUS_OK;
}

enum status bench_model(struct bench_report *report, const struct config *c, struct error *err)
{
    struct cli_engine opened = {0};
    int64_t start = clock_ns();
    peak_megabytes();
    if (cli_open_engine(&opened, c, NULL, NULL, err))
        return err->status;
    struct bench_stage s = {.report = report,
                            .config = c,
                            .engine = opened.engine,
                            .err = err,
                            .tokens = c->max_tokens > 0 ? c->max_tokens : REPLY_TOKENS};
    struct engine_memory memory = engine_memory(s.engine);
    struct bench_figure figure[] = {
        {"time_ms", "ms", seconds_between(start, clock_ns()) * 1e3},
        {"weights_mb", "MB weights", (double)memory.weights / (1 << 20)},
        {"cache_mb", "MB cache", (double)memory.cache / (1 << 20)},
        {"work_mb", "MB work", (double)memory.work / (1 << 20)},
    };
    tell(&s, "load", figure, 4);
    if (count_weights(&s) == STATUS_OK)
        bench_stages(&s);
    cli_close_engine(&opened);
    return err->status;
}
