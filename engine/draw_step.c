/* One scale of every picture under way: hidden rows -> image decoder, both branches -> codes -> the next map,
 * and the picture when the last scale is done (docs/model.md, section 5; paint.c). */
#include "engine/engine_state.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"

#include <stdlib.h>
#include <string.h>

/* A drawing's rows in this step. */
struct drawn {
    struct sequence *sequence;
    int n, n_ids,
        llm_row;      /* rows of the scale, of ids in front of them; the scale's first in the LLM's batch */
    int cond, uncond; /* first rows in the decoder's batch; uncond -1: no guidance */
};

static uint32_t picture_ordinal(const struct sequence *s)
{
    return 65536u * s->request->choice + s->request->draw.first_picture + (uint32_t)s->drawing->index;
}

static bool guided(const struct sequence *s)
{
    return s->request->draw.guidance != 0;
}

struct tensor drawing_feature_map(const struct model *m, const struct drawing *d)
{
    int width = m->decoder.code_width;
    return (struct tensor){d->f_hat, DTYPE_F32, m->vae.side * m->vae.side, width, width};
}

static struct tensor map_of(const struct model *m, const struct drawing *d, int scale)
{
    return (struct tensor){d->map, DTYPE_F32, model_scale_rows(m, scale), m->decoder.width, m->decoder.width};
}

bool drawing_begin(struct engine *e, struct sequence *s)
{
    const struct model *m = e->model;
    struct drawing *d = xcalloc(1, sizeof *d);
    size_t f_bytes =
        (size_t)m->vae.side * (size_t)m->vae.side * (size_t)m->decoder.code_width * sizeof(float);
    size_t map_rows = (size_t)model_largest_scale(m);
    float *zeros = NULL;
    bool pages = page_table_reserve(&d->cond, e->decoder_pool, m->n_positions) &&
                 (!guided(s) || page_table_reserve(&d->uncond, e->decoder_pool, m->n_positions));
    bool ok = pages;
    if (pages) {
        d->f_hat = coming_take(e, f_bytes);
        d->map = coming_take(e, map_rows * (size_t)m->decoder.width * sizeof(float));
        zeros = try_calloc(1, f_bytes);
        ok = d->f_hat && d->map && zeros;
    }
    d->index = s->n_drawn;
    d->codes = xcalloc((size_t)m->n_positions, sizeof *d->codes);
    s->drawing = d;
    if (ok) {
        e->op->upload(e->be, d->f_hat, zeros, f_bytes);
        image_decoder_first_map(m, map_of(m, d, 0));
    } else {
        if (pages && !coming_may_wait(e, s))
            s->given_up = STATUS_NO_MEMORY; /* pages will come back, memory that nobody has never will */
        drawing_drop(e, s);
    }
    free(zeros);
    return ok;
}

/* --- the decoder's batch --- */

static int list_drawn(struct engine *e, struct drawn *drawn)
{
    int n = 0;
    for (int i = 0; i < e->pass.n_planned; i++) {
        const struct planned *p = &e->pass.plan[i];
        if (p->n_rows > p->n_ids)
            drawn[n++] =
                (struct drawn){p->sequence, p->n_rows - p->n_ids, p->n_ids, p->first_row + p->n_ids, 0, -1};
    }
    return n;
}

/* Conditional spans first, so that one gather brings their hidden rows. */
static void batch_drawn(struct engine *e, struct drawn *drawn, int n)
{
    const struct model *m = e->model;
    batch_clear(&e->decoder_batch);
    for (int i = 0; i < n; i++) {
        struct drawing *d = drawn[i].sequence->drawing;
        drawn[i].cond = batch_add(&e->decoder_batch, m->scale_first[d->scale], drawn[i].n, &d->cond);
    }
    for (int i = 0; i < n; i++) {
        struct drawing *d = drawn[i].sequence->drawing;
        if (guided(drawn[i].sequence))
            drawn[i].uncond = batch_add(&e->decoder_batch, m->scale_first[d->scale], drawn[i].n, &d->uncond);
    }
    batch_upload(&e->decoder_batch);
}

