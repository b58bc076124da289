#include "server/completion_request.h"

#include "base/memory.h"
#include "engine/text/utf8.h"
#include "server/chat_request.h"
#include "server/state.h"

#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_TOKENS = 16,
    MAX_ECHO_BYTES = 16 << 20,
    MAX_RATED =
        1 << 20, /* log-probabilities of all prompts together, each at most some hundred bytes as JSON */
};

/* Fields that would change the result and are not offered. */
static void refuse_unsupported(const struct params *f, const struct completion_request *c)
{
    const char *suffix = NULL;
    size_t length = 0;
    int64_t best = c->choices;
    param_string(f, "suffix", &suffix, &length);
    if (length > 0)
        param_fail(f, PROBLEM_UNSUPPORTED, "suffix",
                   "is not supported: this model writes on at the end of a text only");
    param_integer(f, "best_of", 1, MAX_COMPLETIONS, &best);
    if (best != c->choices)
        param_fail(f, PROBLEM_UNSUPPORTED, "best_of", "is not supported, but for the value of 'n'");
}

static void read_options(struct completion_request *c, const struct params *f,
                         const struct model_config *config, int most_choices, struct text_options *text)
{
    json_t *options = param_object(f, "stream_options");
    struct params inner = {options, "stream_options.", f->error};
    param_bool(f, "stream", &c->stream);
    if (options && !c->stream)
        param_fail(f, PROBLEM_INVALID, "stream_options", "needs 'stream': true");
    param_bool(&inner, "include_usage", &c->include_usage);
    seed_read(f, &c->seed);
    text->seed = c->seed;
    text_read_choosing(f, config, text);
    text->max_tokens = DEFAULT_TOKENS;
    param_int(f, "max_tokens", 0, INT32_MAX, &text->max_tokens);
    text_read_least(f, text);
    text_read_stop(f, &c->stops);
    c->logprobs = text->logprobs = param_find(f, "logprobs") != NULL;
    param_int(f, "logprobs", 0, 20, &text->top_logprobs);
    c->top_logprobs = text->top_logprobs;
    param_bool(f, "echo", &c->echo);
    text->prompt_logprobs = c->echo && c->logprobs;
    param_int(f, "n", 1, most_choices, &c->choices);
    refuse_unsupported(f, c);
}

/* Whether the ids of a prompt can be had: an array of integers below the vocabulary's size. */
static bool read_ids(const struct params *f, json_t *array, int vocab, struct request *r)
{
    size_t n = json_array_size(array);
    r->ids = try_malloc(n, sizeof r->ids[0]);
    if (!r->ids) {
        http_error_set(f->error, PROBLEM_MEMORY, NULL, "no memory for 'prompt'");
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        json_t *value = json_array_get(array, i);
        json_int_t id = json_integer_value(value);
        if (!json_is_integer(value) || id < 0 || id >= vocab) {
            param_fail(f, PROBLEM_INVALID, "prompt", "must hold token ids from 0 to %d", vocab - 1);
            return false;
        }
        r->ids[i] = (int32_t)id;
    }
    r->n_ids = n;
    return true;
}

static bool encode(const struct params *f, const struct engine *engine, json_t *text, struct request *r)
{
    struct token_list list = {0};
    struct error err = {0};
    bool special = true;
    param_bool(f, "add_special_tokens", &special);
    if (tokenizer_encode(engine_tokenizer(engine), json_string_value(text), json_string_length(text), NULL, 0,
                         special ? TOKENIZER_ADD_SPECIAL : 0, &list, &err)) {
        http_error_from(f->error, &err, "prompt");
        return false;
    }
    r->ids = list.ids;
    r->n_ids = list.count;
    return true;
}

/* Echoed: the prompt's own text, or what its ids spell. */
static void keep_text(struct completion_prompt *p, const struct engine *engine, json_t *json)
{
    struct buffer raw, text;
    buffer_init(&raw, MAX_ECHO_BYTES);
    buffer_init(&text, MAX_ECHO_BYTES);
    if (json_is_string(json))
        buffer_append(&text, json_string_value(json), json_string_length(json));
    else
        tokenizer_decode(engine_tokenizer(engine), p->request->ids, p->request->n_ids, true, &raw);
    if (raw.length)
        utf8_append_lossy(&text, raw.data, raw.length);
    p->text = text.length ? buffer_take(&text, &p->length) : xstrdup("");
    buffer_release(&raw);
    buffer_release(&text);
}

