#include "server/completion_reply.h"

#include "base/clock.h"
#include "base/memory.h"
#include "engine/text/utf8.h"
#include "server/call.h"
#include "server/sse.h"
#include "server/state.h"

#include <math.h>
#include <stdlib.h>

struct completion {
    struct choice_text text;
    struct choice_text prompt; /* with `echo` and `logprobs`: its tokens, as they come before the reply's */
    bool echoed;               /* the prompt was sent */
    size_t given;              /* bytes of text handed out in pieces */
    bool ended;
    enum finish_reason finish;
    struct usage usage;
    int tokens;                   /* that came, for a choice cut short by a stop string */
    size_t prompt_offset, offset; /* in characters, of the text that logprobs were given for */
};

struct completion_reply {
    struct call call;
    struct completion_request request;
    struct completion *choice; /* [n] prompt after prompt */
    int n;
    char id[SERVER_ID_BYTES];
    int64_t created;
};

static void completion_close(void *context)
{
    struct completion_reply *c = context;
    reply_close(c->call.reply);
    for (int i = 0; c->choice && i < c->n; i++) {
        choice_text_release(&c->choice[i].text);
        choice_text_release(&c->choice[i].prompt);
    }
    free(c->choice);
    completion_request_release(&c->request);
    free(c);
}

static bool completion_ended(void *context)
{
    const struct completion_reply *c = context;
    for (int i = 0; i < c->n; i++)
        if (!c->choice[i].ended)
            return false;
    return true;
}

static const struct completion_prompt *prompt_of(const struct completion_reply *c, int choice)
{
    return &c->request.prompt[choice / c->request.choices];
}

static json_t *usage_json(const struct completion_reply *c)
{
    struct prompt_usage prompt = {0};
    struct reply_usage reply = {0};
    for (int i = 0; i < c->n; i++) {
        reply.text_tokens +=
            c->choice[i].usage.text_tokens ? c->choice[i].usage.text_tokens : c->choice[i].tokens;
        if (i % c->request.choices)
            continue; /* a prompt is counted once */
        prompt.tokens += (int)c->choice[i].usage.prompt_tokens;
        prompt.cached_tokens += c->choice[i].usage.cached_tokens;
    }
    return usage_chat_json(&prompt, &reply);
}

static json_t *envelope(const struct completion_reply *c, json_t *choices)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:o}", "id", c->id, "object", "text_completion", "created",
                     (json_int_t)c->created, "model", c->call.exchange->server->model_name,
                     "system_fingerprint", c->call.exchange->server->fingerprint, "choices", choices);
}

static json_t *choice_json(int index, json_t *text, json_t *logprobs, const char *finish)
{
    return json_pack("{s:i, s:o, s:o, s:s?}", "index", index, "text", text, "logprobs", logprobs,
                     "finish_reason", finish);
}

static const char *finish_name(const struct completion *h)
{
    return h->finish == FINISH_LENGTH ? "length" : "stop";
}

static void send_chunk(struct completion_reply *c, json_t *choices, json_t *usage)
{
    json_t *chunk = envelope(c, choices);
    if (c->request.include_usage)
        json_object_set_new(chunk, "usage", usage ? usage : json_null());
    sse_append(c->call.out, NULL, chunk);
}

static void send_choice(struct completion_reply *c, json_t *choice)
{
    json_t *choices = json_array();
    json_array_append_new(choices, choice);
    send_chunk(c, choices, NULL);
}

static bool rates_prompts(const struct completion_reply *c)
{
    return c->request.echo && c->request.logprobs;
}

static json_t *take_prompt_logprobs(const struct completion_reply *c, struct completion *h)
{
    if (!rates_prompts(c))
        return json_null();
    choice_text_flush(&h->prompt, true);
    return choice_text_take_legacy_logprobs(&h->prompt, true, &h->prompt_offset);
}

static json_t *take_logprobs(const struct completion_reply *c, struct completion *h)
{
    return c->request.logprobs ? choice_text_take_legacy_logprobs(&h->text, h->ended, &h->offset)
                               : json_null();
}

/* The prompt's in front, where they were asked for. */
static json_t *take_all_logprobs(const struct completion_reply *c, struct completion *h)
{
    static const char *const names[] = {"tokens", "token_logprobs", "top_logprobs", "text_offset"};
    json_t *all = take_prompt_logprobs(c, h), *rest = take_logprobs(c, h);
    if (!json_is_object(all))
        return rest;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && json_is_object(rest); i++)
        json_array_extend(json_object_get(all, names[i]), json_object_get(rest, names[i]));
    json_decref(rest);
    return all;
}

static void send_prompt(struct completion_reply *c, int index)
{
    struct completion *h = &c->choice[index];
    const struct completion_prompt *p = prompt_of(c, index);
    if (h->echoed)
        return;
    h->echoed = true;
    send_choice(c, choice_json(index, json_stringn(p->text, p->length), take_prompt_logprobs(c, h), NULL));
}

/* Sends what the choice may show by now. */
static void send_text(struct completion_reply *c, int index)
{
    struct completion *h = &c->choice[index];
    size_t length = h->text.shown - h->given;
    if (length == 0 && !h->ended)
        return;
    json_t *text = json_stringn(length ? h->text.text.data + h->given : "", length);
    h->given = h->text.shown;
    send_choice(c, choice_json(index, text, take_logprobs(c, h), h->ended ? finish_name(h) : NULL));
}

