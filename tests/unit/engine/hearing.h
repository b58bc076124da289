/* What the engine's tests share: requests over the tiny checkpoint, and hearing out what they are told. */
#ifndef VARGPT_TESTS_ENGINE_HEARING_H
#define VARGPT_TESTS_ENGINE_HEARING_H

#include "cpu/cpu_backend.h"
#include "engine/engine.h"

#include "base/memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char checkpoint[] = "tests/golden/tiny-a/checkpoint";

/* Everything that a request was told, and how it ended. */
struct heard {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
    enum status status; /* of EVENT_FAILED */
    struct event last;
    int32_t id[4096];
    float logprob[4096];
    int n_ids;
    int32_t prompt_id[4096]; /* of EVENT_PROMPT */
    float prompt_logprob[4096];
    int n_prompt;
    int32_t *codes; /* of all pictures, end to end */
    size_t n_codes;
    uint8_t *rgb; /* of the last picture */
    size_t n_rgb;
    int n_pictures, n_previews;
    int before_picture; /* tokens before the first picture */
};

static inline void hear(void *context, const struct event *e)
{
    struct heard *h = context;
    pthread_mutex_lock(&h->lock);
    assert_false(h->done);
    if (e->type == EVENT_TOKEN && h->n_ids < 4096) {
        h->logprob[h->n_ids] = e->logprob;
        h->id[h->n_ids++] = e->id;
    } else if (e->type == EVENT_PROMPT && h->n_prompt < 4096) {
        assert_int_equal(h->n_ids, 0);
        h->prompt_logprob[h->n_prompt] = e->logprob;
        h->prompt_id[h->n_prompt++] = e->id;
    } else if (e->type == EVENT_PICTURE) {
        if (h->n_pictures++ == 0)
            h->before_picture = h->n_ids;
        h->codes = xrealloc(h->codes, (h->n_codes + e->n_codes) * sizeof *h->codes);
        memcpy(h->codes + h->n_codes, e->codes, e->n_codes * sizeof *h->codes);
        h->n_codes += e->n_codes;
        h->n_rgb = (size_t)e->picture->width * (size_t)e->picture->height * 3;
        h->rgb = xrealloc(h->rgb, h->n_rgb);
        memcpy(h->rgb, e->picture->rgb, h->n_rgb);
    } else if (e->type == EVENT_PREVIEW) {
        h->n_previews++;
    } else if (e->type == EVENT_DONE || e->type == EVENT_FAILED) {
        h->status = e->type == EVENT_FAILED ? e->error->status : STATUS_OK;
        h->last = *e;
        h->done = true;
        pthread_cond_signal(&h->ended);
    }
    pthread_mutex_unlock(&h->lock);
}

static inline struct heard *heard_new(void)
{
    struct heard *h = xcalloc(1, sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->ended, NULL);
    return h;
}

static inline void heard_wait(struct heard *h)
{
    pthread_mutex_lock(&h->lock);
    while (!h->done)
        pthread_cond_wait(&h->ended, &h->lock);
    pthread_mutex_unlock(&h->lock);
}

static inline int heard_count(struct heard *h)
{
    pthread_mutex_lock(&h->lock);
    int n = h->n_ids;
    pthread_mutex_unlock(&h->lock);
    return n;
}

static inline void heard_free(struct heard *h)
{
    pthread_cond_destroy(&h->ended);
    pthread_mutex_destroy(&h->lock);
    free(h->codes);
    free(h->rgb);
    free(h);
}

static inline void assert_same(const struct heard *a, const struct heard *b)
{
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->n_ids, b->n_ids);
    assert_memory_equal(a->id, b->id, (size_t)a->n_ids * sizeof *a->id);
    assert_memory_equal(a->logprob, b->logprob, (size_t)a->n_ids * sizeof *a->logprob);
    assert_int_equal(a->n_codes, b->n_codes);
    assert_int_equal(a->n_rgb, b->n_rgb);
    if (a->n_codes)
        assert_memory_equal(a->codes, b->codes, a->n_codes * sizeof *a->codes);
    if (a->n_rgb)
        assert_memory_equal(a->rgb, b->rgb, a->n_rgb);
    assert_int_equal(a->last.finish, b->last.finish);
}