static void add_prompt(struct completion_request *c, const struct params *f, const struct engine *engine,
                       json_t *json, const struct request *model)
{
    struct completion_prompt *p = &c->prompt[c->prompts++];
    bool ok = false;
    if (f->error->problem != PROBLEM_NONE)
        return;
    p->request = request_copy(model);
    if (!p->request)
        http_error_set(f->error, PROBLEM_MEMORY, NULL, "no memory for 'prompt'");
    else if (json_is_string(json))
        ok = encode(f, engine, json, p->request);
    else if (json_is_array(json))
        ok = read_ids(f, json, engine_config(engine)->llm.vocab, p->request);
    else
        param_fail(f, PROBLEM_INVALID, "prompt", "must be a string, an array of strings, or token ids");
    if (!ok)
        return;
    if (p->request->n_ids == 0) {
        param_fail(f, PROBLEM_INVALID, "prompt", "must not be empty");
        return;
    }
    int left = engine_context(engine) - (int)p->request->n_ids;
    if (left < 0 || (left == 0 && model->text.max_tokens > 0))
        param_fail(f, PROBLEM_CONTEXT, "prompt", "has %zu tokens, the context holds %d", p->request->n_ids,
                   engine_context(engine));
    else if (p->request->text.max_tokens > left)
        p->request->text.max_tokens = left;
    p->first_id = p->request->ids[0];
    p->last_id = p->request->ids[p->request->n_ids - 1];
    if (c->echo)
        keep_text(p, engine, json);
    if (model->text.prompt_logprobs)
        c->rated += p->request->n_ids * (size_t)(c->choices * (1 + c->top_logprobs));
    if (c->rated > MAX_RATED)
        param_fail(
            f, PROBLEM_INVALID, "prompt",
            "with 'echo' and 'logprobs' asks for over %d log-probabilities: send fewer prompts in a call",
            (int)MAX_RATED);
}

/* A string, token ids, or an array of either. */
static void read_prompts(struct completion_request *c, const struct params *f, const struct engine *engine,
                         const struct request *model)
{
    json_t *prompt = param_find(f, "prompt");
    bool single = !json_is_array(prompt) || json_is_integer(json_array_get(prompt, 0));
    size_t n = single ? 1 : json_array_size(prompt);
    if (!prompt || n == 0)
        param_fail(f, PROBLEM_INVALID, "prompt", "must be a string, an array of strings, or token ids");
    else if (n * (size_t)c->choices > MAX_COMPLETIONS)
        param_fail(f, PROBLEM_INVALID, "prompt", "and 'n' ask for more than %d completions", MAX_COMPLETIONS);
    if (f->error->problem != PROBLEM_NONE)
        return;
    c->prompt = xcalloc(n, sizeof c->prompt[0]);
    for (size_t i = 0; i < n; i++)
        add_prompt(c, f, engine, single ? prompt : json_array_get(prompt, i), model);
}

void completion_request_read(struct completion_request *c, struct server *server, const char *body,
                             size_t length, struct http_error *error)
{
    const struct engine *engine = server_engine(server);
    *c = (struct completion_request){.choices = 1, .seed = seed_choose()};
    json_t *json = json_read_body(body, length, error);
    struct request *model = request_new();
    struct params f = {json, "", error};
    model->draw.mode = DRAW_NEVER;
    model_param_check(server, &f);
    read_options(c, &f, engine_config(engine), server->options.max_choices, &model->text);
    text_read_scheduling(&f, model);
    read_prompts(c, &f, engine, model);
    request_close(model);
    json_decref(json);
}

void completion_request_release(struct completion_request *c)
{
    for (int i = 0; c->prompt && i < c->prompts; i++) {
        request_close(c->prompt[i].request);
        free(c->prompt[i].text);
    }
    free(c->prompt);
    stop_list_release(&c->stops);
    c->prompt = NULL;
}
