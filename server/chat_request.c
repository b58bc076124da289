#include "server/chat_request.h"

#include "engine/prompt.h"
#include "server/message_read.h"
#include "server/state.h"
#include "server/text_read.h"

#include <stdio.h>
#include <string.h>

enum { DEFAULT_PICTURES = 4, MOST_PICTURES = 16, MOST_PREVIEWS = 9 };

void model_param_check(const struct server *server, const struct params *f)
{
    const char *name = NULL;
    param_string(f, "model", &name, NULL);
    if (name && server->options.model_name[0] && strcmp(name, server->model_name) != 0)
        http_error_set(f->error, PROBLEM_MODEL, "model",
                       "the model '%.100s' does not exist; this server's model is '%.100s'", name,
                       server->model_name);
}

static void read_lengths(const struct params *f, struct text_options *text)
{
    int max = -1;
    param_int(f, "max_tokens", 1, INT32_MAX, &max);
    param_int(f, "max_completion_tokens", 1, INT32_MAX, &max);
    text->max_tokens = max;
    text_read_least(f, text);
}

static void read_logprobs(const struct params *f, struct text_options *text)
{
    param_bool(f, "logprobs", &text->logprobs);
    param_int(f, "top_logprobs", 0, 20, &text->top_logprobs);
    if (param_find(f, "top_logprobs") && !text->logprobs)
        param_fail(f, PROBLEM_INVALID, "top_logprobs", "needs 'logprobs': true");
}

/* What the reply may hold. Absent: text, and pictures where the model draws. */
static void read_modalities(const struct params *f, bool can_draw, struct draw_options *draw)
{
    json_t *list = param_array(f, "modalities"), *item;
    size_t i;
    bool text = false, image = false;
    draw->mode = can_draw ? DRAW_FREE : DRAW_NEVER;
    if (!list)
        return;
    json_array_foreach(list, i, item)
    {
        const char *name = json_is_string(item) ? json_string_value(item) : "";
        text |= strcmp(name, "text") == 0;
        image |= strcmp(name, "image") == 0;
        if (strcmp(name, "text") != 0 && strcmp(name, "image") != 0)
            param_fail(f, strcmp(name, "audio") ? PROBLEM_INVALID : PROBLEM_UNSUPPORTED, "modalities",
                       "must be made of 'text' and 'image'");
    }
    if (!text && !image)
        param_fail(f, PROBLEM_INVALID, "modalities", "must be made of 'text' and 'image'");
    if (image && !can_draw)
        param_fail(f, PROBLEM_UNSUPPORTED, "modalities", "asks for 'image', but this model does not draw");
    draw->mode = !image ? DRAW_NEVER : text ? DRAW_FREE : DRAW_NOW;
}

static void read_drawing(struct chat_request *c, const struct params *f, const struct drawing_config *own,
                         bool can_draw)
{
    json_t *config = param_object(f, "image_config");
    struct params inner = {config, "image_config.", f->error};
    struct draw_options *draw = &c->request->draw;
    int format = MIXED_IMAGES;
    static const char *const formats[] = {"images", "parts", "markdown", NULL};
    draw->seed = c->seed;
    draw->guidance = own->guidance;
    draw->filter = own->filter;
    draw->max_pictures = DEFAULT_PICTURES;
    draw_read(&inner, draw, &c->output);
    param_int(&inner, "partial_images", 0, MOST_PREVIEWS, &c->previews);
    param_int(f, "max_images", 1, MOST_PICTURES, &draw->max_pictures);
    param_choice(f, "mixed_format", formats, &format);
    c->format = (enum mixed_format)format;
    read_modalities(f, can_draw, draw);
    if (c->output.animated && c->previews > 0)
        param_fail(&inner, PROBLEM_INVALID, "partial_images", "must be 0 for 'gif', which shows every scale");
    if (!c->stream)
        c->previews = 0;
}