struct world {
    struct backend *be;
    struct engine *engine;
};

static inline struct world world_open(struct engine_options options, int threads)
{
    struct world w = {0};
    struct error err = {0};
    options.model_path = checkpoint;
    assert_int_equal(cpu_backend_open(&w.be, threads, cpu_level_detected(), &err), STATUS_OK);
    if (engine_open(&w.engine, w.be, &options, &err))
        fail_msg("%s", err.message);
    return w;
}

static inline void world_close(struct world *w)
{
    engine_close(w->engine);
    cpu_backend_close(w->be);
}

static inline void assert_no_pages_held(struct engine *e)
{
    struct engine_status s;
    for (int tries = 0; tries < 500; tries++) {
        engine_look(e, &s);
        if (!s.stepping && s.running == 0 && s.waiting == 0)
            break;
        usleep(10000);
    }
    assert_int_equal(s.running, 0);
    assert_int_equal(s.pages_used, 0);
}

/* A prompt of n ids that look like text; no special ones. */
static inline struct request *text_request(int n, unsigned salt)
{
    struct request *r = request_new();
    r->n_ids = (size_t)n;
    r->ids = xcalloc((size_t)n, sizeof *r->ids);
    r->ids[0] = 1;
    for (int i = 1; i < n; i++)
        r->ids[i] = (int32_t)(300 + (unsigned)i * (2 * salt + 1) % 500);
    r->draw.mode = DRAW_NEVER;
    r->text.max_tokens = 24;
    r->text.ignore_end = true;
    r->text.seed = salt;
    r->text.logprobs = true;
    return r;
}

static inline struct request *drawing_request(int n, unsigned salt)
{
    struct request *r = text_request(n, salt);
    r->draw.mode = DRAW_NOW;
    r->draw.seed = salt;
    return r;
}

/* A picture to look at, in the middle of the prompt. */
static inline struct request *seeing_request(const struct engine *e, unsigned salt)
{
    int rows = engine_seen_rows(e), side = engine_config(e)->vision.image_size;
    struct request *r = text_request(rows + 20, salt);
    r->picture = xcalloc(1, sizeof *r->picture);
    r->n_pictures = 1;
    struct prompt_picture *p = &r->picture[0];
    p->kind = PICTURE_SEEN;
    p->first_id = 7;
    p->n_pixels = 3 * (size_t)side * (size_t)side;
    p->pixels = xcalloc(p->n_pixels, sizeof *p->pixels);
    for (size_t i = 0; i < p->n_pixels; i++)
        p->pixels[i] = (float)((i * (salt + 3)) % 255) / 128 - 1;
    return r;
}

/* Text, then a picture that the model is made to want, then text. */
static inline struct request *mixed_request(const struct engine *e, unsigned salt)
{
    struct request *r = text_request(12, salt);
    r->draw.mode = DRAW_FREE;
    r->draw.max_pictures = 1;
    r->draw.seed = salt;
    r->text.bias = xcalloc(1, sizeof *r->text.bias);
    r->text.n_bias = 1;
    r->text.bias[0] = (struct token_bias){engine_config(e)->drawing.start_id, 5};
    r->text.max_tokens = 40;
    return r;
}

static inline struct heard *submit(struct engine *e, struct request *r, uint64_t *id)
{
    struct heard *h = heard_new();
    struct error err = {0};
    if (engine_submit(e, r, (struct event_sink){hear, h}, id, &err))
        fail_msg("%s", err.message);
    return h;
}

static inline struct heard *run_alone(struct engine *e, struct request *r)
{
    struct heard *h = submit(e, r, NULL);
    heard_wait(h);
    return h;
}

#endif
