/* GET /: says what this is, until there is a real page. */
#include "server/endpoints.h"

#include "server/state.h"

static const char page[] =
    "vargpt: an inference server for VARGPT models (text and images in, text and images out),\n"
    "with the interface of the OpenAI API. This server's model: %s\n\n"
    "    curl http://127.0.0.1:%d/v1/chat/completions -H 'Content-Type: application/json' \\\n"
    "      -d '{\"model\": \"%s\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello!\"}]}'\n\n"
    "Also: /v1/images/generations, /v1/models, /tokenize, /detokenize, /health\n";

void endpoint_page(struct exchange *x, const char *rest)
{
    struct buffer b;
    size_t length;
    (void)rest;
    buffer_init(&b, 4096);
    buffer_printf(&b, page, x->server->model_name, x->server->port, x->server->model_name);
    char *text = buffer_take(&b, &length);
    if (text)
        exchange_reply_text(x, 200, "text/plain; charset=utf-8", text, length);
    buffer_release(&b);
}
