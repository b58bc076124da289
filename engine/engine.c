#include "engine/engine_state.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* --- the thread --- */

/* Returns how many of the pass's rows are chats' next tokens. */
static int count_rows(struct engine *e, const struct pass *pass)
{
    int text = 0, map = 0;
    for (int i = 0; i < pass->n_planned; i++) {
        text += pass->plan[i].sequence->state == SEQUENCE_TEXT && pass->plan[i].n_rows == 1;
        map += pass->plan[i].n_rows - pass->plan[i].n_ids;
    }
    e->counted.steps++;
    e->counted.text_rows += (uint64_t)text;
    e->counted.image_rows += (uint64_t)map;
    e->counted.prefill_rows += (uint64_t)(pass->batch.n_rows - text - map);
    return text;
}

/* Operations since the failure did nothing: what was published or remembered in this step may be anything. A
 * failure that is still there after it was told will stay. */
static void fail_step(struct engine *e, const struct error *error)
{
    engine_fail_all(e, error);
    bool painting_lost = !paint_give_up(e);
    e->counted.device_lost = e->op->finish(e->be, NULL) != STATUS_OK || painting_lost;
    kv_pool_forget(e->llm_pool);
    seen_pictures_close(e);
    seen_pictures_open(e);
}

static void step(struct engine *e)
{
    struct error error;
    pace_begin(e);
    interlude(e); /* what is due need not wait for the first unit */
    encode_step(e);
    scheduler_plan(e);
    if (e->pass.n_planned > 0) {
        int text_rows = count_rows(e, &e->pass);
        int64_t began =
            clock_ns() - e->pace.interludes_ns; /* those that came before, while a picture was encoded */
        run_pass(e, &e->pass);
        pace_end(e, text_rows, began);
    }
    for (int i = 0; i < e->n_running; i++)
        e->running[i]->in_pass = false;
    paint_collect(e, e->pass.n_planned == 0);
    if (e->op->finish(e->be, &error) || (e->paint_failed && e->op->finish(e->aside, &error)))
        fail_step(e, &error);
#ifdef VARGPT_CHECKS
    scheduler_check_pages(e);
#endif
}

static void *engine_main(void *context)
{
    struct engine *e = context;
    for (;;) {
        scheduler_admit(e);
        pthread_mutex_lock(&e->lock);
        bool stop = e->stop;
        pthread_mutex_unlock(&e->lock);
        if (stop)
            return NULL;
        step(e);
    }
}

/* --- opening and closing --- */

/* There is always room for everyone's next token and, beside them, for the largest scale of a picture or a
 * row of a prompt: chats alone must not fill a pass for ever. */
static int choose_step_rows(const struct engine *e, int wanted)
{
    int rows = wanted > 0 ? wanted : 512;
    int least = e->max_sequences + model_largest_scale(e->model) + 1;
    return rows > least ? rows : least;
}

static enum status allocate_lists(struct engine *e, struct error *err)
{
    size_t n = (size_t)e->max_sequences, vocab = (size_t)e->model->config.llm.vocab;
    e->logits_host = try_calloc(n, vocab * sizeof *e->logits_host);
    if (!e->logits_host)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the logits of %d sequences", e->max_sequences);
    logit_edits_open(&e->edits, e->model->config.llm.vocab);
    e->how = xcalloc(n, sizeof *e->how);
    e->chosen = xcalloc(n, sizeof *e->chosen);
    e->running = xcalloc(2 * n, sizeof *e->running);
    e->waiting = xcalloc((size_t)e->max_queue + 1, sizeof *e->waiting);
    return STATUS_OK;
}

static void override_sampling(struct model_config *c, const struct engine_options *o)
{
    c->temperature = o->temperature_given ? o->temperature : c->temperature;
    c->top_p = o->top_p_given ? o->top_p : c->top_p;
    c->top_k = o->top_k_given ? o->top_k : c->top_k;
}

