#include "cli/asked.h"

#include "base/clock.h"

#include <sys/random.h>

uint64_t asked_seed(const struct config *c)
{
    uint64_t seed;
    if (config_given(c, "seed"))
        return c->seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (uint64_t)clock_ns() * 0x9E3779B97F4A7C15u;
    return seed >> 11;
}

static void set_sampling_of_pictures(struct draw_options *draw, const struct config *c,
                                     const struct drawing_config *own)
{
    draw->guidance = config_given(c, "guidance_scale") ? (float)c->guidance_scale : own->guidance;
    draw->filter = own->filter;
    if (config_given(c, "image_temperature"))
        draw->filter.temperature = (float)c->image_temperature;
    if (config_given(c, "image_top_k"))
        draw->filter.top_k = c->image_top_k;
    if (config_given(c, "image_top_p"))
        draw->filter.top_p = (float)c->image_top_p;
}

struct request *asked_request(const struct config *c, const struct engine *engine, uint64_t seed)
{
    const struct model_config *model = engine_config(engine);
    struct request *r = request_new();
    bool draws = engine_picture_tokens(engine) > 0;
    r->text.filter = (struct choice_filter){
        .temperature = model->temperature, /* flags have changed these (open_engine.c) */
        .top_k = model->top_k,
        .top_p = model->top_p,
        .min_p = (float)c->min_p,
    };
    r->text.seed = seed;
    r->text.repetition_penalty = (float)c->repetition_penalty;
    r->text.frequency_penalty = (float)c->frequency_penalty;
    r->text.presence_penalty = (float)c->presence_penalty;
    r->text.max_tokens = c->max_tokens;
    r->draw.mode = draws && c->max_images > 0 ? DRAW_FREE : DRAW_NEVER;
    set_sampling_of_pictures(&r->draw, c, &model->drawing);
    r->draw.seed = seed;
    r->draw.max_pictures = c->max_images;
    return r;
}

double asked_fraction(const struct engine *engine, int scale)
{
    const struct drawing_config *drawing = &engine_config(engine)->drawing;
    int done = 0;
    for (int s = 0; s <= scale && s < drawing->n_scales; s++)
        done += drawing->scale[s] * drawing->scale[s];
    return (double)done / engine_picture_tokens(engine);
}
