#include "server/chat_reply.h"

#include "base/clock.h"
#include "base/memory.h"
#include "server/call.h"
#include "server/chat_choice.h"
#include "server/sse.h"
#include "server/state.h"

#include <stdlib.h>

struct chat_reply {
    struct call call;
    struct chat_request request;
    struct chat_choice *choice; /* [request.choices] */
    char id[SERVER_ID_BYTES];
    int64_t created;
};

static void chat_reply_close(void *context)
{
    struct chat_reply *c = context;
    reply_close(c->call.reply);
    for (int i = 0; c->choice && i < c->request.choices; i++)
        chat_choice_release(&c->choice[i]);
    free(c->choice);
    chat_request_release(&c->request);
    free(c);
}

static bool chat_ended(void *context)
{
    const struct chat_reply *c = context;
    for (int i = 0; i < c->request.choices; i++)
        if (!c->choice[i].ended)
            return false;
    return true;
}

static struct reply_usage total_usage(const struct chat_reply *c)
{
    struct reply_usage total = {0};
    for (int i = 0; i < c->request.choices; i++) {
        total.text_tokens += c->choice[i].usage.text_tokens;
        total.picture_tokens += c->choice[i].usage.picture_tokens;
    }
    return total;
}

/* What the reply in one piece and every chunk begin with. */
static json_t *envelope(const struct chat_reply *c, const char *object, json_t *choices)
{
    json_t *json = json_pack("{s:s, s:s, s:I, s:s, s:s, s:o}", "id", c->id, "object", object, "created",
                             (json_int_t)c->created, "model", c->call.exchange->server->model_name,
                             "system_fingerprint", c->call.exchange->server->fingerprint, "choices", choices);
    if (c->request.service_tier)
        json_object_set_new(json, "service_tier", json_string("default"));
    return json;
}

static json_t *logprobs_json(const struct chat_reply *c, json_t *entries)
{
    if (c->request.logprobs)
        return json_pack("{s:o, s:n}", "content", entries, "refusal");
    json_decref(entries);
    return json_null();
}

/* Sends one chunk; takes delta and logprobs. finish may be NULL. */
static void send_chunk(struct chat_reply *c, int choice, json_t *delta, json_t *logprobs, const char *finish)
{
    json_t *entry = json_pack("{s:i, s:o, s:o, s:s?}", "index", choice, "delta", delta, "logprobs", logprobs,
                              "finish_reason", finish);
    json_t *choices = json_array();
    json_array_append_new(choices, entry);
    json_t *chunk = envelope(c, "chat.completion.chunk", choices);
    if (c->request.include_usage)
        json_object_set_new(chunk, "usage", json_null());
    if (finish)
        json_object_set_new(chunk, "seed", json_integer((json_int_t)c->request.seed));
    sse_append(c->call.out, NULL, chunk);
}

/* Text is a string, or in MIXED_PARTS an array of one part. */
static json_t *text_delta(const struct chat_reply *c, const char *text, size_t length)
{
    json_t *string = json_stringn(text, length);
    if (c->request.format != MIXED_PARTS || length == 0)
        return json_pack("{s:o}", "content", string);
    return json_pack("{s:[{s:s, s:o}]}", "content", "type", "text", "text", string);
}

static json_t *picture_delta(const struct chat_reply *c, json_t *image)
{
    bool partial = json_object_get(image, "partial") != NULL;
    if (c->request.format == MIXED_PARTS && !partial)
        return json_pack("{s:[o]}", "content", image);
    if (c->request.format != MIXED_MARKDOWN || partial)
        return json_pack("{s:[o]}", "images", image);
    json_t *url = json_object_get(json_object_get(image, "image_url"), "url");
    json_t *delta = json_pack("{s:o}", "content", json_sprintf("![image](%s)", json_string_value(url)));
    json_decref(image);
    return delta;
}

/* Sends what the choice may show by now. */
static void send_text(struct chat_reply *c, int index)
{
    struct chat_choice *h = &c->choice[index];
    size_t length;
    const char *text = chat_choice_take_text(h, &length);
    json_t *entries = choice_text_take_logprobs(&h->text, h->ended);
    if (length > 0 || json_array_size(entries) > 0)
        send_chunk(c, index, text_delta(c, text, length), logprobs_json(c, entries), NULL);
    else
        json_decref(entries);
}

static void fail(struct chat_reply *c, const struct error *err)
{
    http_error_from(&c->call.error, err, NULL);
}

/* Takes the member that tells how far it is. */
static void send_progress(struct chat_reply *c, int choice, const char *name, json_t *progress)
{
    json_t *chunk =
        envelope(c, "chat.completion.chunk",
                 json_pack("[{s:i, s:{}, s:n, s:n}]", "index", choice, "delta", "logprobs", "finish_reason"));
    if (c->request.include_usage)
        json_object_set_new(chunk, "usage", json_null());
    json_object_set_new(chunk, name, progress);
    sse_append(c->call.out, NULL, chunk);
}

static void send_prompt_progress(struct chat_reply *c, int choice, int processed)
{
    int64_t ms = (clock_ns() - c->call.exchange->started_ns) / 1000000;
    send_progress(c, choice, "prompt_progress",
                  json_pack("{s:i, s:i, s:I}", "total", c->request.prompt.tokens, "processed", processed,
                            "time_ms", (json_int_t)ms));
}