static enum status open_parts(struct engine *e, const struct engine_options *o, struct error *err)
{
    if (model_open(&e->model, e->be, o->model_path, o->layers, o->on_progress, o->progress_context, err))
        return err->status;
    if (model_text_open(&e->text, e->model->checkpoint, &e->model->config, err))
        return err->status;
    e->aside = e->be;
    if (model_draws(e->model) && e->op->aside && e->op->aside(e->be, &e->aside, err))
        return err->status;
    override_sampling(&e->model->config, o);
    e->context = o->context > 0 ? o->context : e->model->config.llm.context;
    e->step_rows = choose_step_rows(e, o->step_rows);
    e->memory.weights = e->model->weight_bytes;
    if (engine_open_caches(e, o->cache_bytes, err) || engine_open_work(e, err) || allocate_lists(e, err))
        return err->status;
    seen_pictures_open(e);
    paint_open(e);
    e->model->between_units = (struct unit_hook){interlude, e};
    if (pthread_create(&e->thread, NULL, engine_main, e))
        return error_set(err, STATUS_NO_MEMORY, "the engine's thread cannot be started");
    e->thread_started = true;
    return STATUS_OK;
}

enum status engine_open(struct engine **out, struct backend *be, const struct engine_options *o,
                        struct error *err)
{
    struct error own = {0};
    struct engine *e = xcalloc(1, sizeof *e);
    *out = NULL;
    e->be = be;
    e->op = be->op;
    e->max_sequences = o->max_sequences > 0 ? o->max_sequences : 16;
    e->cache_type = o->cache_type;
    e->max_queue = o->max_queue > 0 ? o->max_queue : 256;
    e->token_wait_steps = o->token_wait_steps > 0 ? o->token_wait_steps : 4;
    e->token_wait_ms = o->token_wait_ms > 0 ? o->token_wait_ms : 250;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->wake, NULL);
    if (open_parts(e, o, &own)) {
        engine_close(e);
        if (err)
            *err = own;
        return own.status;
    }
    *out = e;
    return STATUS_OK;
}

static void stop_thread(struct engine *e)
{
    if (!e->thread_started)
        return;
    pthread_mutex_lock(&e->lock);
    e->stop = true;
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
}

