/* /v1/chat/completions and /v1/images/generations: read, then run. */
#include "server/endpoints.h"

#include "server/chat_reply.h"
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
