#include "server/reply.h"

#include "base/clock.h"
#include "base/memory.h"
#include "server/keys.h"
#include "server/meter.h"
#include "server/metrics.h"
#include "server/sse.h"
#include "server/state.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { FIRST_LOOK_MS = 250 }; /* how often a waiting reply's place in the queue is looked at */

/* What the engine holds as a sink's context. */
struct slot {
    struct reply *reply;
    int choice;
    /* the connection's thread only */
    bool submitted;
    uint64_t id;
    struct meter_choice meter; /* under the reply's lock, once submitted */
};

struct reply {
    pthread_mutex_t lock; /* guards the next block */
    int owners;           /* the connection, and each request in the engine */
    struct reply_event *first, **last;
    size_t queued_bytes;
    bool closed, broken;

    bool scales; /* EVENT_SCALE is wanted; set before the first submit */
    struct meter *meter;
    struct api_key *key; /* may be NULL */
    int64_t deadline_ns;
    int prompt_choices; /* consecutive choices that share a prompt, which counts once */
    int told_place;     /* in the queue, of the last ping; -1: none told */
    int first_place;    /* the first that was seen; 0: none */
    int wake;           /* eventfd: readable while the queue is not empty */
    struct engine *engine;
    int n_slots;
    struct slot slot[];
};

void reply_event_free(struct reply_event *e)
{
    if (!e)
        return;
    picture_release(&e->picture);
    free(e);
}

enum status reply_open(struct reply **out, struct exchange *x, int choices, struct error *err)
{
    struct reply *r = try_calloc(1, sizeof *r + (size_t)choices * sizeof r->slot[0]);
    if (!r)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a reply");
    r->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (r->wake < 0) {
        free(r);
        return error_set(err, STATUS_BUSY, "no file descriptors left");
    }
    pthread_mutex_init(&r->lock, NULL);
    r->owners = 1;
    r->last = &r->first;
    r->n_slots = choices;
    r->told_place = -1;
    r->deadline_ns = x->deadline_ns;
    r->prompt_choices = choices;
    r->key = api_key_hold(x->key);
    r->meter = meter_open(x->server->metrics, x->key, x->started_ns);
    meter_drop(x->meter);
    x->meter = meter_hold(r->meter);
    for (int i = 0; i < choices; i++)
        r->slot[i] = (struct slot){.reply = r, .choice = i};
    *out = r;
    return STATUS_OK;
}

static void drop_events(struct reply *r)
{
    while (r->first) {
        struct reply_event *e = r->first;
        r->first = e->next;
        reply_event_free(e);
    }
    r->last = &r->first;
    r->queued_bytes = 0;
}

/* With the lock held, which is let go. */
static void give_up(struct reply *r)
{
    bool last = --r->owners == 0;
    pthread_mutex_unlock(&r->lock);
    if (!last)
        return;
    drop_events(r);
    pthread_mutex_destroy(&r->lock);
    meter_drop(r->meter);
    api_key_drop(r->key);
    close(r->wake);
    free(r);
}

void reply_close(struct reply *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->n_slots; i++)
        reply_cancel(r, i);
    pthread_mutex_lock(&r->lock);
    r->closed = true;
    drop_events(r);
    give_up(r);
}

void reply_cancel(struct reply *r, int choice)
{
    struct slot *slot = &r->slot[choice];
    if (slot->submitted) {
        pthread_mutex_lock(&r->lock);
        slot->meter.cancelled_ns = clock_ns();
        pthread_mutex_unlock(&r->lock);
        engine_cancel(r->engine, slot->id);
    }
    slot->submitted = false;
}

static size_t event_bytes(const struct event *e)
{
    size_t n =
        sizeof(struct reply_event) + (size_t)e->n_top * sizeof e->top[0] + e->n_codes * sizeof e->codes[0];
    if (e->picture)
        n += (size_t)e->picture->width * (size_t)e->picture->height * 3;
    return n + (e->error ? sizeof *e->error : 0);
}

/* Copies the rows behind a pointer to *tail and returns where they are now. */
static void *copy_rows(char **tail, const void *rows, size_t bytes)
{
    if (!rows)
        return NULL;
    void *to = *tail;
    memcpy(to, rows, bytes);
    *tail += bytes;
    return to;
}

