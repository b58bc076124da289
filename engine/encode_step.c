/* Pictures of prompts become rows that the LLM is fed: seen ones through the vision tower, drawn ones through
 * the codes that they consist of. One picture a step, so that others' tokens need not wait for more. */
#include "engine/engine_state.h"

#include "base/memory.h"
#include "base/sha256.h"

#include <stdlib.h>
#include <string.h>

/* --- seen pictures --- */

/* The rows of a picture that was looked at lately: the same one often comes again, in a later turn or
 * another's. */
struct seen_picture {
    uint8_t digest[SHA256_BYTES], salt[16];
    float *rows; /* backend memory; NULL: an empty place */
    uint64_t last_use;
};

void seen_pictures_open(struct engine *e)
{
    e->seen = xcalloc(SEEN_PICTURES, sizeof *e->seen);
}

void seen_pictures_close(struct engine *e)
{
    for (int i = 0; e->seen && i < SEEN_PICTURES; i++)
        e->op->free(e->be, e->seen[i].rows);
    free(e->seen);
    e->seen = NULL;
}

bool seen_pictures_forget_oldest(struct engine *e)
{
    struct seen_picture *oldest = NULL;
    for (int i = 0; i < SEEN_PICTURES; i++) {
        struct seen_picture *it = &e->seen[i];
        if (it->rows && (!oldest || it->last_use < oldest->last_use))
            oldest = it;
    }
    if (!oldest)
        return false;
    e->op->free(e->be, oldest->rows);
    *oldest = (struct seen_picture){0};
    return true;
}

static struct seen_picture *find_seen(struct engine *e, const struct sequence *s,
                                      const struct picture_rows *p)
{
    for (int i = 0; i < SEEN_PICTURES; i++) {
        struct seen_picture *it = &e->seen[i];
        if (it->rows && memcmp(it->digest, p->digest, sizeof it->digest) == 0 &&
            memcmp(it->salt, s->request->cache_salt, sizeof it->salt) == 0)
            return it;
    }
    return NULL;
}

static void remember(struct engine *e, const struct sequence *s, const struct picture_rows *p,
                     struct tensor rows)
{
    struct seen_picture *oldest = &e->seen[0];
    for (int i = 1; i < SEEN_PICTURES; i++)
        oldest = e->seen[i].last_use < oldest->last_use ? &e->seen[i] : oldest;
    if (!oldest->rows)
        oldest->rows = e->op->alloc(e->be, (size_t)rows.rows * (size_t)rows.cols * sizeof(float));
    if (!oldest->rows)
        return;
    memcpy(oldest->digest, p->digest, sizeof oldest->digest);
    memcpy(oldest->salt, s->request->cache_salt, sizeof oldest->salt);
    oldest->last_use = e->counted.pictures_seen;
    e->op->gather(e->be, (struct tensor){oldest->rows, DTYPE_F32, rows.rows, rows.cols, rows.cols}, rows,
                  e->model->iota);
}

static void look_at(struct engine *e, struct sequence *s, struct picture_rows *p, int index)
{
    const struct model *m = e->model;
    size_t mark = arena_mark(&e->arena);
    int hidden = m->config.llm.hidden;
    struct tensor rows = {p->rows, DTYPE_F32, p->n, hidden, hidden};
    struct seen_picture *seen = s->request->trace ? NULL : find_seen(e, s, p);
    e->counted.pictures_seen++;
    if (seen) {
        e->counted.pictures_remembered++;
        seen->last_use = e->counted.pictures_seen;
        e->op->gather(e->be, rows, (struct tensor){seen->rows, DTYPE_F32, p->n, hidden, hidden}, m->iota);
        return;
    }
    struct tensor features = arena_tensor(&e->arena, p->n, m->config.vision.hidden);
    vision_forward(m, &e->arena, p->prompt->pixels, features, rows);
    trace_rows(e, s, TRACE_VISION_FEATURES, index, features);
    remember(e, s, p, rows);
    arena_reset(&e->arena, mark);
}

/* --- drawn pictures --- */

/* [3][side][side] -> [side * side, 3] */
static void upload_rgb(struct engine *e, const float *planes, struct tensor rgb)
{
    size_t n = (size_t)rgb.rows;
    float *rows = xmalloc(3 * n * sizeof *rows);
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < 3; c++)
            rows[3 * i + c] = planes[c * n + i];
    }
    e->op->upload(e->be, rgb.data, rows, 3 * n * sizeof *rows);
    free(rows);
}

static void encode_codes(struct engine *e, struct sequence *s, struct picture_rows *p, int index)
{
    const struct model *m = e->model;
    int side = m->vae.picture_side, cells = m->vae.side * m->vae.side;
    size_t n = (size_t)m->n_positions, mark = arena_mark(&e->arena);
    struct tensor rgb = arena_tensor(&e->arena, side * side, 3),
                  f = arena_tensor(&e->arena, cells, m->decoder.code_width);
    int32_t *codes = arena_ints(&e->arena, n);
    upload_rgb(e, p->prompt->pixels, rgb);
    vae_encode(m, &e->arena, rgb, f);
    trace_rows(e, s, TRACE_ENCODED, index, f);
    vae_quantize(m, &e->arena, f, codes);
    p->codes = xcalloc(n, sizeof *p->codes);
    e->op->download(e->be, p->codes, codes, n * sizeof *codes);
    e->op->finish(e->be, NULL); /* a failure sticks, and ends the step */
    arena_reset(&e->arena, mark);
    if (s->request->trace) {
        float *shown = xmalloc(n * sizeof *shown);
        for (size_t i = 0; i < n; i++)
            shown[i] = (float)p->codes[i];
        s->request->trace->on_rows(s->request->trace->context, TRACE_CODES, index, shown, 1, m->n_positions);
        free(shown);
    }
}

