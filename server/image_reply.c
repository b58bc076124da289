#include "server/image_reply.h"

#include "base/clock.h"
#include "base/memory.h"
#include "server/call.h"
#include "server/picture_link.h"
#include "server/sse.h"
#include "server/state.h"

#include <stdio.h>
#include <stdlib.h>

struct image_reply {
    struct call call;
    struct image_request request;
    struct reply_usage usage;
    uint64_t seed;
    int64_t created;
    json_t *data;                  /* [request.pictures] entries, null until drawn */
    int *previews_sent;            /* [request.pictures] */
    bool *has_ended;               /* [request.pictures] */
    struct picture_frames *frames; /* [request.pictures] */
    int n_ended;
    char size[24], native_size[24]; /* "256x256" */
};

static void image_reply_close(void *context)
{
    struct image_reply *c = context;
    reply_close(c->call.reply);
    for (int i = 0; i < c->request.pictures; i++)
        picture_frames_release(&c->frames[i]);
    free(c->frames);
    image_request_release(&c->request);
    json_decref(c->data);
    free(c->previews_sent);
    free(c->has_ended);
    free(c);
}

/* The picture itself, or a link to it. */
static enum status append_picture(struct image_reply *c, const struct event *e,
                                  const struct picture_frames *frames, struct buffer *out, struct error *err)
{
    const struct picture_output *output = &c->request.output;
    if (!c->request.link)
        return picture_output_base64(output, e, frames, out, err);
    struct buffer file;
    buffer_init(&file, SSE_BUFFER_BYTES);
    if (picture_output_file(output, e, frames, &file, err) == STATUS_OK)
        picture_link_append(c->call.exchange, picture_output_type(output), &file, out, err);
    buffer_release(&file);
    return err->status;
}

/* {"b64_json" or "url", "seed", "ordinal"}, or NULL with the error noted. */
static json_t *picture_json(struct image_reply *c, int index, const struct event *e)
{
    struct error err = {0};
    struct buffer text;
    json_t *json = NULL;
    buffer_init(&text, SSE_BUFFER_BYTES);
    if (append_picture(c, e, &c->frames[index], &text, &err))
        goto out;
    json = json_pack("{s:o, s:I, s:I}", c->request.link ? "url" : "b64_json",
                     json_stringn_nocheck(text.data, text.length), "seed", (json_int_t)e->seed, "ordinal",
                     (json_int_t)e->ordinal);
    if (!json)
        error_set(&err, STATUS_NO_MEMORY, "no memory for a picture");
out:
    if (err.status)
        http_error_from(&c->call.error, &err, c->request.link ? "response_format" : NULL);
    buffer_release(&text);
    return json;
}

/* What every reply and event says of its pictures. */
static void describe(const struct image_reply *c, json_t *json)
{
    json_object_set_new(json, "background", json_string("opaque"));
    json_object_set_new(json, "output_format", json_string(picture_output_type(&c->request.output)));
    json_object_set_new(json, "quality", json_string(c->request.quality));
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
    sse_append(c->call.out, name, json);
}

static void take_picture(struct image_reply *c, int index, const struct event *e)
{
    if (picture_output_keep(&c->request.output, e, &c->frames[index]))
        return;
    json_t *json = picture_json(c, index, e);
    picture_frames_release(&c->frames[index]);
    if (!json)
        return;
    if (c->request.stream)
        send_picture(c, index, e, json);
    else
        json_array_set_new(c->data, (size_t)index, json);
}

static void image_feed(void *context, const struct reply_event *e)
{
    struct image_reply *c = context;
    if (c->call.error.problem != PROBLEM_NONE || c->has_ended[e->choice])
        return;
    switch (e->event.type) {
    case EVENT_PROMPT:
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
    case EVENT_FAILED: http_error_from(&c->call.error, e->event.error, NULL); return;
    }
}

static bool image_ended(void *context)
{
    const struct image_reply *c = context;
    return c->n_ended == c->request.pictures;
}

static void image_answer(void *context)
{
    struct image_reply *c = context;
    json_t *json =
        json_pack("{s:I, s:O, s:o, s:I}", "created", (json_int_t)c->created, "data", c->data, "usage",
                  usage_images_json(&c->request.prompt, &c->usage), "seed", (json_int_t)c->seed);
    describe(c, json);
    call_answer_json(&c->call, json);
}

static const struct call_steps image_steps = {
    .feed = image_feed,
    .ended = image_ended,
    .answer = image_answer,
    .close = image_reply_close,
};

/* The k-th picture is the k-th choice: its random numbers are its own, the seed is everyone's. */
static enum status submit(struct image_reply *c, struct error *err)
{
    struct engine *engine = server_engine(c->call.exchange->server);
    if (reply_open(&c->call.reply, c->call.exchange, c->request.pictures, err))
        return err->status;
    int64_t most = reply_most_tokens(engine, c->request.request, c->request.pictures);
    if (reply_reserve(c->call.reply, most, &c->call.error))
        return error_set(err, STATUS_BUSY, "%s", c->call.error.message);
    for (int i = 0; i < c->request.pictures; i++) {
        bool last = i == c->request.pictures - 1;
        struct request *request = last ? c->request.request : request_copy(c->request.request);
        if (last)
            c->request.request = NULL;
        if (!request)
            return error_set(err, STATUS_NO_MEMORY, "no memory for %d pictures", c->request.pictures);
        if (reply_submit(c->call.reply, engine, request, i,
                         picture_output_previews(&c->request.output, c->request.previews), err))
            return err->status;
    }
    return STATUS_OK;
}

static struct image_reply *image_reply_new(struct exchange *x, struct image_request *request)
{
    struct image_reply *c = xcalloc(1, sizeof *c);
    int side = engine_picture_side(server_engine(x->server));
    c->call = (struct call){.exchange = x, .steps = &image_steps, .context = c};
    c->request = *request;
    *request = (struct image_request){0};
    c->created = clock_unix();
    c->seed = c->request.request->draw.seed;
    c->data = json_array();
    c->previews_sent = xcalloc((size_t)c->request.pictures, sizeof c->previews_sent[0]);
    c->frames = xcalloc((size_t)c->request.pictures, sizeof c->frames[0]);
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
    if (submit(c, &err))
        http_error_from(&c->call.error, &err, "prompt");
    call_run(&c->call, c->request.stream);
}