/* What is known and not offered (yet) must not pass in silence. */
static void refuse_unsupported(const struct params *f)
{
    static const char *const refused[] = {"audio", "web_search_options", "functions", NULL};
    json_t *format = param_object(f, "response_format");
    struct params inner = {format, "response_format.", f->error};
    const char *type = NULL;
    param_string(&inner, "type", &type, NULL);
    if (type && (strcmp(type, "json_object") == 0 || strcmp(type, "json_schema") == 0))
        param_fail(&inner, PROBLEM_UNSUPPORTED, "type", "'%s' is not supported yet; use 'text'", type);
    else if (format && (!type || strcmp(type, "text") != 0))
        param_fail(&inner, PROBLEM_INVALID, "type", "must be 'text', 'json_object' or 'json_schema'");
    if (json_array_size(param_array(f, "tools")) > 0)
        param_fail(f, PROBLEM_UNSUPPORTED, "tools", "is not supported yet");
    json_t *choice = param_find(f, "tool_choice");
    const char *word = json_string_value(choice);
    if (choice && (!word || (strcmp(word, "none") != 0 && strcmp(word, "auto") != 0)))
        param_fail(f, PROBLEM_UNSUPPORTED, "tool_choice", "is not supported yet, but for 'none' and 'auto'");
    for (int i = 0; refused[i]; i++) {
        json_t *value = param_find(f, refused[i]);
        if (value && !(json_is_array(value) && json_array_size(value) == 0))
            param_fail(f, PROBLEM_UNSUPPORTED, refused[i], "is not supported");
    }
}

static void read_streaming(struct chat_request *c, const struct params *f)
{
    json_t *options = param_object(f, "stream_options");
    struct params inner = {options, "stream_options.", f->error};
    param_bool(f, "stream", &c->stream);
    param_bool(f, "return_progress", &c->progress);
    if (options && !c->stream)
        param_fail(f, PROBLEM_INVALID, "stream_options", "needs 'stream': true");
    param_bool(&inner, "include_usage", &c->include_usage);
}

static void build_prompt(struct chat_request *c, struct server *server, const struct params *f)
{
    struct message_list list = {0};
    struct error err = {0};
    struct engine *engine = server_engine(server);
    json_t *messages = param_array(f, "messages");
    message_list_read(&list, server, messages, f->error);
    if (f->error->problem == PROBLEM_NONE &&
        prompt_build(engine, list.message, list.n_messages, true, c->request, &err))
        http_error_from(f->error, &err, "messages");
    message_list_release(&list);
    if (f->error->problem != PROBLEM_NONE)
        return;
    c->prompt = prompt_usage_count(engine, c->request);
    int left = engine_context(engine) - (int)c->request->n_ids;
    if (c->request->text.max_tokens > left && left > 0)
        c->request->text.max_tokens = left;
}

void chat_request_read(struct chat_request *c, struct server *server, const char *body, size_t length,
                       struct http_error *error)
{
    const struct engine *engine = server_engine(server);
    const struct model_config *config = engine_config(engine);
    *c = (struct chat_request){.choices = 1, .seed = seed_choose()};
    json_t *json = json_read_body(body, length, error);
    c->request = request_new();
    struct params f = {json, "", error};
    model_param_check(server, &f);
    read_streaming(c, &f);
    seed_read(&f, &c->seed);
    c->request->text.seed = c->seed;
    text_read_choosing(&f, config, &c->request->text);
    read_lengths(&f, &c->request->text);
    read_logprobs(&f, &c->request->text);
    text_read_stop(&f, &c->stops);
    text_read_scheduling(&f, c->request);
    read_drawing(c, &f, &config->drawing, engine_picture_tokens(engine) > 0);
    refuse_unsupported(&f);
    param_int(&f, "n", 1, server->options.max_choices, &c->choices);
    c->logprobs = c->request->text.logprobs;
    c->service_tier = param_find(&f, "service_tier") != NULL;
    build_prompt(c, server, &f);
    json_decref(json);
}

void chat_request_release(struct chat_request *c)
{
    stop_list_release(&c->stops);
    request_close(c->request);
    c->request = NULL;
}