static struct reply_event *copy_event(const struct event *e, int choice)
{
    size_t top = e->top ? (size_t)e->n_top * sizeof e->top[0] : 0;
    size_t codes = e->codes ? e->n_codes * sizeof e->codes[0] : 0;
    size_t error = e->error ? sizeof *e->error : 0;
    struct reply_event *copy = try_malloc(1, sizeof *copy + top + codes + error);
    if (!copy)
        return NULL;
    *copy = (struct reply_event){.choice = choice, .event = *e};
    char *tail = (char *)(copy + 1);
    copy->event.top = copy_rows(&tail, e->top, top);
    copy->event.codes = copy_rows(&tail, e->codes, codes);
    copy->event.error = copy_rows(&tail, e->error, error);
    if (e->picture) {
        size_t bytes = (size_t)e->picture->width * (size_t)e->picture->height * 3;
        copy->picture = (struct picture){e->picture->width, e->picture->height, try_malloc(bytes, 1)};
        copy->event.picture = &copy->picture;
        if (!copy->picture.rgb) {
            free(copy);
            return NULL;
        }
        memcpy(copy->picture.rgb, e->picture->rgb, bytes);
    }
    return copy;
}

/* `count` scales spread evenly over those before the last. */
static uint32_t choose_previews(int count, int n_scales)
{
    uint32_t scales = 0;
    for (int k = 1; k <= count; k++) {
        int scale = k * n_scales / (count + 1) - 1;
        scales |= scale >= 0 && scale < n_scales - 1 ? 1u << scale : 0;
    }
    return count >= n_scales - 1 ? ~0u : scales;
}

/* On the engine's thread. */
static void on_event(void *context, const struct event *e)
{
    struct slot *slot = context;
    struct reply *r = slot->reply;
    bool ends = e->type == EVENT_DONE || e->type == EVENT_FAILED;
    bool skip = e->type == EVENT_SCALE && !r->scales;
    struct reply_event *copy = skip ? NULL : copy_event(e, slot->choice);
    pthread_mutex_lock(&r->lock);
    meter_event(&slot->meter, e);
    size_t bytes = event_bytes(e);
    bool fits = r->queued_bytes + bytes <= REPLY_QUEUE_BYTES;
    if (!skip && !r->closed) {
        bool was_empty = !r->first;
        if (copy && fits) {
            *r->last = copy;
            r->last = &copy->next;
            r->queued_bytes += bytes;
            copy = NULL;
        } else {
            r->broken = true;
        }
        uint64_t one = 1;
        if ((was_empty || r->broken) && write(r->wake, &one, sizeof one) < 0)
            assert(errno == EAGAIN); /* it is readable already */
    }
    if (ends)
        give_up(r);
    else
        pthread_mutex_unlock(&r->lock);
    reply_event_free(copy);
}

void reply_want_scales(struct reply *r)
{
    r->scales = true;
}

void reply_share_prompts(struct reply *r, int choices)
{
    r->prompt_choices = choices;
}

int64_t reply_most_tokens(const struct engine *engine, const struct request *r, int choices)
{
    int64_t left = engine_context(engine) - (int64_t)r->n_ids, picture = engine_picture_tokens(engine);
    left = left > 0 ? left : 0;
    int pictures = r->draw.mode == DRAW_FREE ? r->draw.max_pictures : r->draw.mode == DRAW_NOW;
    int64_t text = r->draw.mode == DRAW_NOW ? 0 : r->text.max_tokens < 0 ? left : r->text.max_tokens;
    int64_t most = text + pictures * picture;
    return (int64_t)r->n_ids + choices * (most < left ? most : left);
}

enum problem reply_reserve(struct reply *r, int64_t tokens, struct http_error *e)
{
    double wait;
    if (meter_reserve(r->meter, tokens, r->n_slots, &wait))
        return PROBLEM_NONE;
    http_error_set(e, PROBLEM_BUSY, NULL,
                   "this call may take up to %lld tokens, which is more than this key may use now; try again "
                   "in %.0f s, or "
                   "ask for less ('max_tokens')",
                   (long long)tokens, ceil(wait));
    e->retry_after = http_retry_seconds(wait);
    return e->problem;
}

