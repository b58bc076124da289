#include "server/image_reply.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/reply.h"
#include "server/sse.h"
#include "server/state.h"

#include <stdio.h>
#include <stdlib.h>

struct image_reply {
    struct exchange *exchange;
    struct image_request request;
    struct reply *reply;
    struct http_error error; /* what ended it early */
    struct reply_usage usage;
    uint64_t seed;
    int64_t created;
    json_t *data;       /* [request.pictures] entries, null until drawn */
    int *previews_sent; /* [request.pictures] */
    bool *has_ended;    /* [request.pictures] */
    int n_ended;
    char size[24], native_size[24]; /* "256x256" */
    struct buffer *out;             /* of the step of a stream that runs */
    bool ended;
};

static void image_reply_close(void *context)
{
    struct image_reply *c = context;
    reply_close(c->reply);
    image_request_release(&c->request);
    json_decref(c->data);
    free(c->previews_sent);
    free(c->has_ended);
    free(c);
}

/* {"b64_json", "seed", "ordinal"}, or NULL with the error noted. */
static json_t *picture_json(struct image_reply *c, const struct event *e)
{
    struct error err = {0};
    struct buffer base64;
    json_t *json = NULL;
    buffer_init(&base64, SSE_BUFFER_BYTES);
    if (picture_output_append(&c->request.output, e, &base64, &err))
        goto out;
    json = json_pack("{s:o, s:I, s:I}", "b64_json", json_stringn_nocheck(base64.data, base64.length), "seed",
                     (json_int_t)e->seed, "ordinal", (json_int_t)e->ordinal);
    if (!json)
        error_set(&err, STATUS_NO_MEMORY, "no memory for a picture");
out:
    if (err.status)
        http_error_from(&c->error, &err, NULL);
    buffer_release(&base64);
    return json;
}

/* What every reply and event says of its pictures. */
static void describe(const struct image_reply *c, json_t *json)
{
    json_object_set_new(json, "background", json_string("opaque"));
    json_object_set_new(json, "output_format", json_string(picture_format_name(c->request.output.format)));
    json_object_set_new(json, "quality", json_string("auto"));
    json_object_set_new(json, "size", json_string(c->size));
    json_object_set_new(json, "native_size", json_string(c->native_size));
}

/* Takes the picture's JSON and makes it an event. */
static void send_picture(struct image_reply *c, int index, const struct event *e, json_t *json)
{
    bool partial = e->type == EVENT_PREVIEW;
    const char *name = partial ? "image_generation.partial_image" : "image_generation.completed";
    json_object_set_new(json, "type", json_string(name));
    json_object_set_new(json, "created_at", json_integer((json_int_t)clock_unix()));
    describe(c, json);
    if (c->request.pictures > 1)
        json_object_set_new(json, "index", json_integer(index));
    if (partial) {
        json_object_set_new(json, "partial_image_index", json_integer(c->previews_sent[index]++));
        json_object_set_new(json, "scale", json_integer(e->scale));
        json_object_set_new(json, "scales", json_integer(e->n_scales));
    } else {
        /* the prompt is counted with the first picture, so that the events' sums are the call's */
        struct prompt_usage prompt = index == 0 ? c->request.prompt : (struct prompt_usage){0};
        struct reply_usage usage = {.picture_tokens = (int)e->n_codes};
        json_object_set_new(json, "usage", usage_images_json(&prompt, &usage));
    }
    sse_append(c->out, name, json);
}

static void take_picture(struct image_reply *c, int index, const struct event *e)
{
    json_t *json = picture_json(c, e);
    if (!json)
        return;
    if (c->request.stream)
        send_picture(c, index, e, json);
    else
        json_array_set_new(c->data, (size_t)index, json);
}

static void feed(void *context, const struct reply_event *e)
{
    struct image_reply *c = context;
    if (c->error.problem != PROBLEM_NONE || c->has_ended[e->choice])
        return;
    switch (e->event.type) {
    case EVENT_TOKEN:
    case EVENT_SCALE: return;
    case EVENT_PREVIEW:
    case EVENT_PICTURE: take_picture(c, e->choice, &e->event); return;
    case EVENT_DONE:
        c->has_ended[e->choice] = true;
        c->n_ended++;
        c->usage.text_tokens += e->event.usage.text_tokens;
        c->usage.picture_tokens += e->event.usage.picture_tokens;
        if (e->choice == 0)
            c->request.prompt =
                (struct prompt_usage){e->event.usage.prompt_tokens, e->event.usage.prompt_picture_tokens,
                                      e->event.usage.cached_tokens};
        return;
    case EVENT_FAILED: http_error_from(&c->error, e->event.error, NULL); return;
    }
}

