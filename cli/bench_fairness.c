/* Two chats that go on and on, first alone, then beside a picture being drawn and a prompt of 3,000 tokens
 * being read. */
#include "base/clock.h"
#include "base/memory.h"
#include "cli/bench.h"
#include "cli/traced_run.h"

#include <stdlib.h>

enum { CHATS = 2, ALONE_TOKENS = 12, LONG_PROMPT = 3000 };

/* A chat's tokens until it is told to stop. */
struct endless {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t id;
    int64_t last_ns, longest_ns,
        alone_ns; /* its newest token; the longest wait for one; of its first tokens, the shortest */
    int tokens;
    bool ended;
};

static void on_event(void *context, const struct event *e)
{
    struct endless *c = context;
    int64_t now = clock_ns();
    pthread_mutex_lock(&c->mutex);
    if (e->type == EVENT_TOKEN) {
        int64_t wait = c->tokens ? now - c->last_ns : 0;
        if (wait && c->tokens < ALONE_TOKENS && (!c->alone_ns || wait < c->alone_ns))
            c->alone_ns = wait;
        c->longest_ns = c->tokens >= ALONE_TOKENS && wait > c->longest_ns ? wait : c->longest_ns;
        c->last_ns = now;
        c->tokens++;
    }
    c->ended |= e->type == EVENT_DONE || e->type == EVENT_FAILED;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->mutex);
}

static struct request *ids_request(struct engine *e, int n, uint32_t salt)
{
    struct request *r = request_new();
    uint32_t vocab = (uint32_t)engine_config(e)->llm.vocab, span = vocab > 600 ? 500 : vocab / 2;
    r->n_ids = (size_t)n;
    r->ids = xcalloc((size_t)n, sizeof *r->ids);
    for (int i = 0; i < n; i++, salt = salt * 1664525 + 1013904223)
        r->ids[i] = (int32_t)(vocab > 600 ? 60 + (salt >> 16) % span : (salt >> 16) % span);
    r->draw.mode = DRAW_NEVER;
    r->text.ignore_end = true;
    r->text.max_tokens = engine_context(e) - n - 1;
    return r;
}

static enum status start_chat(struct endless *c, struct engine *e, int index, struct error *err)
{
    struct request *r = ids_request(e, 12, 77 + (uint32_t)index);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->changed, NULL);
    enum status status = engine_submit(e, r, (struct event_sink){on_event, c}, &c->id, err);
    if (status) {
        request_close(r);
        c->ended = true;
    }
    return status;
}

static void wait_for(struct endless *c, int tokens)
{
    pthread_mutex_lock(&c->mutex);
    while (!c->ended && c->tokens < tokens)
        pthread_cond_wait(&c->changed, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

static void stop_chat(struct endless *c, struct engine *e)
{
    if (c->id)
        engine_cancel(e, c->id);
    wait_for(c, 1 << 30);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->mutex);
}

static bool run_others(struct engine *e, struct error *err)
{
    struct traced_run reading, drawing;
    int room = engine_context(e) - 64, n = room < LONG_PROMPT ? room : LONG_PROMPT;
    struct request *prompt = ids_request(e, n, 5);
    bool draws = engine_picture_tokens(e) > 0, done = true;
    prompt->text.max_tokens = 1;
    traced_run_start(&reading, e, prompt, RUN_UNTRACED);
    if (draws) {
        struct request *picture = ids_request(e, 16, 9);
        picture->draw.mode = DRAW_NOW;
        traced_run_start(&drawing, e, picture, RUN_UNTRACED);
        done = traced_run_wait(&drawing);
        *err = done ? *err : drawing.error;
        traced_run_release(&drawing);
    }
    if (!traced_run_wait(&reading)) {
        *err = reading.error;
        done = false;
    }
    traced_run_release(&reading);
    return done;
}

static void tell_waits(struct bench_report *report, const struct endless *chat,
                       const struct engine_status *looked, const struct config *c)
{
    int64_t longest = 0, alone = 0;
    for (int i = 0; i < CHATS; i++) {
        longest = chat[i].longest_ns > longest ? chat[i].longest_ns : longest;
        alone = chat[i].alone_ns > alone ? chat[i].alone_ns : alone;
    }
    int64_t steps = (c->token_wait_steps ? c->token_wait_steps : 4) * looked->token_step_ns;
    int64_t least = (int64_t)(c->token_wait_ms ? c->token_wait_ms : 250) * 1000000,
            patience = steps > least ? steps : least;
    struct bench_figure figure[] = {
        {"longest_wait_ms", "ms at most", (double)longest * 1e-6},
        {"bound_ms", "ms bound", (double)(patience + looked->longest_unit_ns) * 1e-6},
        {"unit_ms", "ms of it a unit", (double)looked->longest_unit_ns * 1e-6},
        {"step_ms", "ms a step now", (double)looked->token_step_ns * 1e-6},
        {"alone_ms", "ms alone", (double)alone * 1e-6},
    };
    bench_tell(report, "model", "a chat's next token beside reading and drawing", figure, 5);
}

enum status bench_fairness(struct bench_report *report, struct engine *e, const struct config *c,
                           struct error *err)
{
    struct endless chat[CHATS] = {{.ended = false}};
    struct engine_status looked;
    int started = 0;
    while (started < CHATS && start_chat(&chat[started], e, started, err) == STATUS_OK)
        started++;
    for (int i = 0; i < started; i++)
        wait_for(&chat[i], ALONE_TOKENS);
    bool done = started == CHATS && run_others(e, err);
    engine_look(e, &looked);
    for (int i = 0; i < started; i++)
        stop_chat(&chat[i], e);
    if (done)
        tell_waits(report, chat, &looked, c);
    return err->status;
}