void engine_close(struct engine *e)
{
    struct error error;
    if (!e)
        return;
    stop_thread(e);
    error_set(&error, STATUS_CANCELLED, "the server is shutting down");
    engine_fail_all(e, &error);
    for (int i = 0; i < e->n_waiting; i++)
        sequence_fail(e, e->waiting[i], &error);
    seen_pictures_close(e);
    paint_close(e);
    pass_release(e, &e->pass);
    pass_release(e, &e->interlude);
    batch_release(&e->decoder_batch);
    arena_release(&e->arena);
    arena_release(&e->paint_arena);
    kv_pool_close(e->llm_pool);
    kv_pool_close(e->decoder_pool);
    model_text_release(&e->text);
    model_close(e->model);
    free(e->logits_host);
    logit_edits_release(&e->edits);
    free(e->how);
    free(e->chosen);
    free(e->running);
    free(e->waiting);
    free(e->cancel);
    pthread_cond_destroy(&e->wake);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* --- requests --- */

/* name: the field that holds them. */
static enum status check_codes(const struct engine *e, const int32_t *codes, size_t n, int least,
                               const char *name, struct error *err)
{
    if (n != (size_t)e->model->n_positions)
        return error_set(err, STATUS_BAD_REQUEST, "%s has %zu codes, this model's pictures have %d", name, n,
                         e->model->n_positions);
    for (size_t i = 0; i < n; i++) {
        if (codes[i] < least || codes[i] >= e->model->decoder.n_codes)
            return error_set(err, STATUS_BAD_REQUEST, "%s[%zu] is %d, must be %d to %d", name, i,
                             (int)codes[i], least, e->model->decoder.n_codes - 1);
    }
    return STATUS_OK;
}

static enum status check_picture(const struct engine *e, const struct prompt_picture *p, struct error *err)
{
    const struct model *m = e->model;
    if (p->kind == PICTURE_SEEN) {
        size_t side = (size_t)m->config.vision.image_size;
        if (!model_sees(m))
            return error_set(err, STATUS_BAD_REQUEST, "this model does not look at pictures");
        return p->pixels && p->n_pixels == 3 * side * side
                   ? STATUS_OK
                   : error_set(err, STATUS_BAD_REQUEST, "a picture must be %zu x %zu pixels", side, side);
    }
    if (!model_draws(m))
        return error_set(err, STATUS_BAD_REQUEST, "this model does not draw, so no picture can be its own");
    if (p->codes)
        return check_codes(e, p->codes, p->n_codes, 0, "picture.codes", err);
    size_t side = (size_t)m->vae.picture_side;
    return p->pixels && p->n_pixels == 3 * side * side
               ? STATUS_OK
               : error_set(err, STATUS_BAD_REQUEST, "a drawn picture must be %zu x %zu pixels", side, side);
}

static enum status check_pictures(const struct engine *e, const struct request *r, struct error *err)
{
    size_t end = 0;
    for (size_t i = 0; i < r->n_pictures; i++) {
        const struct prompt_picture *p = &r->picture[i];
        if (check_picture(e, p, err))
            return err->status;
        size_t n = (size_t)(p->kind == PICTURE_SEEN ? model_seen_rows(e->model) : e->model->n_positions);
        if (p->first_id < end || p->first_id > r->n_ids || n > r->n_ids - p->first_id)
            return error_set(err, STATUS_BAD_REQUEST, "picture %zu has no place in the prompt", i);
        end = p->first_id + n;
    }
    return STATUS_OK;
}

static enum status check_request(const struct engine *e, const struct request *r, struct error *err)
{
    const struct model *m = e->model;
    int vocab = m->config.llm.vocab;
    bool now = r->draw.mode == DRAW_NOW;
    if (r->n_ids == 0)
        return error_set(err, STATUS_BAD_REQUEST, "the prompt is empty");
    if (now && !model_draws(m))
        return error_set(err, STATUS_BAD_REQUEST, "this model does not draw pictures");
    size_t need = now ? 1 + (size_t)m->n_positions : r->text.max_tokens == 0 ? 0 : 1;
    if (r->n_ids > (size_t)e->context || need > (size_t)e->context - r->n_ids)
        return error_set(
            err, STATUS_TOO_LARGE,
            "the prompt has %zu tokens and the reply needs %zu, but the context holds %d: shorten the prompt",
            r->n_ids, need, e->context);
    for (size_t i = 0; i < r->n_ids; i++) {
        if (r->ids[i] < 0 || r->ids[i] >= vocab)
            return error_set(err, STATUS_BAD_REQUEST, "token %zu of the prompt is %d, must be 0 to %d", i,
                             (int)r->ids[i], vocab - 1);
    }
    for (size_t i = 0; i < r->text.n_bias; i++) {
        if (r->text.bias[i].id < 0 || r->text.bias[i].id >= vocab)
            return error_set(err, STATUS_BAD_REQUEST, "logit_bias names token %d, must be 0 to %d",
                             (int)r->text.bias[i].id, vocab - 1);
    }
    if (r->draw.given && !model_draws(m))
        return error_set(err, STATUS_BAD_REQUEST, "draw.given: this model does not draw pictures");
    if (r->draw.given && check_codes(e, r->draw.given, r->draw.n_given, -1, "draw.given", err))
        return err->status;
    return check_pictures(e, r, err);
}

enum status engine_submit(struct engine *e, struct request *r, struct event_sink sink, uint64_t *id,
                          struct error *err)
{
    struct error own;
    if (!err)
        err = &own;
    err->status = STATUS_OK;
    if (check_request(e, r, err))
        return err->status;
    struct sequence *s = sequence_open(e->model, 0, r, sink);
    enum status status = STATUS_OK;
    pthread_mutex_lock(&e->lock);
    if (e->stop)
        status = error_set(err, STATUS_CANCELLED, "the server is shutting down");
    else if (e->n_waiting >= e->max_queue)
        status =
            error_set(err, STATUS_BUSY, "%d requests are waiting already: try again later", e->n_waiting);
    if (status == STATUS_OK) {
        s->id = ++e->next_id;
        if (id)
            *id = s->id;
        int at = e->n_waiting++;
        for (; at > 0 && sequence_comes_before(s, e->waiting[at - 1]); at--)
            e->waiting[at] = e->waiting[at - 1];
        e->waiting[at] = s;
        pthread_cond_signal(&e->wake);
    }
    pthread_mutex_unlock(&e->lock);
    if (status) {
        s->request = NULL; /* the caller's again */
        sequence_close(s);
    }
    return status;
}

void engine_cancel(struct engine *e, uint64_t id)
{
    pthread_mutex_lock(&e->lock);
    if (e->n_cancel == e->cancel_capacity) {
        e->cancel_capacity = e->cancel_capacity ? 2 * e->cancel_capacity : 16;
        e->cancel = xrealloc(e->cancel, (size_t)e->cancel_capacity * sizeof *e->cancel);
    }
    e->cancel[e->n_cancel++] = id;
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->lock);
}

