#include "server/meter.h"

#include "base/clock.h"
#include "base/memory.h"
#include "server/keys.h"
#include "server/metrics.h"

#include <pthread.h>
#include <stdlib.h>

struct meter {
    atomic_int owners;
    struct metrics *metrics;
    struct api_key *key; /* may be NULL */
    int64_t arrived_ns;
    pthread_mutex_t lock;
    struct meter_totals totals;
    int64_t reserved, used; /* of the key's allowance, until settled */
    int running;            /* engine requests that have not ended */
};

struct meter *meter_open(struct metrics *metrics, struct api_key *key, int64_t arrived_ns)
{
    struct meter *m = xcalloc(1, sizeof *m);
    atomic_init(&m->owners, 1);
    pthread_mutex_init(&m->lock, NULL);
    m->metrics = metrics_hold(metrics);
    m->key = api_key_hold(key);
    m->arrived_ns = arrived_ns;
    m->totals = (struct meter_totals){.queue_ns = -1, .first_ns = -1};
    return m;
}

struct meter *meter_hold(struct meter *m)
{
    atomic_fetch_add(&m->owners, 1);
    return m;
}

static void settle(struct meter *m)
{
    if (m->key)
        api_key_settle(m->key, m->reserved, m->used);
    m->reserved = m->used = 0;
}

bool meter_reserve(struct meter *m, int64_t most, int requests, double *wait_seconds)
{
    if (m->key && !api_key_reserve(m->key, &most, wait_seconds))
        return false;
    pthread_mutex_lock(&m->lock);
    m->reserved = most;
    m->running = requests;
    pthread_mutex_unlock(&m->lock);
    return true;
}

void meter_drop(struct meter *m)
{
    if (!m || atomic_fetch_sub(&m->owners, 1) > 1)
        return;
    settle(m); /* some of its requests were never begun, perhaps */
    metrics_drop(m->metrics);
    api_key_drop(m->key);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

void meter_read(struct meter *m, struct meter_totals *out)
{
    pthread_mutex_lock(&m->lock);
    *out = m->totals;
    pthread_mutex_unlock(&m->lock);
}

void meter_prompt(struct meter *m, int tokens)
{
    pthread_mutex_lock(&m->lock);
    m->totals.prompt_tokens += tokens;
    m->used += tokens;
    if (m->running == 0) /* its replies have ended already */
        settle(m);
    pthread_mutex_unlock(&m->lock);
    atomic_fetch_add(&m->metrics->prompt_tokens, (uint_least64_t)tokens);
}

static void note_begin(struct meter_choice *c, int64_t begun_ns)
{
    struct meter *m = c->meter;
    int64_t waited = begun_ns - c->submitted_ns;
    c->begun = true;
    c->last_ns = begun_ns;
    waited = waited > 0 ? waited : 0;
    metrics_begun(m->metrics, begun_ns, waited);
    if (m->totals.queue_ns < waited)
        m->totals.queue_ns = waited;
}

static void note_first(struct meter_choice *c, int64_t now)
{
    struct meter *m = c->meter;
    if (m->totals.first_ns >= 0)
        return;
    m->totals.first_ns = now - m->arrived_ns;
    metrics_time(m->metrics, TIMING_FIRST, m->totals.first_ns);
}

static void note_end(struct meter_choice *c, const struct event *e, int64_t now)
{
    struct meter *m = c->meter;
    bool cancelled = e->type == EVENT_FAILED && e->error->status == STATUS_CANCELLED;
    if (c->cancelled_ns)
        metrics_time(m->metrics, TIMING_FREE, now - c->cancelled_ns);
    atomic_fetch_add(e->type == EVENT_DONE ? &m->metrics->done
                     : cancelled           ? &m->metrics->cancelled
                                           : &m->metrics->failed,
                     1);
    if (e->type == EVENT_DONE) {
        int hidden =
            e->usage.text_tokens + e->usage.picture_tokens - c->tokens; /* the end token and its like */
        hidden = hidden > 0 ? hidden : 0;
        c->tokens += hidden;
        m->totals.text_tokens += hidden;
        atomic_fetch_add(&m->metrics->text_tokens, (uint_least64_t)hidden);
        if (m->totals.cached_tokens < e->usage.cached_tokens) {
            atomic_fetch_add(&m->metrics->cached_tokens,
                             (uint_least64_t)(e->usage.cached_tokens - m->totals.cached_tokens));
            m->totals.cached_tokens = e->usage.cached_tokens;
        }
    }
    m->used += c->tokens;
    if (--m->running == 0)
        settle(m);
}

static void note_token(struct meter_choice *c, int64_t now)
{
    struct meter *m = c->meter;
    note_first(c, now);
    if (c->last_was_token)
        metrics_time(m->metrics, TIMING_NEXT, now - c->last_ns);
    c->last_was_token = true;
    c->last_ns = now;
    c->tokens++;
    m->totals.text_tokens++;
    atomic_fetch_add(&m->metrics->text_tokens, 1);
}

static void note_scale(struct meter_choice *c, const struct event *e, int64_t now)
{
    note_first(c, now);
    metrics_scale(c->meter->metrics, e->scale, now - c->last_ns);
    c->last_was_token = false;
    c->last_ns = now;
}

static void note_picture(struct meter_choice *c, const struct event *e, int64_t now)
{
    struct meter *m = c->meter;
    note_first(c, now);
    c->last_was_token = false;
    c->last_ns = now;
    c->tokens += (int)e->n_codes;
    m->totals.pictures++;
    m->totals.picture_tokens += (int)e->n_codes;
    atomic_fetch_add(&m->metrics->pictures, 1);
    atomic_fetch_add(&m->metrics->picture_tokens, (uint_least64_t)e->n_codes);
}

void meter_event(struct meter_choice *c, const struct event *e)
{
    int64_t now = clock_ns();
    pthread_mutex_lock(&c->meter->lock);
    if (!c->begun && e->begun_ns)
        note_begin(c, e->begun_ns);
    switch (e->type) {
    case EVENT_PROMPT: break;
    case EVENT_TOKEN: note_token(c, now); break;
    case EVENT_SCALE: note_scale(c, e, now); break;
    case EVENT_PREVIEW: break;
    case EVENT_PICTURE: note_picture(c, e, now); break;
    case EVENT_DONE:
    case EVENT_FAILED: note_end(c, e, now); break;
    }
    pthread_mutex_unlock(&c->meter->lock);
}
