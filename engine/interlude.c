#include "engine/engine_state.h"

#include "base/clock.h"

int64_t patience_ns(const struct engine *e)
{
    int64_t steps = e->token_wait_steps * e->pace.text_ns, least = (int64_t)e->token_wait_ms * 1000 * 1000;
    return steps > least ? steps : least;
}

int64_t tokens_due_ns(const struct engine *e)
{
    int64_t oldest = INT64_MAX, patience = patience_ns(e);
    for (int i = 0; i < e->n_running; i++) {
        const struct sequence *s = e->running[i];
        if (sequence_wants_token(s) && s->token_ns < oldest - patience)
            oldest = s->token_ns + patience;
    }
    return oldest;
}

static int64_t smoothed(int64_t old, int64_t now)
{
    return old ? old + (now - old) / 4 : now;
}

void pace_begin(struct engine *e)
{
    e->pace.unit_ns -= e->pace.unit_ns / 4; /* passes are much alike: the longest unit fades slowly */
    e->pace.interludes_ns = 0;
    e->pace.last_unit_ns = clock_ns();
}

static void note_unit(struct engine *e, int64_t now)
{
    struct pace *p = &e->pace;
    int64_t unit = now - p->last_unit_ns;
    p->last_unit_ns = now;
    p->unit_ns = unit > p->unit_ns ? unit : p->unit_ns;
    e->counted.longest_unit_ns = unit > e->counted.longest_unit_ns ? unit : e->counted.longest_unit_ns;
}

void pace_end(struct engine *e, int text_rows, int64_t began_ns)
{
    struct pace *p = &e->pace;
    int64_t now = clock_ns(), took = now - began_ns - p->interludes_ns;
    int others = e->pass.batch.n_rows - text_rows;
    if (others > 0)
        note_unit(e, now);
    if (others == 0)
        p->text_ns = smoothed(p->text_ns, took);
    else if (others >= 16) /* fewer say little about a row */
        p->row_ns = smoothed(p->row_ns, took / others);
}

static bool tokens_are_due(struct engine *e, int64_t now)
{
    struct pace *p = &e->pace;
    note_unit(e, now);
    return now + p->unit_ns + p->text_ns > tokens_due_ns(e);
}

void interlude(void *context)
{
    struct engine *e = context;
    int64_t now = clock_ns();
    if (e->in_interlude || !tokens_are_due(e, now))
        return;
    e->in_interlude = true;
    scheduler_poll(e);
    scheduler_plan_interlude(e);
    size_t mark = arena_mark(&e->arena);
    /* always at the same end of it: passes that repeat do so in place */
    arena_reset(&e->arena, e->arena.size - text_step_arena(e, e->max_sequences));
    if (e->interlude.n_planned > 0)
        run_pass(e, &e->interlude);
    arena_reset(&e->arena, mark);
    int64_t end = clock_ns();
    if (e->interlude.n_planned > 0)
        e->pace.text_ns = smoothed(e->pace.text_ns, end - now);
    e->counted.interludes += e->interlude.n_planned > 0;
    e->counted.text_rows += e->interlude.n_planned > 0 ? (uint64_t)e->interlude.batch.n_rows : 0;
    e->pace.last_unit_ns = end;
    e->pace.interludes_ns += end - now;
    e->in_interlude = false;
}