/* The conditional branches see the LLM's rows, the unconditional ones noise. */
static void fill_hidden(struct engine *e, const struct drawn *drawn, int n, struct tensor x,
                        struct tensor hidden, struct noise_row *noise)
{
    const struct model *m = e->model;
    int rows = 0;
    for (int i = 0; i < n; i++) {
        for (int r = 0; r < drawn[i].n; r++)
            e->pass.source_host[rows++] = drawn[i].llm_row + r;
    }
    e->op->upload(e->be, e->pass.source, e->pass.source_host, (size_t)rows * sizeof *e->pass.source);
    e->op->gather(e->be, tensor_rows(hidden, 0, rows), x, e->pass.source);
    for (int i = 0; i < n; i++) {
        const struct sequence *s = drawn[i].sequence;
        for (int r = 0; drawn[i].uncond >= 0 && r < drawn[i].n; r++)
            noise[drawn[i].uncond + r] = (struct noise_row){
                s->request->draw.seed, (uint32_t)(m->scale_first[s->drawing->scale] + r), picture_ordinal(s)};
    }
    if (hidden.rows > rows)
        e->op->noise(e->be, tensor_rows(hidden, rows, hidden.rows - rows), noise + rows);
}

/* --- choosing --- */

static void guide(struct engine *e, const struct drawn *d, struct tensor logits, float *t)
{
    const struct sequence *s = d->sequence;
    int scale = s->drawing->scale, scales = e->model->config.drawing.n_scales;
    if (d->uncond < 0)
        return;
    for (int r = 0; r < d->n; r++)
        t[r] = scales > 1 ? s->request->draw.guidance * ((float)scale / (float)(scales - 1)) : 0;
    struct tensor cond = tensor_rows(logits, d->cond, d->n);
    e->op->guide(e->be, cond, cond, tensor_rows(logits, d->uncond, d->n), t);
}

static void say_how(const struct engine *e, const struct drawn *d, struct choice_row *how)
{
    const struct draw_options *o = &d->sequence->request->draw;
    for (int r = 0; r < d->n; r++) {
        uint32_t position = (uint32_t)(e->model->scale_first[d->sequence->drawing->scale] + r);
        struct random_words words =
            random_philox(o->seed, 0, position, RANDOM_CODE, picture_ordinal(d->sequence));
        how[r] = (struct choice_row){o->filter, random_unit(words.x[0])};
    }
}

/* The drawing's codes of this scale, where the request gives some of them; brought to the backend. */
static void settle_codes(struct engine *e, const struct drawn *d, const int32_t *chosen, int32_t *device)
{
    const struct sequence *s = d->sequence;
    int first = e->model->scale_first[s->drawing->scale];
    int32_t *codes = s->drawing->codes + first;
    const int32_t *given = s->request->draw.given;
    memcpy(codes, chosen, (size_t)d->n * sizeof *codes);
    if (!given)
        return;
    for (int r = 0; r < d->n; r++) {
        if (given[first + r] >= 0)
            codes[r] = given[first + r];
    }
    e->op->upload(e->be, device, codes, (size_t)d->n * sizeof *codes);
}

static void trace_logits(struct engine *e, const struct drawn *d, struct tensor x, struct tensor logits)
{
    int scale = d->sequence->drawing->scale;
    trace_rows(e, d->sequence, TRACE_SCALE_HIDDEN, scale, tensor_rows(x, d->llm_row, d->n));
    trace_rows(e, d->sequence, TRACE_COND_LOGITS, scale, tensor_rows(logits, d->cond, d->n));
    if (d->uncond >= 0)
        trace_rows(e, d->sequence, TRACE_UNCOND_LOGITS, scale, tensor_rows(logits, d->uncond, d->n));
}

/* --- from scale to scale --- */

void drawing_send(struct sequence *s, enum event_type type, int scale, const struct picture *picture,
                  const struct model *m)
{
    const struct drawing *d = s->drawing;
    sequence_send(s, &(struct event){
                         .type = type,
                         .picture = picture,
                         .picture_index = d->index,
                         .scale = scale,
                         .n_scales = m->config.drawing.n_scales,
                         .seed = s->request->draw.seed,
                         .ordinal = picture_ordinal(s),
                         .codes = type == EVENT_PICTURE ? d->codes : NULL,
                         .n_codes = type == EVENT_PICTURE ? (size_t)m->n_positions : 0,
                     });
}

/* Painting takes long here, and someone waits for his next token: previews are the first to go. */
static bool chats_would_wait(const struct engine *e)
{
    bool chats = false;
    for (int i = 0; i < e->n_running; i++)
        chats = chats || e->running[i]->state == SEQUENCE_TEXT;
    return chats && e->pace.paint_ns > patience_ns(e);
}

