#include "engine/engine_state.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

void drawing_drop(struct engine *e, struct sequence *s)
{
    struct drawing *d = s->drawing;
    if (!d)
        return;
    if (paint_is_pending(e, s) && engine_paints_aside(e))
        e->op->after(e->be, e->aside); /* which may still read the map: whoever gets its memory comes later */
    paint_forget(e, s);
    page_table_release(&d->cond, e->decoder_pool);
    page_table_release(&d->uncond, e->decoder_pool);
    e->op->free(e->be, d->f_hat);
    e->op->free(e->be, d->map);
    free(d->codes);
    free(d);
    s->drawing = NULL;
}

void sequence_drop(struct engine *e, struct sequence *s)
{
    drawing_drop(e, s);
    page_table_release(&s->pages, e->llm_pool);
    for (int i = 0; i < s->n_pictures; i++) {
        e->op->free(e->be, s->picture[i].rows);
        s->picture[i].rows = NULL;
    }
    s->n_cached = s->n_published = 0;
}

static void remove_running(struct engine *e, const struct sequence *s)
{
    int at = 0;
    while (at < e->n_running && e->running[at] != s)
        at++;
    if (at == e->n_running)
        return;
    e->n_running--;
    memmove(e->running + at, e->running + at + 1, (size_t)(e->n_running - at) * sizeof *e->running);
}

void sequence_send(struct sequence *s, const struct event *event)
{
    struct event dated = *event;
    dated.begun_ns = s->begun_ns;
    s->sink.on_event(s->sink.context, &dated);
}

void sequence_done(struct engine *e, struct sequence *s, enum finish_reason reason)
{
    sequence_drop(e, s);
    remove_running(e, s);
    sequence_send(s, &(struct event){.type = EVENT_DONE, .finish = reason, .usage = s->usage});
    sequence_close(s);
}

void sequence_fail(struct engine *e, struct sequence *s, const struct error *error)
{
    sequence_drop(e, s);
    remove_running(e, s);
    sequence_send(s, &(struct event){.type = EVENT_FAILED, .error = error});
    sequence_close(s);
}

void engine_fail_all(struct engine *e, const struct error *error)
{
    while (e->n_running > 0)
        sequence_fail(e, e->running[e->n_running - 1], error);
    e->pass.n_planned = e->interlude.n_planned = 0;
}

void trace_rows(struct engine *e, struct sequence *s, enum trace_point point, int index, struct tensor rows)
{
    const struct trace *trace = s->request->trace;
    if (!trace || rows.rows <= 0)
        return;
    size_t cols = (size_t)rows.cols;
    float *host = try_malloc((size_t)rows.rows * cols, sizeof *host);
    if (!host)
        return;
    for (int r = 0; r < rows.rows; r++)
        e->op->download(e->be, host + (size_t)r * cols, (float *)rows.data + (size_t)r * (size_t)rows.stride,
                        cols * sizeof *host);
    if (e->op->finish(e->be, NULL) == STATUS_OK)
        trace->on_rows(trace->context, point, index, host, rows.rows, rows.cols);
    free(host);
}
