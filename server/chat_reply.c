#include "server/chat_reply.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/chat_choice.h"
#include "server/reply.h"
#include "server/sse.h"
#include "server/state.h"

#include <stdlib.h>
#include <string.h>

struct chat_reply {
    struct exchange *exchange;
    struct chat_request request;
    struct reply *reply;
    struct chat_choice *choice; /* [request.choices] */
    struct http_error error;    /* what ended it early */
    char id[SERVER_ID_BYTES];
    int64_t created;
    struct buffer *out; /* of the step of a stream that runs */
    bool begun, ended;
};

static void chat_reply_close(void *context)
{
    struct chat_reply *c = context;
    reply_close(c->reply);
    for (int i = 0; c->choice && i < c->request.choices; i++)
        chat_choice_release(&c->choice[i]);
    free(c->choice);
    chat_request_release(&c->request);
    free(c);
}

static bool all_ended(const struct chat_reply *c)
{
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
                             (json_int_t)c->created, "model", c->exchange->server->model_name,
                             "system_fingerprint", c->exchange->server->fingerprint, "choices", choices);
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
    sse_append(c->out, NULL, chunk);
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
    http_error_from(&c->error, err, NULL);
}

/* An event of the reply. */
static void feed(void *context, const struct reply_event *e)
{
    struct chat_reply *c = context;
    struct chat_choice *h = &c->choice[e->choice];
    struct error err = {0};
    json_t *image = NULL;
    if (h->ended || c->error.problem != PROBLEM_NONE)
        return;
    if (e->event.type == EVENT_FAILED) {
        fail(c, e->event.error);
        return;
    }
    if (chat_choice_feed(h, &e->event, &image, &err)) {
        fail(c, &err);
        return;
    }
    if (h->text.stopped)
        reply_cancel(c->reply, e->choice);
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

/* Waits for events and feeds them. False once the client is gone. */
static bool pump(struct chat_reply *c, enum reply_wait *w)
{
    *w = reply_pump(c->reply, c->exchange, SSE_PING_SECONDS, feed, c);
    if (*w == REPLY_ENDED)
        http_error_set(&c->error, PROBLEM_DRAINING, NULL, "the server is shutting down");
    if (reply_broken(c->reply))
        http_error_set(&c->error, PROBLEM_MEMORY, NULL, "the reply could not be kept until it was read");
    return *w != REPLY_GONE;
}

static void send_end(struct chat_reply *c)
{
    if (c->request.include_usage) {
        struct reply_usage total = total_usage(c);
        json_t *chunk = envelope(c, "chat.completion.chunk", json_array());
        json_object_set_new(chunk, "usage", usage_chat_json(&c->request.prompt, &total));
        sse_append(c->out, NULL, chunk);
    }
    buffer_append_text(c->out, "data: [DONE]\n\n");
}

static void send_begin(struct chat_reply *c)
{
    for (int i = 0; i < c->request.choices; i++)
        send_chunk(c, i, json_pack("{s:s, s:s}", "role", "assistant", "content", ""), json_null(), NULL);
    c->begun = true;
}

static enum stream_step chat_stream_next(void *context, struct buffer *out)
{
    struct chat_reply *c = context;
    enum reply_wait w = REPLY_READY;
    c->out = out;
    if (c->ended)
        return STREAM_END;
    if (!c->begun)
        send_begin(c);
    while (out->length == 0) {
        if (!pump(c, &w)) {
            log_info("%s: the client hung up; cancelled", c->exchange->request_id);
            return STREAM_BROKEN;
        }
        c->ended = c->error.problem != PROBLEM_NONE || all_ended(c);
        if (c->error.problem != PROBLEM_NONE)
            sse_append_error(out, &c->error);
        else if (c->ended)
            send_end(c);
        else if (w == REPLY_IDLE)
            reply_append_ping(c->reply, c->exchange, out);
    }
    return buffer_failed(out) ? STREAM_BROKEN : STREAM_MORE;
}

static void answer_whole(struct chat_reply *c)
{
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
    struct buffer text;
    buffer_init(&text, SSE_BUFFER_BYTES);
    json_append(&text, json);
    json_decref(json);
    exchange_reply_buffer(c->exchange, &text);
    buffer_release(&text);
}

/* Waits for the whole reply. */
static void answer(struct chat_reply *c)
{
    enum reply_wait w;
    while (c->error.problem == PROBLEM_NONE && !all_ended(c)) {
        if (!pump(c, &w)) {
            log_info("%s: the client hung up; cancelled", c->exchange->request_id);
            exchange_drop(c->exchange);
            return;
        }
    }
    if (c->error.problem != PROBLEM_NONE)
        exchange_fail(c->exchange, &c->error);
    else
        answer_whole(c);
}

/* One engine request a choice. */
static enum status submit(struct chat_reply *c, struct error *err)
{
    struct engine *engine = server_engine(c->exchange->server);
    if (reply_open(&c->reply, c->exchange, c->request.choices, err))
        return err->status;
    for (int i = 0; i < c->request.choices; i++)
        chat_choice_init(&c->choice[i], &c->request, engine_tokenizer(engine));
    for (int i = 0; i < c->request.choices; i++) {
        bool last = i == c->request.choices - 1;
        struct request *request = last ? c->request.request : request_copy(c->request.request);
        if (last)
            c->request.request = NULL;
        if (!request)
            return error_set(err, STATUS_NO_MEMORY, "no memory for %d choices", c->request.choices);
        if (reply_submit(c->reply, engine, request, i, c->request.previews, err))
            return err->status;
    }
    return STATUS_OK;
}

void chat_reply_run(struct exchange *x, struct chat_request *request)
{
    struct chat_reply *c = xcalloc(1, sizeof *c);
    struct error err = {0};
    c->exchange = x;
    c->request = *request;
    *request = (struct chat_request){0};
    c->created = clock_unix();
    c->choice = xcalloc((size_t)c->request.choices, sizeof c->choice[0]);
    server_make_id(c->id, "chatcmpl-");
    if (submit(c, &err)) {
        http_error_from(&c->error, &err, "messages");
        exchange_fail(x, &c->error);
    } else if (c->request.stream) {
        exchange_stream(x, (struct stream){chat_stream_next, chat_reply_close, c});
        return;
    } else {
        answer(c);
    }
    chat_reply_close(c);
}
