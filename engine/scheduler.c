#include "engine/engine_state.h"
#include "engine/prefix.h"

#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_PREFILL_ROWS = 64 }; /* of a step, while anyone waits for his prompt */

/* --- arrivals --- */

static bool take_cancel(struct engine *e, uint64_t id)
{
    for (int i = 0; i < e->n_cancel; i++) {
        if (e->cancel[i] == id)
            return true;
    }
    return false;
}

static void mark(struct engine *e, struct sequence **list, int n)
{
    int64_t now = clock_ns();
    for (int i = 0; i < n; i++) {
        struct sequence *s = list[i];
        if (s->given_up == STATUS_OK && e->n_cancel && take_cancel(e, s->id))
            s->given_up = STATUS_CANCELLED;
        if (s->given_up == STATUS_OK && s->request->deadline_ns && now > s->request->deadline_ns)
            s->given_up = STATUS_TIMEOUT;
    }
}

/* Marks what was cancelled or is late; nothing is freed under the lock but the list. */
static void mark_given_up(struct engine *e)
{
    mark(e, e->running, e->n_running);
    mark(e, e->waiting, e->n_waiting);
    e->n_cancel = 0;
}

/* Moves a waiting sequence to the running ones, which stand in the order in which they come first. */
static void start_waiting(struct engine *e, int from)
{
    struct sequence *s = e->waiting[from];
    if (s->begun_ns == 0 && s->given_up == STATUS_OK)
        s->begun_ns = clock_ns();
    int at = e->n_running++;
    for (; at > 0 && sequence_comes_before(s, e->running[at - 1]); at--)
        e->running[at] = e->running[at - 1];
    e->running[at] = s;
    e->n_waiting--;
    memmove(e->waiting + from, e->waiting + from + 1, (size_t)(e->n_waiting - from) * sizeof *e->waiting);
}

/* Those given up join the running for a moment, room or not (the list has some to spare), and end below. */
static void admit_waiting(struct engine *e)
{
    for (int i = 0; i < e->n_waiting;) {
        if (e->waiting[i]->given_up && e->n_running < 2 * e->max_sequences)
            start_waiting(e, i);
        else
            i++;
    }
    while (e->n_waiting > 0 && e->n_running < e->max_sequences)
        start_waiting(e, 0);
}

static void end_given_up(struct engine *e)
{
    struct error error;
    for (int i = 0; i < e->n_running;) {
        struct sequence *s = e->running[i];
        if (s->given_up == STATUS_OK || s->in_pass) {
            i++;
            continue;
        }
        error_set(&error, s->given_up,
                  s->given_up == STATUS_TIMEOUT     ? "the request's deadline has passed"
                  : s->given_up == STATUS_NO_MEMORY ? "no memory to draw a picture"
                                                    : "the request was cancelled");
        sequence_fail(e, s, &error);
    }
}

static void note_status(struct engine *e, bool stepping)
{
    e->status = e->counted;
    e->status.running = e->n_running;
    e->status.waiting = e->n_waiting;
    e->status.heartbeat_ns = clock_ns();
    e->status.stepping = stepping;
    e->status.token_step_ns = e->pace.text_ns;
    e->status.page_tokens = PAGE_TOKENS;
    e->status.pages = kv_pool_pages(e->llm_pool);
    e->status.pages_used = kv_pool_used(e->llm_pool);
    e->status.pages_cached = kv_pool_cached(e->llm_pool);
}

void scheduler_admit(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    note_status(e, e->n_running > 0);
    while (!e->stop && e->n_running == 0 && e->n_waiting == 0) {
        e->n_cancel = 0;
        pthread_cond_wait(&e->wake, &e->lock);
    }
    mark_given_up(e);
    admit_waiting(e);
    note_status(e, true);
    pthread_mutex_unlock(&e->lock);
    end_given_up(e);
}

void scheduler_poll(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    mark_given_up(e);
    note_status(e, true);
    pthread_mutex_unlock(&e->lock);
    end_given_up(e);
}

/* --- pages --- */

bool scheduler_may_preempt(const struct sequence *s)
{
    return !s->drawing && !s->in_pass && s->pages.n > 0;
}