/* What return_progress asks for: that the prompt is read, and each scale of a picture. */
static void tell_progress(struct chat_reply *c, const struct reply_event *e)
{
    struct chat_choice *h = &c->choice[e->choice];
    if (!c->request.progress || !c->request.stream)
        return;
    if (!h->begun)
        send_prompt_progress(c, e->choice, c->request.prompt.tokens);
    if (e->event.type == EVENT_SCALE)
        send_progress(c, e->choice, "picture_progress",
                      json_pack("{s:i, s:i, s:i}", "index", e->event.picture_index, "scale", e->event.scale,
                                "scales", e->event.n_scales));
}

/* An event of the reply. */
static void chat_feed(void *context, const struct reply_event *e)
{
    struct chat_reply *c = context;
    struct chat_choice *h = &c->choice[e->choice];
    struct error err = {0};
    json_t *image = NULL;
    if (h->ended || c->call.error.problem != PROBLEM_NONE)
        return;
    if (e->event.type == EVENT_FAILED) {
        fail(c, e->event.error);
        return;
    }
    tell_progress(c, e);
    h->begun = true;
    if (chat_choice_feed(h, &e->event, &image, &err)) {
        fail(c, &err);
        return;
    }
    if (h->text.stopped)
        reply_cancel(c->call.reply, e->choice);
    if (e->event.type == EVENT_DONE && e->choice == 0)
        c->request.prompt = (struct prompt_usage){
            e->event.usage.prompt_tokens, e->event.usage.prompt_picture_tokens, e->event.usage.cached_tokens};
    if (c->request.stream) {
        send_text(c, e->choice);
        if (image)
            send_chunk(c, e->choice, picture_delta(c, image), json_null(), NULL);
        if (h->ended)
            send_chunk(c, e->choice, json_object(), json_null(), chat_choice_finish(h));
    } else if (image) {
        chat_choice_keep(h, image);
    }
}

static void chat_end(void *context)
{
    struct chat_reply *c = context;
    if (c->request.include_usage) {
        struct reply_usage total = total_usage(c);
        json_t *chunk = envelope(c, "chat.completion.chunk", json_array());
        json_object_set_new(chunk, "usage", usage_chat_json(&c->request.prompt, &total));
        sse_append(c->call.out, NULL, chunk);
    }
    buffer_append_text(c->call.out, "data: [DONE]\n\n");
}

static void chat_begin(void *context)
{
    struct chat_reply *c = context;
    for (int i = 0; i < c->request.choices; i++)
        send_chunk(c, i, json_pack("{s:s, s:s}", "role", "assistant", "content", ""), json_null(), NULL);
    for (int i = 0; c->request.progress && i < c->request.choices; i++)
        send_prompt_progress(c, i, 0);
}

static void chat_answer(void *context)
{
    struct chat_reply *c = context;
    json_t *choices = json_array();
    struct reply_usage total = total_usage(c);
    for (int i = 0; i < c->request.choices; i++) {
        struct chat_choice *h = &c->choice[i];
        json_t *entries = choice_text_take_logprobs(&h->text, true);
        json_array_append_new(choices,
                              json_pack("{s:i, s:o, s:o, s:s}", "index", i, "message", chat_choice_message(h),
                                        "logprobs", logprobs_json(c, entries), "finish_reason",
                                        chat_choice_finish(h)));
    }
    json_t *json = envelope(c, "chat.completion", choices);
    json_object_set_new(json, "usage", usage_chat_json(&c->request.prompt, &total));
    json_object_set_new(json, "seed", json_integer((json_int_t)c->request.seed));
    call_answer_json(&c->call, json);
}

static const struct call_steps chat_steps = {
    .feed = chat_feed,
    .ended = chat_ended,
    .begin = chat_begin,
    .end = chat_end,
    .answer = chat_answer,
    .close = chat_reply_close,
};

/* One engine request a choice. */
static enum status submit(struct chat_reply *c, struct error *err)
{
    struct engine *engine = server_engine(c->call.exchange->server);
    if (reply_open(&c->call.reply, c->call.exchange, c->request.choices, err))
        return err->status;
    if (reply_reserve(c->call.reply, reply_most_tokens(engine, c->request.request, c->request.choices),
                      &c->call.error))
        return error_set(err, STATUS_BUSY, "%s", c->call.error.message);
    if (c->request.progress)
        reply_want_scales(c->call.reply);
    for (int i = 0; i < c->request.choices; i++)
        chat_choice_init(&c->choice[i], &c->request, engine_tokenizer(engine));
    for (int i = 0; i < c->request.choices; i++) {
        bool last = i == c->request.choices - 1;
        struct request *request = last ? c->request.request : request_copy(c->request.request);
        if (last)
            c->request.request = NULL;
        if (!request)
            return error_set(err, STATUS_NO_MEMORY, "no memory for %d choices", c->request.choices);
        if (reply_submit(c->call.reply, engine, request, i,
                         picture_output_previews(&c->request.output, c->request.previews), err))
            return err->status;
    }
    return STATUS_OK;
}

void chat_reply_run(struct exchange *x, struct chat_request *request)
{
    struct chat_reply *c = xcalloc(1, sizeof *c);
    struct error err = {0};
    c->call = (struct call){.exchange = x, .steps = &chat_steps, .context = c};
    c->request = *request;
    *request = (struct chat_request){0};
    c->created = clock_unix();
    c->choice = xcalloc((size_t)c->request.choices, sizeof c->choice[0]);
    server_make_id(c->id, "chatcmpl-");
    if (submit(c, &err))
        http_error_from(&c->call.error, &err, "messages");
    call_run(&c->call, c->request.stream);
}