/* The maps that a picture's scales started from, through the projector: what the LLM saw when it was drawn.
 */
static void retrace(struct engine *e, struct picture_rows *p)
{
    const struct model *m = e->model;
    size_t n = (size_t)m->n_positions, mark = arena_mark(&e->arena);
    int cells = m->vae.side * m->vae.side, width = m->decoder.code_width;
    struct tensor f_hat = arena_tensor(&e->arena, cells, width),
                  maps = arena_tensor(&e->arena, (int)n, m->decoder.width);
    struct tensor rows = {p->rows, DTYPE_F32, p->n, m->config.llm.hidden, m->config.llm.hidden};
    int32_t *codes = arena_ints(&e->arena, n);
    float *zeros = xcalloc((size_t)cells * (size_t)width, sizeof *zeros);
    e->op->upload(e->be, f_hat.data, zeros, (size_t)cells * (size_t)width * sizeof *zeros);
    e->op->upload(e->be, codes, p->codes, n * sizeof *codes);
    free(zeros);
    image_decoder_first_map(m, tensor_rows(maps, 0, 1));
    for (int s = 1; s < m->config.drawing.n_scales; s++) {
        int first = m->scale_first[s], count = model_scale_rows(m, s);
        vae_add_scale(m, &e->arena, f_hat, codes + m->scale_first[s - 1], s - 1);
        image_decoder_next_map(m, &e->arena, f_hat, s, tensor_rows(maps, first, count));
    }
    image_decoder_rows_in(m, &e->arena, maps, rows);
    arena_reset(&e->arena, mark);
}

/* Memory for them, which those that come after s give up for it, if need be. */
static bool take_rows(struct engine *e, const struct sequence *s, struct picture_rows *p)
{
    size_t bytes = (size_t)p->n * (size_t)e->model->config.llm.hidden * sizeof *p->rows;
    do
        p->rows = coming_take(e, bytes);
    while (!p->rows && coming_preempt(e, s));
    return p->rows;
}

/* False: s must wait until others give memory back; or there are none, and it has failed and is gone. */
static bool encode_picture(struct engine *e, struct sequence *s, int index)
{
    struct picture_rows *p = &s->picture[index];
    int hidden = e->model->config.llm.hidden;
    if (!take_rows(e, s, p)) {
        struct error error;
        error_set(&error, STATUS_NO_MEMORY, "no memory for the rows of a picture");
        if (!coming_may_wait(e, s))
            sequence_fail(e, s, &error);
        return false;
    }
    s->in_pass = true;
    if (p->kind == PICTURE_SEEN) {
        look_at(e, s, p, index);
    } else {
        if (!p->codes)
            encode_codes(e, s, p, index);
        retrace(e, p);
    }
    trace_rows(e, s, TRACE_PICTURE_ROWS, index, (struct tensor){p->rows, DTYPE_F32, p->n, hidden, hidden});
    return true;
}

/* The first picture that still has to become rows, or -1. */
static int next_picture(const struct sequence *s)
{
    for (int i = 0; i < s->n_pictures; i++) {
        if (!s->picture[i].rows && s->picture[i].first + s->picture[i].n > s->n_cached)
            return i;
    }
    return -1;
}

void encode_begin(struct sequence *s)
{
    s->state = next_picture(s) < 0 ? SEQUENCE_PREFILL : SEQUENCE_ENCODE;
}

void encode_step(struct engine *e)
{
    for (int i = 0; i < e->n_running; i++) {
        struct sequence *s = e->running[i];
        if (s->state != SEQUENCE_ENCODE)
            continue;
        if (encode_picture(e, s, next_picture(s)))
            encode_begin(s);
        return;
    }
}

size_t encode_step_arena(const struct engine *e)
{
    const struct model *m = e->model;
    size_t seen = 0, drawn = 0;
    if (model_sees(m))
        seen = arena_bytes((size_t)model_seen_rows(m) * (size_t)m->config.vision.hidden) + vision_arena(m);
    if (model_draws(m)) {
        size_t n = (size_t)m->n_positions, side = (size_t)m->vae.picture_side,
               cells = (size_t)m->vae.side * (size_t)m->vae.side;
        size_t f = arena_bytes(cells * (size_t)m->decoder.code_width);
        size_t encode = arena_bytes(side * side * 3) + f + arena_bytes(n) + vae_arena(m);
        size_t again = f + arena_bytes(n * (size_t)m->decoder.width) + arena_bytes(n) + vae_arena(m) +
                       image_decoder_arena(m, m->n_positions);
        drawn = encode > again ? encode : again;
    }
    return seen > drawn ? seen : drawn;
}