void scheduler_preempt(struct engine *e, struct sequence *s)
{
    sequence_drop(e, s);
    s->state = SEQUENCE_QUEUED;
    s->token_ns = 0;
    e->counted.preemptions++;
}

/* Gives s pages for `positions`, taking them from the last of those that come after it, if need be. False: it
 * must wait, since all of them together do not have enough. */
static bool find_pages(struct engine *e, struct sequence *s, int positions)
{
    while (!page_table_reserve(&s->pages, e->llm_pool, positions)) {
        struct sequence *youngest = NULL;
        int there = kv_pool_pages(e->llm_pool) - kv_pool_used(e->llm_pool);
        for (int i = 0; i < e->n_running; i++) {
            struct sequence *other = e->running[i];
            if (!sequence_comes_before(s, other) || !scheduler_may_preempt(other))
                continue;
            there += other->pages.n;
            if (!youngest || sequence_comes_before(youngest, other))
                youngest = other;
        }
        if (!youngest || pages_for(positions) - s->pages.n > there)
            return false;
        scheduler_preempt(e, youngest);
    }
    return true;
}

/* A picture's whole need is taken before it starts. */
static bool start_drawing(struct engine *e, struct sequence *s)
{
    if (!find_pages(e, s, s->n_ids + e->model->n_positions))
        return false;
    return drawing_begin(e, s);
}

/* --- the plan --- */

static void plan_clear(struct pass *pass)
{
    batch_clear(&pass->batch);
    pass->n_planned = 0;
}

static void plan_rows(struct pass *pass, struct sequence *s, int n_ids, int n_map)
{
    int n = n_ids + n_map;
    int first = batch_add(&pass->batch, s->n_cached, n, &s->pages);
    pass->plan[pass->n_planned++] = (struct planned){s, first, n, n_ids};
}

static void plan_text(struct engine *e, struct pass *pass)
{
    for (int i = 0; i < e->n_running; i++) {
        struct sequence *s = e->running[i];
        if (sequence_wants_token(s) && pass->batch.n_rows < pass->max_rows && find_pages(e, s, s->n_ids))
            plan_rows(pass, s, 1, 0);
    }
}

static void plan_images(struct engine *e, int budget)
{
    struct pass *pass = &e->pass;
    bool may_start = true; /* a younger picture must not take what an older one waits for */
    for (int i = 0; i < e->n_running; i++) {
        struct sequence *s = e->running[i];
        if (s->state != SEQUENCE_IMAGE)
            continue;
        if (!s->drawing && !(may_start = may_start && start_drawing(e, s)))
            continue;
        int map = model_scale_rows(e->model, s->drawing->scale), n = sequence_pending(s) + map;
        if (pass->batch.n_rows + n <= budget)
            plan_rows(pass, s, n - map, map);
    }
}

static bool wants_prefill(const struct sequence *s)
{
    return s->state == SEQUENCE_PREFILL;
}

static void plan_prefill(struct engine *e, int budget)
{
    struct pass *pass = &e->pass;
    budget = budget < pass->max_rows ? budget : pass->max_rows;
    for (int i = 0; i < e->n_running; i++) {
        struct sequence *s = e->running[i];
        int room = budget - pass->batch.n_rows, n = sequence_pending(s);
        if (!wants_prefill(s) || room <= 0)
            continue;
        n = n < room ? n : room;
        if (find_pages(e, s, s->n_cached + n))
            plan_rows(pass, s, n, 0);
    }
}

/* Whether it pays to wait for an older sequence that is computing what this one begins with (n choices, say).
 */
static bool prefix_comes_later(const struct engine *e, int at)
{
    for (int i = 0; i < at; i++) {
        if (prefix_is_coming(e->running[at], e->running[i]))
            return true;
    }
    return false;
}

static void begin(struct engine *e, struct sequence *s)
{
    encode_begin(s);
    if (s->started)
        return;
    s->started = true;
    s->usage.cached_tokens = s->n_cached < s->n_prompt ? s->n_cached : s->n_prompt;
    e->counted.prompt_tokens += (uint64_t)s->n_prompt;
    e->counted.cached_tokens += (uint64_t)s->usage.cached_tokens;
}