enum status reply_submit(struct reply *r, struct engine *engine, struct request *request, int choice,
                         int previews, struct error *err)
{
    struct slot *slot = &r->slot[choice];
    r->engine = engine;
    request->choice = (uint32_t)choice;
    request->deadline_ns = r->deadline_ns;
    if (r->key)
        api_key_salt(r->key, request->cache_salt);
    int prompt_tokens = (int)request->n_ids;
    request->draw.previews = choose_previews(previews, engine_config(engine)->drawing.n_scales);
    pthread_mutex_lock(&r->lock);
    r->owners++;
    slot->meter = (struct meter_choice){.meter = r->meter, .submitted_ns = clock_ns()};
    pthread_mutex_unlock(&r->lock);
    if (engine_submit(engine, request, (struct event_sink){on_event, slot}, &slot->id, err)) {
        request_close(request);
        pthread_mutex_lock(&r->lock);
        give_up(r);
        return err->status;
    }
    slot->submitted = true;
    if (choice % r->prompt_choices == 0)
        meter_prompt(r->meter, prompt_tokens);
    return STATUS_OK;
}

/* Of the call's requests the one that waits longest; 0: none waits. */
static int place_of(struct reply *r)
{
    int last = 0;
    for (int i = 0; i < r->n_slots; i++) {
        int place = r->slot[i].submitted ? engine_place(r->engine, r->slot[i].id) : 0;
        last = place > last ? place : last;
    }
    return last;
}

/* Is there news of its place in the queue? Nothing is told of a reply that has never waited. */
static bool has_moved(struct reply *r)
{
    int place = place_of(r);
    if (place == 0)
        r->told_place = 0;
    if (r->first_place == 0)
        r->first_place = place;
    return place != 0 && place != r->told_place;
}

void reply_append_ping(struct reply *r, const struct exchange *x, struct buffer *out)
{
    int place = place_of(r);
    r->told_place = place;
    if (place == 0) {
        sse_append_ping(out);
        return;
    }
    double seconds = (double)place * (double)atomic_load(&x->server->metrics->pace_ns) * 1e-9;
    buffer_printf(out, ": queued, %d ahead", place - 1);
    if (seconds >= 0.5)
        buffer_printf(out, ", about %.0f s", seconds);
    buffer_append_text(out, "\n\n");
}

enum reply_wait reply_wait(struct reply *r, const struct exchange *x, int seconds)
{
    struct pollfd p[3] = {{.fd = r->wake, .events = POLLIN},
                          {.fd = x->socket, .events = POLLRDHUP},
                          {.fd = x->server->closing_event, .events = POLLIN}};
    int64_t end = clock_ns() + (int64_t)seconds * 1000000000;
    for (;;) {
        int64_t left = (end - clock_ns()) / 1000000 + 1;
        int n = poll(p, 3, r->told_place == 0 ? (int)(left > 0 ? left : 0) : FIRST_LOOK_MS);
        if (n < 0 && errno != EINTR)
            return REPLY_GONE;
        if (n > 0 && p[1].revents)
            return REPLY_GONE;
        if (server_is_closing(x->server))
            return REPLY_ENDED;
        if (n > 0 && p[0].revents)
            return REPLY_READY;
        if (clock_ns() >= end || (r->told_place != 0 && has_moved(r)))
            return REPLY_IDLE;
    }
}

int reply_first_place(const struct reply *r)
{
    return r->first_place;
}

struct reply_event *reply_take(struct reply *r)
{
    pthread_mutex_lock(&r->lock);
    struct reply_event *e = r->first;
    if (e) {
        r->first = e->next;
        if (!r->first)
            r->last = &r->first;
        r->queued_bytes -= event_bytes(&e->event);
    }
    uint64_t count;
    if (!r->first && !r->broken && read(r->wake, &count, sizeof count) < 0)
        assert(errno == EAGAIN);
    pthread_mutex_unlock(&r->lock);
    if (e && (e->event.type == EVENT_DONE || e->event.type == EVENT_FAILED))
        r->slot[e->choice].submitted = false;
    return e;
}

enum reply_wait reply_pump(struct reply *r, const struct exchange *x, int seconds,
                           void (*feed)(void *context, const struct reply_event *), void *context)
{
    enum reply_wait w = reply_wait(r, x, seconds);
    if (w != REPLY_READY)
        return w;
    for (struct reply_event *e; (e = reply_take(r)) != NULL; reply_event_free(e))
        feed(context, e);
    return REPLY_READY;
}

bool reply_broken(struct reply *r)
{
    pthread_mutex_lock(&r->lock);
    bool broken = r->broken;
    pthread_mutex_unlock(&r->lock);
    return broken;
}
