/* Maps to pictures, aside: the VAE decodes on the device's second line of work, where it has one, while the
 * engine goes on with its steps. A painting is under way from paint_begin until paint_collect finds it done.
 */
#include "engine/engine_state.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>

/* A picture under way, or a preview of one. */
struct painting {
    struct sequence *sequence; /* NULL: nobody waits for it any more */
    enum event_type type;
    int scale;
    float *rgb; /* [picture_side^2, 3] host memory, written when the second line has finished */
};

/* Clamps to -1..1; then (x + 1) / 2, and * 255 cut to 8 bits. */
static void to_bytes(float *rgb, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        rgb[i] = rgb[i] > -1 ? (rgb[i] < 1 ? rgb[i] : 1) : -1; /* NaN becomes -1 */
        out[i] = (uint8_t)((rgb[i] + 1) * 0.5f * 255);
    }
}

void paint_open(struct engine *e)
{
    e->painting = xcalloc((size_t)e->max_sequences, sizeof *e->painting);
}

static void drop_all(struct engine *e)
{
    for (int i = 0; i < e->n_paintings; i++)
        free(e->painting[i].rgb);
    e->n_paintings = 0;
}

void paint_close(struct engine *e)
{
    if (e->n_paintings > 0)
        e->op->finish(e->aside, NULL);
    drop_all(e);
    free(e->painting);
    e->painting = NULL;
}

void paint_begin(struct engine *e, struct sequence *s, enum event_type type)
{
    const struct model *m = e->model;
    int64_t began = clock_ns() - e->pace.interludes_ns;
    struct arena *a = engine_paints_aside(e) ? &e->paint_arena : &e->arena;
    int side = m->vae.picture_side;
    if (e->n_paintings == e->max_sequences)
        paint_collect(e, true);
    if (e->paint_failed)
        return;
    size_t n = (size_t)side * (size_t)side * 3, mark = arena_mark(a);
    struct tensor rgb = arena_tensor(a, side * side, 3);
    struct painting *p = &e->painting[e->n_paintings++];
    *p = (struct painting){s, type, s->drawing->scale, xmalloc(n * sizeof(float))};
    if (engine_paints_aside(e))
        e->op->after(e->aside, e->be);
    vae_decode(m, a, drawing_feature_map(m, s->drawing), rgb);
    e->op->download(e->aside, p->rgb, rgb.data, n * sizeof *p->rgb);
    arena_reset(a, mark);
    e->pace.paint_ns = clock_ns() - e->pace.interludes_ns - began;
}

static void hand_over(struct engine *e, const struct painting *p)
{
    int side = e->model->vae.picture_side;
    size_t n = (size_t)side * (size_t)side * 3;
    struct sequence *s = p->sequence;
    struct picture picture = {side, side, xmalloc(n)};
    to_bytes(p->rgb, picture.rgb, n);
    if (s->request->trace && p->type == EVENT_PICTURE)
        s->request->trace->on_rows(s->request->trace->context, TRACE_PICTURE, s->drawing->index, p->rgb,
                                   side * side, 3);
    drawing_send(s, p->type, p->scale, &picture, e->model);
    picture_release(&picture);
    if (p->type == EVENT_PICTURE)
        drawing_end(e, s); /* may end s */
}

void paint_collect(struct engine *e, bool wait)
{
    if (e->n_paintings == 0 || (!wait && e->op->pending && e->op->pending(e->aside)))
        return;
    if (e->op->finish(e->aside, NULL)) { /* it sticks, and ends the step */
        e->paint_failed = true;
        return;
    }
    for (int i = 0; i < e->n_paintings; i++) {
        if (e->painting[i].sequence)
            hand_over(e, &e->painting[i]);
    }
    drop_all(e);
}

bool paint_is_pending(const struct engine *e, const struct sequence *s)
{
    for (int i = 0; i < e->n_paintings; i++) {
        if (e->painting[i].sequence == s)
            return true;
    }
    return false;
}

void paint_forget(struct engine *e, const struct sequence *s)
{
    for (int i = 0; i < e->n_paintings; i++) {
        if (e->painting[i].sequence == s)
            e->painting[i].sequence = NULL;
    }
}

bool paint_give_up(struct engine *e)
{
    struct error told;
    e->op->finish(e->aside, &told);
    drop_all(e);
    e->paint_failed = false;
    return e->op->finish(e->aside, NULL) == STATUS_OK;
}

size_t paint_arena(const struct engine *e)
{
    size_t side = (size_t)e->model->vae.picture_side;
    return model_draws(e->model) ? arena_bytes(side * side * 3) + vae_arena(e->model) : 0;
}