/* Its positions become part of the sequence, and the reply goes on or ends. */
void drawing_end(struct engine *e, struct sequence *s)
{
    const struct model *m = e->model;
    struct drawing *d = s->drawing;
    int32_t *codes = d->codes;
    d->codes = NULL;
    s->n_drawn++;
    e->counted.pictures++;
    s->usage.picture_tokens += m->n_positions;
    s->draws_next = false;
    sequence_append_picture(s, m, codes);
    drawing_drop(e, s);
    if (s->request->draw.mode == DRAW_NOW) {
        sequence_done(e, s, FINISH_STOP);
        return;
    }
    sequence_append(s, m->config.drawing.end_id);
    s->state = SEQUENCE_TEXT;
    s->token_ns = clock_ns();
    if (reply_is_full(e, s)) /* the image-start token was the last one allowed */
        sequence_done(e, s, FINISH_LENGTH);
}

static void advance(struct engine *e, struct drawn *d, const int32_t *device_codes)
{
    const struct model *m = e->model;
    struct sequence *s = d->sequence;
    struct drawing *drawing = s->drawing;
    bool last = drawing->scale == m->config.drawing.n_scales - 1;
    if (paint_is_pending(e, s)) /* of the map that is now to change, and its event comes first */
        paint_collect(e, true);
    vae_add_scale(m, &e->arena, drawing_feature_map(m, drawing), device_codes, drawing->scale);
    trace_rows(e, s, TRACE_FEATURE_MAP, drawing->scale, drawing_feature_map(m, drawing));
    drawing_send(s, EVENT_SCALE, drawing->scale, NULL, m);
    if (last) {
        s->state = SEQUENCE_PAINT;
        paint_begin(e, s, EVENT_PICTURE);
        return;
    }
    if (s->request->draw.previews >> drawing->scale & 1 && !chats_would_wait(e))
        paint_begin(e, s, EVENT_PREVIEW);
    drawing->scale++;
    image_decoder_next_map(m, &e->arena, drawing_feature_map(m, drawing), drawing->scale,
                           map_of(m, drawing, drawing->scale));
}

void draw_step(struct engine *e, struct tensor x)
{
    const struct model *m = e->model;
    struct drawn *drawn = xcalloc((size_t)e->pass.n_planned + 1, sizeof *drawn);
    int n = list_drawn(e, drawn);
    if (n == 0) {
        free(drawn);
        return;
    }
    batch_drawn(e, drawn, n);
    int rows = e->decoder_batch.n_rows;
    size_t mark = arena_mark(&e->arena);
    struct tensor hidden = arena_tensor(&e->arena, rows, x.cols),
                  logits = arena_tensor(&e->arena, rows, m->decoder.n_codes);
    int32_t *codes = arena_ints(&e->arena, (size_t)rows);
    struct noise_row *noise = xcalloc((size_t)rows, sizeof *noise);
    struct choice_row *how = xcalloc((size_t)rows, sizeof *how);
    float *t = xcalloc((size_t)rows, sizeof *t);
    int32_t *chosen = xcalloc((size_t)rows, sizeof *chosen);

    fill_hidden(e, drawn, n, x, hidden, noise);
    image_decoder_forward(m, &e->arena, hidden, logits, kv_pool_layers(e->decoder_pool),
                          &e->decoder_batch.rows);
    for (int i = 0; i < n; i++) {
        trace_logits(e, &drawn[i], x, logits);
        guide(e, &drawn[i], logits, t + drawn[i].cond);
        say_how(e, &drawn[i], how + drawn[i].cond);
    }
    int cond_rows = drawn[n - 1].cond + drawn[n - 1].n;
    e->op->sample(e->be, codes, tensor_rows(logits, 0, cond_rows), how);
    e->op->download(e->be, chosen, codes, (size_t)cond_rows * sizeof *chosen);
    if (e->op->finish(e->be, NULL) == STATUS_OK) {
        for (int i = 0; i < n; i++) {
            settle_codes(e, &drawn[i], chosen + drawn[i].cond, codes + drawn[i].cond);
            drawn[i].sequence->n_cached += drawn[i].n_ids + drawn[i].n;
            advance(e, &drawn[i], codes + drawn[i].cond);
            paint_collect(e, false);
        }
    }
    arena_reset(&e->arena, mark);
    free(chosen);
    free(t);
    free(how);
    free(noise);
    free(drawn);
}

size_t draw_step_arena(const struct engine *e)
{
    const struct model *m = e->model;
    if (!model_draws(m))
        return 0;
    size_t rows = 2 * (size_t)e->step_rows;
    size_t own = arena_bytes(rows * (size_t)m->config.llm.hidden) +
                 arena_bytes(rows * (size_t)m->decoder.n_codes) + arena_bytes(rows);
    size_t forward = image_decoder_arena(m, 2 * e->step_rows);
    size_t paint = engine_paints_aside(e) ? vae_arena(m) : paint_arena(e);
    return own + (forward > paint ? forward : paint);
}
