#include "cli/reply_queue.h"

#include "base/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct source {
    struct reply_queue *queue;
    int request;
};

struct reply_queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct reply_event *first, **end; /* under lock */
    struct source source[];
};

void reply_event_release(struct reply_event *e)
{
    picture_release(&e->picture);
    free(e->codes);
    *e = (struct reply_event){0};
}

static void put(struct reply_queue *q, struct reply_event *e)
{
    pthread_mutex_lock(&q->lock);
    *q->end = e;
    q->end = &e->next;
    pthread_cond_signal(&q->filled);
    pthread_mutex_unlock(&q->lock);
}

static void copy_picture(struct reply_event *e, const struct event *from)
{
    size_t bytes = (size_t)from->picture->width * (size_t)from->picture->height * 3;
    e->picture = *from->picture;
    e->picture.rgb = xmalloc(bytes);
    memcpy(e->picture.rgb, from->picture->rgb, bytes);
    if (from->codes && from->n_codes) {
        e->codes = xmalloc(from->n_codes * sizeof *e->codes);
        memcpy(e->codes, from->codes, from->n_codes * sizeof *e->codes);
        e->n_codes = from->n_codes;
    }
}

static void on_event(void *context, const struct event *from)
{
    static const enum reply_kind kinds[] = {
        [EVENT_TOKEN] = REPLY_TOKEN,     [EVENT_SCALE] = REPLY_SCALE, [EVENT_PREVIEW] = REPLY_PREVIEW,
        [EVENT_PICTURE] = REPLY_PICTURE, [EVENT_DONE] = REPLY_DONE,   [EVENT_FAILED] = REPLY_FAILED,
    };
    struct source *s = context;
    struct reply_event *e = xcalloc(1, sizeof *e);
    *e = (struct reply_event){
        .kind = kinds[from->type],
        .request = s->request,
        .id = from->id,
        .seed = from->seed,
        .ordinal = from->ordinal,
        .scale = from->scale,
        .n_scales = from->n_scales,
        .finish = from->finish,
        .usage = from->usage,
    };
    if (from->type == EVENT_PREVIEW || from->type == EVENT_PICTURE)
        copy_picture(e, from);
    if (from->type == EVENT_FAILED)
        e->error = *from->error;
    put(s->queue, e);
}

struct reply_queue *reply_queue_open(int requests)
{
    struct reply_queue *q = xcalloc(1, sizeof *q + (size_t)requests * sizeof q->source[0]);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->filled, &monotonic);
    pthread_condattr_destroy(&monotonic);
    q->end = &q->first;
    for (int i = 0; i < requests; i++)
        q->source[i] = (struct source){q, i};
    return q;
}

void reply_queue_close(struct reply_queue *q)
{
    struct reply_event e;
    if (!q)
        return;
    while (reply_queue_take(q, 0, &e))
        reply_event_release(&e);
    pthread_cond_destroy(&q->filled);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

struct event_sink reply_queue_sink(struct reply_queue *q, int request)
{
    return (struct event_sink){on_event, &q->source[request]};
}

static struct timespec time_from_now(int milliseconds)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += (long)milliseconds * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

bool reply_queue_take(struct reply_queue *q, int milliseconds, struct reply_event *out)
{
    struct timespec until = time_from_now(milliseconds);
    pthread_mutex_lock(&q->lock);
    while (!q->first && milliseconds > 0) {
        if (pthread_cond_timedwait(&q->filled, &q->lock, &until) != 0)
            break;
    }
    struct reply_event *e = q->first;
    if (e) {
        q->first = e->next;
        q->end = q->first ? q->end : &q->first;
    }
    pthread_mutex_unlock(&q->lock);
    if (!e)
        return false;
    *out = *e;
    out->next = NULL;
    free(e);
    return true;
}