/* A preempted or new sequence begins when its whole prompt can be had (it may be preempted again, but not at
 * once). */
static void start_queued(struct engine *e)
{
    for (int i = 0; i < e->n_running; i++) {
        struct sequence *s = e->running[i];
        if (s->state != SEQUENCE_QUEUED)
            continue;
        prefix_adopt(s, e->llm_pool);
        bool wait = prefix_comes_later(e, i), room = !wait && find_pages(e, s, s->n_ids);
        if (!room)
            sequence_drop(e, s);
        if (!room && !wait)
            return; /* younger ones must not pass it */
        if (room)
            begin(e, s);
    }
}

static int count_running(const struct engine *e, bool (*is)(const struct sequence *))
{
    int n = 0;
    for (int i = 0; i < e->n_running; i++)
        n += is(e->running[i]);
    return n;
}

/* False when planning an older sequence took the pages of one planned before it. */
static bool plan_is_sound(const struct pass *pass)
{
    for (int i = 0; i < pass->n_planned; i++) {
        if (pass->plan[i].sequence->state == SEQUENCE_QUEUED)
            return false;
    }
    return true;
}

/* Rows that a pass may have beside chats' next tokens: as many as it holds, fewer where each takes long, so
 * that new arrivals are not kept out. */
static int choose_budget(const struct engine *e)
{
    int64_t longest = 8 * patience_ns(e);
    int64_t rows = e->pace.row_ns > 0 ? longest / e->pace.row_ns : e->step_rows;
    return rows < LEAST_PREFILL_ROWS ? LEAST_PREFILL_ROWS : rows < e->step_rows ? (int)rows : e->step_rows;
}

static void plan_others(struct engine *e)
{
    int rows = e->pass.batch.n_rows, budget = rows + choose_budget(e);
    int images = e->step_rows - (count_running(e, wants_prefill) ? LEAST_PREFILL_ROWS : 0);
    plan_images(e, images > rows + model_largest_scale(e->model) ? images : e->step_rows);
    plan_prefill(e, e->pass.batch.n_rows > rows && budget < e->pass.batch.n_rows
                        ? e->pass.batch.n_rows + LEAST_PREFILL_ROWS
                        : budget);
}

/* Whether a pass of that many rows beside the chats' keeps their tokens past the time they are due. Twice
 * what the rows take, because those of another kind than the last ones may take longer. */
static bool keeps_chats_waiting(const struct engine *e, int others)
{
    bool unknown = e->pace.row_ns == 0 && others >= 16;
    return unknown || clock_ns() + 2 * others * e->pace.row_ns + e->pace.text_ns > tokens_due_ns(e);
}

/* Chats' rows go with the others where that is quick (weights are read once for all); where it is not, others
 * go alone and chats come in between. */
void scheduler_plan(struct engine *e)
{
    struct pass *pass = &e->pass;
    do {
        plan_clear(pass);
        start_queued(e);
        plan_text(e, pass);
        int text = pass->batch.n_rows;
        plan_others(e);
        int others = pass->batch.n_rows - text;
        if (text > 0 && others > 0 && keeps_chats_waiting(e, others)) {
            plan_clear(pass);
            plan_others(e);
        }
    } while (!plan_is_sound(pass));
    for (int i = 0; i < pass->n_planned; i++)
        pass->plan[i].sequence->in_pass = true;
}

void scheduler_plan_interlude(struct engine *e)
{
    struct pass *pass = &e->interlude;
    do {
        plan_clear(pass);
        plan_text(e, pass);
    } while (!plan_is_sound(pass));
}

/* --- checking --- */

void scheduler_check_pages(const struct engine *e)
{
    int llm = 0, decoder = 0;
    for (int i = 0; i < e->n_running; i++) {
        const struct sequence *s = e->running[i];
        llm += s->pages.n;
        decoder += s->drawing ? s->drawing->cond.n + s->drawing->uncond.n : 0;
        assert(s->state != SEQUENCE_QUEUED || s->pages.n == 0);
        assert(s->pages.n >= pages_for(s->n_cached));
    }
    assert(kv_pool_holders(e->llm_pool) == llm);
    assert(!e->decoder_pool || kv_pool_holders(e->decoder_pool) == decoder);
}