int engine_place(struct engine *e, uint64_t id)
{
    int place = 0;
    pthread_mutex_lock(&e->lock);
    for (int i = 0; i < e->n_waiting && place == 0; i++)
        place = e->waiting[i]->id == id ? i + 1 : 0;
    pthread_mutex_unlock(&e->lock);
    return place;
}

/* --- looking --- */

const struct model_config *engine_config(const struct engine *e)
{
    return &e->model->config;
}

const struct tokenizer *engine_tokenizer(const struct engine *e)
{
    return e->text.tokenizer;
}

const struct chat_template *engine_template(const struct engine *e)
{
    return e->text.chat;
}

const char *engine_bos(const struct engine *e)
{
    return e->text.bos;
}

const char *engine_eos(const struct engine *e)
{
    return e->text.eos;
}

const char *engine_image_token(const struct engine *e)
{
    return e->text.image;
}

int engine_context(const struct engine *e)
{
    return e->context;
}

int engine_picture_tokens(const struct engine *e)
{
    return e->model->n_positions;
}

int engine_picture_side(const struct engine *e)
{
    return e->model->vae.picture_side;
}

bool engine_batch_invariant(const struct engine *e)
{
    return !e->be->rows_vary;
}

int engine_seen_rows(const struct engine *e)
{
    return model_sees(e->model) ? model_seen_rows(e->model) : 0;
}

void engine_digest(const struct engine *e, uint8_t digest[SHA256_BYTES])
{
    checkpoint_digest(e->model->checkpoint, digest);
}

void engine_look(struct engine *e, struct engine_status *out)
{
    pthread_mutex_lock(&e->lock);
    *out = e->status;
    out->waiting = e->n_waiting;
    pthread_mutex_unlock(&e->lock);
}

struct engine_memory engine_memory(const struct engine *e)
{
    return e->memory;
}

static void download_now(struct engine *e, float *to, const float *from, int n)
{
    e->op->download(e->be, to, from, (size_t)n * sizeof *to);
    e->op->finish(e->be, NULL);
}

/* Undoes what loading folded: norm weights are 1 + sigma. */
size_t engine_adaln(struct engine *e, int block, float *out)
{
    const struct image_decoder *d = &e->model->decoder;
    int c = d->width;
    if (!model_draws(e->model) || block < -2 || block >= d->depth)
        return 0;
    size_t count = (size_t)c * (block == -1 ? 1 : block == -2 ? 2 : 6);
    if (!out)
        return count;
    if (block == -1) {
        memcpy(out, d->cond, count * sizeof *out);
        return count;
    }
    const struct decoder_block *b = block >= 0 ? &d->block[block] : NULL;
    const float *part[6] = {d->head_norm.weight, d->head_norm.bias};
    if (b) {
        const float *all[6] = {b->gamma1,       b->gamma2,     b->norm1.weight,
                               b->norm2.weight, b->norm1.bias, b->norm2.bias};
        memcpy(part, all, sizeof part);
    }
    for (int i = 0; i < (b ? 6 : 2); i++) {
        bool one_more = b ? i == 2 || i == 3 : i == 0;
        download_now(e, out + i * c, part[i], c);
        for (int j = 0; one_more && j < c; j++)
            out[i * c + j] -= 1;
    }
    return count;
}
