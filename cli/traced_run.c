#include "cli/traced_run.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static void add_token(struct traced_run *run, const struct event *e)
{
    if (run->n_tokens == run->token_capacity) {
        run->token_capacity = run->token_capacity * 2 + 64;
        run->token = xrealloc(run->token, run->token_capacity * sizeof *run->token);
    }
    run->token[run->n_tokens++] = (struct run_token){e->id, e->logprob, clock_ns()};
}

static void keep_picture(struct traced_run *run, const struct event *e)
{
    size_t bytes = (size_t)e->picture->width * (size_t)e->picture->height * 3;
    picture_release(&run->picture);
    free(run->codes);
    run->picture = *e->picture;
    run->picture.rgb = xmalloc(bytes);
    memcpy(run->picture.rgb, e->picture->rgb, bytes);
    run->codes = xmalloc(e->n_codes * sizeof *run->codes + 1);
    if (e->n_codes)
        memcpy(run->codes, e->codes, e->n_codes * sizeof *run->codes);
    run->n_codes = e->n_codes;
    run->ordinal = e->ordinal;
    run->picture_ns = clock_ns();
}

static void end(struct traced_run *run)
{
    run->ended = true;
    run->ended_ns = clock_ns();
    pthread_cond_signal(&run->changed);
}

static void on_event(void *context, const struct event *e)
{
    struct traced_run *run = context;
    pthread_mutex_lock(&run->mutex);
    switch (e->type) {
    case EVENT_TOKEN: add_token(run, e); break;
    case EVENT_PROMPT:
    case EVENT_SCALE:
    case EVENT_PREVIEW: break;
    case EVENT_PICTURE: keep_picture(run, e); break;
    case EVENT_DONE:
        run->finish = e->finish;
        run->usage = e->usage;
        end(run);
        break;
    case EVENT_FAILED:
        run->error = *e->error;
        end(run);
        break;
    }
    pthread_mutex_unlock(&run->mutex);
}

static void on_rows(void *context, enum trace_point point, int index, const float *values, int rows, int cols)
{
    struct traced_run *run = context;
    struct run_rows *shown = xmalloc(sizeof *shown);
    size_t bytes = (size_t)rows * (size_t)cols * sizeof *values;
    *shown =
        (struct run_rows){.point = point, .index = index, .rows = rows, .cols = cols, .at_ns = clock_ns()};
    if (run->keep_rows) {
        shown->values = xmalloc(bytes + 1);
        memcpy(shown->values, values, bytes);
    }
    pthread_mutex_lock(&run->mutex);
    shown->older = run->newest;
    run->newest = shown;
    pthread_mutex_unlock(&run->mutex);
}

void traced_run_start(struct traced_run *run, struct engine *engine, struct request *request,
                      enum run_look look)
{
    *run = (struct traced_run){.keep_rows = look == RUN_ROWS, .trace = {on_rows, run}};
    pthread_mutex_init(&run->mutex, NULL);
    pthread_cond_init(&run->changed, NULL);
    request->trace = look == RUN_UNTRACED ? NULL : &run->trace;
    run->submitted_ns = clock_ns();
    struct error err = {0};
    if (engine_submit(engine, request, (struct event_sink){on_event, run}, NULL, &err)) {
        request_close(request);
        run->error = err;
        run->ended = true;
    }
}

bool traced_run_wait(struct traced_run *run)
{
    pthread_mutex_lock(&run->mutex);
    while (!run->ended)
        pthread_cond_wait(&run->changed, &run->mutex);
    pthread_mutex_unlock(&run->mutex);
    return run->error.status == STATUS_OK;
}

void traced_run_release(struct traced_run *run)
{
    while (run->newest) {
        struct run_rows *shown = run->newest;
        run->newest = shown->older;
        free(shown->values);
        free(shown);
    }
    picture_release(&run->picture);
    free(run->codes);
    free(run->token);
    pthread_cond_destroy(&run->changed);
    pthread_mutex_destroy(&run->mutex);
}

const struct run_rows *traced_run_find(const struct traced_run *run, enum trace_point point, int index)
{
    for (const struct run_rows *r = run->newest; r; r = r->older) {
        if (r->point == point && r->index == index)
            return r;
    }
    return NULL;
}

const float *traced_run_row(const struct traced_run *run, enum trace_point point, int position, int *cols)
{
    for (const struct run_rows *r = run->newest; r; r = r->older) {
        if (r->point == point && r->index <= position && position - r->index < r->rows) {
            *cols = r->cols;
            return r->values + (size_t)(position - r->index) * (size_t)r->cols;
        }
    }
    return NULL;
}
