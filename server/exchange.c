#include "server/exchange.h"

#include "base/memory.h"
#include "server/state.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

void exchange_drop_body(struct exchange *x)
{
    buffer_release(&x->body);
    budget_give(&x->server->bodies, x->budgeted);
    x->budgeted = 0;
}

void exchange_reply_text(struct exchange *x, int status, const char *content_type, char *text, size_t length)
{
    free(x->answer.body);
    x->answer.status = status;
    x->answer.content_type = content_type;
    x->answer.body = text;
    x->answer.length = length;
}

void exchange_reply_json(struct exchange *x, int status, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (text) {
        exchange_reply_text(x, status, "application/json", text, strlen(text));
        return;
    }
    struct http_error e = {0};
    http_error_set(&e, PROBLEM_MEMORY, NULL, "no memory for the reply");
    exchange_fail(x, &e);
}

void exchange_reply_buffer(struct exchange *x, struct buffer *json)
{
    size_t length;
    char *text = buffer_take(json, &length);
    if (text) {
        exchange_reply_text(x, 200, "application/json", text, length);
        return;
    }
    struct http_error e = {0};
    http_error_set(&e, PROBLEM_MEMORY, NULL, "no memory for the reply");
    exchange_fail(x, &e);
}

void exchange_fail(struct exchange *x, const struct http_error *e)
{
    size_t length;
    char *text = http_error_body(e, &length);
    exchange_reply_text(x, http_error_status(e), "application/json", text, length);
    x->answer.retry_after = http_error_retry_after(e);
    if (e->problem == PROBLEM_BUSY && e->retry_after == 0)
        x->answer.retry_after = server_queue_seconds(x->server);
}

void exchange_stream(struct exchange *x, struct stream stream)
{
    x->answer.status = 200;
    x->answer.content_type = "text/event-stream; charset=utf-8";
    x->answer.stream = stream;
}

void exchange_drop(struct exchange *x)
{
    x->answer.status = 0;
}

bool exchange_gone(const struct exchange *x)
{
    struct pollfd p = {.fd = x->socket, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}