static void completion_feed(void *context, const struct reply_event *e)
{
    struct completion_reply *c = context;
    struct completion *h = &c->choice[e->choice];
    if (h->ended || c->call.error.problem != PROBLEM_NONE)
        return;
    if (e->event.type == EVENT_FAILED) {
        http_error_from(&c->call.error, e->event.error, NULL);
        return;
    }
    if (e->event.type == EVENT_PROMPT) {
        choice_text_push(&h->prompt, &e->event);
        return;
    }
    if (e->event.type == EVENT_TOKEN) {
        h->tokens++;
        choice_text_push(&h->text, &e->event);
        h->ended = h->text.stopped;
    } else if (e->event.type == EVENT_DONE) {
        choice_text_flush(&h->text, true);
        h->usage = e->event.usage;
        h->finish = h->text.stopped ? FINISH_STOP : e->event.finish;
        h->ended = true;
    }
    if (h->text.stopped)
        reply_cancel(c->call.reply, e->choice);
    if (!c->request.stream)
        return;
    if (c->request.echo)
        send_prompt(c, e->choice);
    send_text(c, e->choice);
}

static void completion_begin(void *context)
{
    struct completion_reply *c = context;
    for (int i = 0; c->request.echo && !rates_prompts(c) && i < c->n; i++)
        send_prompt(c, i);
}

static void completion_end(void *context)
{
    struct completion_reply *c = context;
    if (c->request.include_usage)
        send_chunk(c, json_array(), usage_json(c));
    buffer_append_text(c->call.out, "data: [DONE]\n\n");
}

static json_t *whole_text(const struct completion_reply *c, int index)
{
    const struct completion *h = &c->choice[index];
    const struct completion_prompt *p = prompt_of(c, index);
    struct buffer text;
    buffer_init(&text, BUFFER_NO_LIMIT);
    if (c->request.echo)
        buffer_append(&text, p->text, p->length);
    if (h->text.shown)
        buffer_append(&text, h->text.text.data, h->text.shown);
    json_t *json = json_stringn(text.length ? text.data : "", text.length);
    buffer_release(&text);
    return json;
}

static void completion_answer(void *context)
{
    struct completion_reply *c = context;
    json_t *choices = json_array();
    for (int i = 0; i < c->n; i++)
        json_array_append_new(choices, choice_json(i, whole_text(c, i), take_all_logprobs(c, &c->choice[i]),
                                                   finish_name(&c->choice[i])));
    json_t *json = envelope(c, choices);
    json_object_set_new(json, "usage", usage_json(c));
    exchange_reply_json(c->call.exchange, 200, json);
}

static const struct call_steps completion_steps = {
    .feed = completion_feed,
    .ended = completion_ended,
    .begin = completion_begin,
    .end = completion_end,
    .answer = completion_answer,
    .close = completion_close,
};

/* The last choice of a prompt takes its request, the others copies. */
static struct request *request_for(struct completion_reply *c, int choice)
{
    struct completion_prompt *p = &c->request.prompt[choice / c->request.choices];
    struct request *request = p->request;
    if (choice % c->request.choices < c->request.choices - 1)
        return request_copy(request);
    p->request = NULL;
    return request;
}

/* The prompt's first token has no log-probability, and no event says so. */
static void begin_prompt(struct completion *h, const struct completion_prompt *p)
{
    static const struct stop_list none;
    choice_text_init(&h->prompt, h->text.tokenizer, &none, true);
    choice_text_push(&h->prompt, &(struct event){.id = p->first_id, .logprob = NAN});
    h->offset = utf8_count(p->text, p->length);
}

static enum status submit(struct completion_reply *c, struct error *err)
{
    struct engine *engine = server_engine(c->call.exchange->server);
    const struct tokenizer *tokenizer = engine_tokenizer(engine);
    int64_t most = 0;
    if (reply_open(&c->call.reply, c->call.exchange, c->n, err))
        return err->status;
    reply_share_prompts(c->call.reply, c->request.choices);
    for (int i = 0; i < c->request.prompts; i++)
        most += reply_most_tokens(engine, c->request.prompt[i].request, c->request.choices);
    if (reply_reserve(c->call.reply, most, &c->call.error))
        return error_set(err, STATUS_BUSY, "%s", c->call.error.message);
    for (int i = 0; i < c->n; i++) {
        choice_text_init(&c->choice[i].text, tokenizer, &c->request.stops, c->request.logprobs);
        choice_text_follow(&c->choice[i].text, prompt_of(c, i)->last_id);
        if (rates_prompts(c))
            begin_prompt(&c->choice[i], prompt_of(c, i));
        c->choice[i].usage.prompt_tokens = (int)prompt_of(c, i)->request->n_ids;
    }
    for (int i = 0; i < c->n; i++) {
        struct request *request = request_for(c, i);
        if (!request)
            return error_set(err, STATUS_NO_MEMORY, "no memory for %d completions", c->n);
        if (reply_submit(c->call.reply, engine, request, i, 0, err))
            return err->status;
    }
    return STATUS_OK;
}

void completion_reply_run(struct exchange *x, struct completion_request *request)
{
    struct completion_reply *c = xcalloc(1, sizeof *c);
    struct error err = {0};
    c->call = (struct call){.exchange = x, .steps = &completion_steps, .context = c};
    c->request = *request;
    *request = (struct completion_request){0};
    c->n = c->request.prompts * c->request.choices;
    c->created = clock_unix();
    c->choice = xcalloc((size_t)c->n, sizeof c->choice[0]);
    server_make_id(c->id, "cmpl-");
    if (submit(c, &err))
        http_error_from(&c->call.error, &err, "prompt");
    call_run(&c->call, c->request.stream);
}
