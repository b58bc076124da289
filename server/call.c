#include "server/call.h"

#include "base/log.h"
#include "server/sse.h"

/* Waits for events and feeds them. False once the client is gone. */
static bool pump(struct call *c, enum reply_wait *w)
{
    *w = reply_pump(c->reply, c->exchange, SSE_PING_SECONDS, c->steps->feed, c->context);
    if (*w == REPLY_ENDED)
        http_error_set(&c->error, PROBLEM_DRAINING, NULL, "the server is shutting down");
    if (reply_broken(c->reply))
        http_error_set(&c->error, PROBLEM_MEMORY, NULL, "the reply could not be kept until it was read");
    if (*w == REPLY_GONE)
        log_info("%s: the client hung up; cancelled", c->exchange->request_id);
    return *w != REPLY_GONE;
}

static enum stream_step stream_next(void *context, struct buffer *out)
{
    struct call *c = context;
    enum reply_wait w = REPLY_READY;
    c->out = out;
    if (!c->begun && c->steps->begin)
        c->steps->begin(c->context);
    c->begun = true;
    while (out->length == 0) {
        if (c->done)
            return STREAM_END;
        if (!pump(c, &w))
            return STREAM_BROKEN;
        c->done = c->error.problem != PROBLEM_NONE || c->steps->ended(c->context);
        if (c->error.problem != PROBLEM_NONE)
            sse_append_error(out, &c->error);
        else if (c->done && c->steps->end)
            c->steps->end(c->context);
        else if (w == REPLY_IDLE)
            reply_append_ping(c->reply, c->exchange, out);
    }
    return buffer_failed(out) ? STREAM_BROKEN : STREAM_MORE;
}

static void stream_close(void *context)
{
    struct call *c = context;
    c->steps->close(c->context);
}

static void answer(struct call *c)
{
    enum reply_wait w;
    while (c->error.problem == PROBLEM_NONE && !c->steps->ended(c->context)) {
        if (!pump(c, &w)) {
            exchange_drop(c->exchange);
            return;
        }
    }
    if (c->reply)
        c->exchange->queue_place = reply_first_place(c->reply);
    if (c->error.problem != PROBLEM_NONE)
        exchange_fail(c->exchange, &c->error);
    else
        c->steps->answer(c->context);
}

void call_run(struct call *c, bool stream)
{
    if (stream && c->error.problem == PROBLEM_NONE) {
        exchange_stream(c->exchange, (struct stream){stream_next, stream_close, c});
        return;
    }
    answer(c);
    c->steps->close(c->context);
}

void call_answer_json(struct call *c, json_t *json)
{
    struct buffer text;
    buffer_init(&text, SSE_BUFFER_BYTES);
    json_append(&text, json);
    json_decref(json);
    exchange_reply_buffer(c->exchange, &text);
    buffer_release(&text);
}
