/* The device is told, before the caches get what memory is left, how large operations will be at most: the
 * sizes are those of the forward functions (engine/model/), for as many rows as a pass may have. */
#include "engine/engine_state.h"

static size_t widest(const int *columns, size_t n)
{
    int most = 0;
    for (size_t i = 0; i < n; i++)
        most = columns[i] > most ? columns[i] : most;
    return (size_t)most;
}

static struct work_limits llm_limits(const struct engine *e)
{
    const struct llm_config *c = &e->model->config.llm;
    const int columns[] = {c->hidden, c->intermediate, c->heads * c->head_dim};
    size_t values = (size_t)e->step_rows * widest(columns, sizeof columns / sizeof *columns),
           logits = (size_t)e->max_sequences * (size_t)c->vocab;
    return (struct work_limits){
        .rows = e->step_rows,
        .row_values = values > logits ? values : logits,
        .single_rows = e->max_sequences,
        .keys = e->context,
        .heads = c->heads,
        .head_dim = c->head_dim,
    };
}

static struct work_limits vision_limits(const struct engine *e)
{
    const struct vision_config *c = &e->model->config.vision;
    const int columns[] = {c->hidden, c->intermediate, 3 * c->patch_size * c->patch_size,
                           e->model->config.llm.hidden};
    int rows = e->model->vision.patches + 1;
    return (struct work_limits){
        .rows = rows, .row_values = (size_t)rows * widest(columns, sizeof columns / sizeof *columns)};
}

/* Both branches of what a pass has, or all maps of a picture that is traced again. */
static struct work_limits decoder_limits(const struct engine *e)
{
    const struct image_decoder *d = &e->model->decoder;
    const int columns[] = {d->width * 3, d->intermediate, d->n_codes, e->model->config.llm.hidden};
    int rows = 2 * e->step_rows > e->model->n_positions ? 2 * e->step_rows : e->model->n_positions;
    return (struct work_limits){
        .rows = rows,
        .row_values = (size_t)rows * widest(columns, sizeof columns / sizeof *columns),
        .single_rows = 2 * e->max_sequences,
        .keys = e->model->n_positions,
        .heads = d->heads,
        .head_dim = d->head_dim,
    };
}

static struct work_limits vae_limits(const struct engine *e)
{
    const struct vae *v = &e->model->vae;
    return (struct work_limits){
        .rows = v->picture_side * v->picture_side,
        .row_values = v->buffer_floats,
        .picture_side = v->picture_side,
        .channels = v->most_channels,
        .picture_values = v->buffer_floats,
    };
}

enum status engine_reserve(struct engine *e, struct error *err)
{
    const struct model *m = e->model;
    struct work_limits limits[4];
    size_t n = 0;
    if (!e->op->reserve)
        return STATUS_OK;
    limits[n++] = llm_limits(e);
    if (model_sees(m))
        limits[n++] = vision_limits(e);
    if (model_draws(m)) {
        limits[n++] = decoder_limits(e);
        limits[n++] = vae_limits(e);
    }
    for (size_t i = 0; i < n; i++) {
        if (e->op->reserve(e->be, &limits[i], err))
            return err->status;
    }
    return engine_paints_aside(e) ? e->op->reserve(e->aside, &limits[n - 1], err) : STATUS_OK;
}