/* Waits for events and feeds them. False once the client is gone. */
static bool pump(struct image_reply *c, enum reply_wait *w)
{
    *w = reply_pump(c->reply, c->exchange, SSE_PING_SECONDS, feed, c);
    if (*w == REPLY_ENDED)
        http_error_set(&c->error, PROBLEM_DRAINING, NULL, "the server is shutting down");
    if (reply_broken(c->reply))
        http_error_set(&c->error, PROBLEM_MEMORY, NULL, "the reply could not be kept until it was read");
    if (*w == REPLY_GONE)
        log_info("%s: the client hung up; cancelled", c->exchange->request_id);
    return *w != REPLY_GONE;
}

static enum stream_step image_stream_next(void *context, struct buffer *out)
{
    struct image_reply *c = context;
    enum reply_wait w;
    c->out = out;
    while (out->length == 0) {
        if (c->ended)
            return STREAM_END;
        if (!pump(c, &w))
            return STREAM_BROKEN;
        c->ended = c->error.problem != PROBLEM_NONE || c->n_ended == c->request.pictures;
        if (c->error.problem != PROBLEM_NONE)
            sse_append_error(out, &c->error);
        else if (w == REPLY_IDLE)
            reply_append_ping(c->reply, c->exchange, out);
    }
    return buffer_failed(out) ? STREAM_BROKEN : STREAM_MORE;
}

static void answer_whole(struct image_reply *c)
{
    json_t *json =
        json_pack("{s:I, s:O, s:o, s:I}", "created", (json_int_t)c->created, "data", c->data, "usage",
                  usage_images_json(&c->request.prompt, &c->usage), "seed", (json_int_t)c->seed);
    describe(c, json);
    struct buffer text;
    buffer_init(&text, SSE_BUFFER_BYTES);
    json_append(&text, json);
    json_decref(json);
    exchange_reply_buffer(c->exchange, &text);
    buffer_release(&text);
}

static void answer(struct image_reply *c)
{
    enum reply_wait w;
    while (c->error.problem == PROBLEM_NONE && c->n_ended < c->request.pictures) {
        if (!pump(c, &w)) {
            exchange_drop(c->exchange);
            return;
        }
    }
    if (c->error.problem != PROBLEM_NONE)
        exchange_fail(c->exchange, &c->error);
    else
        answer_whole(c);
}

/* The k-th picture is the k-th choice: its random numbers are its own, the seed is everyone's. */
static enum status submit(struct image_reply *c, struct error *err)
{
    struct engine *engine = server_engine(c->exchange->server);
    if (reply_open(&c->reply, c->exchange, c->request.pictures, err))
        return err->status;
    for (int i = 0; i < c->request.pictures; i++) {
        bool last = i == c->request.pictures - 1;
        struct request *request = last ? c->request.request : request_copy(c->request.request);
        if (last)
            c->request.request = NULL;
        if (!request)
            return error_set(err, STATUS_NO_MEMORY, "no memory for %d pictures", c->request.pictures);
        if (reply_submit(c->reply, engine, request, i, c->request.previews, err))
            return err->status;
    }
    return STATUS_OK;
}

static struct image_reply *image_reply_new(struct exchange *x, struct image_request *request)
{
    struct image_reply *c = xcalloc(1, sizeof *c);
    int side = engine_picture_side(server_engine(x->server));
    c->exchange = x;
    c->request = *request;
    *request = (struct image_request){0};
    c->created = clock_unix();
    c->seed = c->request.request->draw.seed;
    c->data = json_array();
    c->previews_sent = xcalloc((size_t)c->request.pictures, sizeof c->previews_sent[0]);
    c->has_ended = xcalloc((size_t)c->request.pictures, sizeof c->has_ended[0]);
    for (int i = 0; i < c->request.pictures; i++)
        json_array_append_new(c->data, json_null());
    snprintf(c->native_size, sizeof c->native_size, "%dx%d", side, side);
    snprintf(c->size, sizeof c->size, "%dx%d", c->request.output.width ? c->request.output.width : side,
             c->request.output.height ? c->request.output.height : side);
    return c;
}

void image_reply_run(struct exchange *x, struct image_request *request)
{
    struct image_reply *c = image_reply_new(x, request);
    struct error err = {0};
    if (submit(c, &err)) {
        http_error_from(&c->error, &err, "prompt");
        exchange_fail(x, &c->error);
    } else if (c->request.stream) {
        exchange_stream(x, (struct stream){image_stream_next, image_reply_close, c});
        return;
    } else {
        answer(c);
    }
    image_reply_close(c);
}
