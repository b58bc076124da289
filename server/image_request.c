#include "server/image_request.h"

#include "engine/prompt.h"
#include "engine/text/utf8.h"
#include "server/chat_request.h"
#include "server/state.h"

#include <math.h>
#include <string.h>

enum { MOST_PICTURES = 10, MOST_PREVIEWS = 9, MOST_CHARACTERS = 32000 };

/* Presets of sampling, from the checkpoint's own. What the request says itself wins. */
static void read_quality(struct image_request *r, const struct params *f)
{
    static const struct {
        const char *echoed;
        float guidance, top_k; /* times the checkpoint's */
    } presets[] = {{"auto", 1, 1},        {"low", 0, 1},    {"medium", 1, 1},
                   {"high", 2, 2 / 3.0f}, {"medium", 1, 1}, {"high", 2, 2 / 3.0f}};
    static const char *const qualities[] = {"auto", "low", "medium", "high", "standard", "hd", NULL};
    int quality = 0;
    param_choice(f, "quality", qualities, &quality);
    r->quality = presets[quality].echoed;
    struct draw_options *draw = &r->request->draw;
    draw->guidance = fminf(20, draw->guidance * presets[quality].guidance);
    draw->filter.top_k = (int)ceilf((float)draw->filter.top_k * presets[quality].top_k);
}

/* Fields whose values are checked and change nothing, or that have one possible value. */
static void read_formalities(const struct params *f)
{
    static const char *const backgrounds[] = {"auto", "opaque", "transparent", NULL};
    static const char *const moderations[] = {"auto", "low", NULL};
    int background = 0, ignored = 0;
    param_choice(f, "background", backgrounds, &background);
    param_choice(f, "moderation", moderations, &ignored);
    if (background == 2)
        param_fail(f, PROBLEM_UNSUPPORTED, "background",
                   "'transparent' is not supported: pictures are opaque");
}

static void read_delivery(struct image_request *r, const struct params *f)
{
    static const char *const responses[] = {"b64_json", "url", NULL};
    int response = 0;
    param_choice(f, "response_format", responses, &response);
    param_bool(f, "stream", &r->stream);
    param_int(f, "partial_images", 0, MOST_PREVIEWS, &r->previews);
    r->link = response == 1;
    if (r->link && r->stream)
        param_fail(f, PROBLEM_UNSUPPORTED, "response_format",
                   "'url' is for whole replies; streams carry 'b64_json'");
    if (r->output.animated && r->previews > 0)
        param_fail(f, PROBLEM_INVALID, "partial_images", "must be 0 for 'gif', which shows every scale");
    if (!r->stream)
        r->previews = 0;
}

/* The prompt is one user message. */
static void build_prompt(struct image_request *r, const struct engine *engine, const struct params *f)
{
    struct error err = {0};
    const char *text = NULL;
    size_t length = 0;
    param_string(f, "prompt", &text, &length);
    if (!text || length == 0)
        param_fail(f, PROBLEM_INVALID, "prompt", "must be a text that says what to draw");
    else if (utf8_count(text, length) > MOST_CHARACTERS)
        param_fail(f, PROBLEM_INVALID, "prompt", "must have at most %d characters", MOST_CHARACTERS);
    if (f->error->problem != PROBLEM_NONE)
        return;
    struct prompt_part part = {.kind = PROMPT_TEXT, .text = text, .length = length};
    struct prompt_message message = {"user", &part, 1};
    if (prompt_build(engine, &message, 1, true, r->request, &err))
        http_error_from(f->error, &err, "prompt");
    else
        r->prompt = prompt_usage_count(engine, r->request);
}

void image_request_read(struct image_request *r, struct server *server, const char *body, size_t length,
                        struct http_error *error)
{
    const struct engine *engine = server_engine(server);
    int most = server->options.max_choices < MOST_PICTURES ? server->options.max_choices : MOST_PICTURES;
    *r = (struct image_request){.pictures = 1, .request = request_new()};
    json_t *json = json_read_body(body, length, error);
    struct params f = {json, "", error};
    struct draw_options *draw = &r->request->draw;
    model_param_check(server, &f);
    if (engine_picture_tokens(engine) == 0)
        http_error_set(error, PROBLEM_UNSUPPORTED, "model", "this model does not draw pictures");
    draw->seed = seed_choose();
    draw->guidance = engine_config(engine)->drawing.guidance;
    draw->filter = engine_config(engine)->drawing.filter;
    read_quality(r, &f);
    draw_read(&f, draw, &r->output);
    draw->mode = DRAW_NOW;
    draw->max_pictures = 1;
    read_formalities(&f);
    param_int(&f, "n", 1, most, &r->pictures);
    read_delivery(r, &f);
    build_prompt(r, engine, &f);
    json_decref(json);
}

void image_request_release(struct image_request *r)
{
    request_close(r->request);
    r->request = NULL;
}
