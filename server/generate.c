/* /v1/chat/completions, /v1/completions and /v1/images/generations: read, then run. */
#include "server/endpoints.h"

#include "server/chat_reply.h"
#include "server/completion_reply.h"
#include "server/image_reply.h"

void endpoint_chat(struct exchange *x, const char *rest)
{
    struct chat_request request;
    struct http_error e = {0};
    (void)rest;
    chat_request_read(&request, x->server, x->body.data, x->body.length, &e);
    exchange_drop_body(x);
    if (e.problem == PROBLEM_NONE)
        chat_reply_run(x, &request);
    else
        exchange_fail(x, &e);
    chat_request_release(&request);
}

void endpoint_completions(struct exchange *x, const char *rest)
{
    struct completion_request request;
    struct http_error e = {0};
    (void)rest;
    completion_request_read(&request, x->server, x->body.data, x->body.length, &e);
    exchange_drop_body(x);
    if (e.problem == PROBLEM_NONE)
        completion_reply_run(x, &request);
    else
        exchange_fail(x, &e);
    completion_request_release(&request);
}

/* The body was read, so that the client comes to see the answer. */
void endpoint_not_offered(struct exchange *x, const char *rest)
{
    struct http_error e = {0};
    (void)rest;
    exchange_drop_body(x);
    http_error_set(&e, PROBLEM_OPERATION, NULL,
                   "%.60s is not supported yet; there are /v1/chat/completions, /v1/completions and "
                   "/v1/images/generations",
                   x->path);
    exchange_fail(x, &e);
}

void endpoint_images(struct exchange *x, const char *rest)
{
    struct image_request request;
    struct http_error e = {0};
    (void)rest;
    image_request_read(&request, x->server, x->body.data, x->body.length, &e);
    exchange_drop_body(x);
    if (e.problem == PROBLEM_NONE)
        image_reply_run(x, &request);
    else
        exchange_fail(x, &e);
    image_request_release(&request);
}
