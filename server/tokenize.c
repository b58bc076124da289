/* /tokenize and /detokenize. */
#include "server/endpoints.h"

#include "base/memory.h"
#include "engine/prompt.h"
#include "engine/text/utf8.h"
#include "server/chat_request.h"
#include "server/message_read.h"
#include "server/sse.h"

#include <stdlib.h>

enum { MAX_PROMPT_BYTES = 4 << 20, MAX_REPLY_BYTES = 64 << 20 };

/* Written by hand: a list of millions of ids as JSON values would take a hundred times its text. */
static void answer_ids(struct exchange *x, const int32_t *ids, size_t n)
{
    struct buffer b;
    buffer_init(&b, MAX_REPLY_BYTES);
    buffer_append_text(&b, "{\"tokens\":[");
    for (size_t i = 0; i < n; i++)
        buffer_printf(&b, i ? ",%d" : "%d", (int)ids[i]);
    buffer_printf(&b, "],\"count\":%zu,\"max_model_len\":%d}", n, engine_context(server_engine(x->server)));
    exchange_reply_buffer(x, &b);
    buffer_release(&b);
}

static void tokenize_prompt(struct exchange *x, const struct params *f)
{
    struct token_list list = {0};
    struct error err = {0};
    const char *text = NULL;
    size_t length = 0;
    bool special = true;
    param_string(f, "prompt", &text, &length);
    param_bool(f, "add_special_tokens", &special);
    if (!text)
        param_fail(f, PROBLEM_INVALID, "prompt", "must be a string; or send 'messages'");
    else if (length > MAX_PROMPT_BYTES)
        param_fail(f, PROBLEM_INVALID, "prompt", "must have at most %d bytes", MAX_PROMPT_BYTES);
    if (f->error->problem != PROBLEM_NONE)
        return;
    if (tokenizer_encode(engine_tokenizer(server_engine(x->server)), text, length, NULL, 0,
                         special ? TOKENIZER_ADD_SPECIAL : 0, &list, &err))
        http_error_from(f->error, &err, "prompt");
    else
        answer_ids(x, list.ids, list.count);
    token_list_release(&list);
}

static void tokenize_messages(struct exchange *x, const struct params *f, json_t *messages)
{
    struct message_list list = {0};
    struct request *request = request_new();
    struct error err = {0};
    bool generation_prompt = true;
    param_bool(f, "add_generation_prompt", &generation_prompt);
    message_list_read(&list, x->server, messages, f->error);
    if (f->error->problem == PROBLEM_NONE) {
        if (prompt_build(server_engine(x->server), list.message, list.n_messages, generation_prompt, request,
                         &err))
            http_error_from(f->error, &err, "messages");
        else
            answer_ids(x, request->ids, request->n_ids);
    }
    message_list_release(&list);
    request_close(request);
}

void endpoint_tokenize(struct exchange *x, const char *rest)
{
    struct http_error e = {0};
    (void)rest;
    json_t *json = json_read_body(x->body.data, x->body.length, &e);
    struct params f = {json, "", &e};
    model_param_check(x->server, &f);
    json_t *messages = param_array(&f, "messages");
    if (messages)
        tokenize_messages(x, &f, messages);
    else
        tokenize_prompt(x, &f);
    if (e.problem != PROBLEM_NONE)
        exchange_fail(x, &e);
    json_decref(json);
}

/* The ids of an array, each below the vocabulary's size; NULL with the problem set. */
static int32_t *read_ids(const struct params *f, json_t *array, int vocab)
{
    size_t n = json_array_size(array);
    int32_t *ids = array ? try_malloc(n, sizeof ids[0]) : NULL;
    if (!array)
        param_fail(f, PROBLEM_INVALID, "tokens", "must be an array of token ids");
    else if (!ids)
        http_error_set(f->error, PROBLEM_MEMORY, NULL, "no memory for 'tokens'");
    for (size_t i = 0; ids && i < n; i++) {
        json_t *value = json_array_get(array, i);
        json_int_t id = json_integer_value(value);
        if (!json_is_integer(value) || id < 0 || id >= vocab) {
            param_fail(f, PROBLEM_INVALID, "tokens", "must hold integers from 0 to %d", vocab - 1);
            break;
        }
        ids[i] = (int32_t)id;
    }
    return ids;
}

static void answer_text(struct exchange *x, const struct params *f, const int32_t *ids, size_t n)
{
    struct buffer raw, text;
    buffer_init(&raw, MAX_REPLY_BYTES);
    buffer_init(&text, MAX_REPLY_BYTES);
    tokenizer_decode(engine_tokenizer(server_engine(x->server)), ids, n, false, &raw);
    utf8_append_lossy(&text, raw.data ? raw.data : "", raw.length);
    if (buffer_failed(&raw) || buffer_failed(&text))
        param_fail(f, PROBLEM_INVALID, "tokens", "makes a text of over %d bytes", MAX_REPLY_BYTES);
    else
        exchange_reply_json(
            x, 200, json_pack("{s:o}", "prompt", json_stringn(text.data ? text.data : "", text.length)));
    buffer_release(&raw);
    buffer_release(&text);
}

void endpoint_detokenize(struct exchange *x, const char *rest)
{
    struct http_error e = {0};
    (void)rest;
    json_t *json = json_read_body(x->body.data, x->body.length, &e);
    struct params f = {json, "", &e};
    model_param_check(x->server, &f);
    json_t *array = param_array(&f, "tokens");
    int32_t *ids = e.problem == PROBLEM_NONE
                       ? read_ids(&f, array, engine_config(server_engine(x->server))->llm.vocab)
                       : NULL;
    if (e.problem == PROBLEM_NONE)
        answer_text(x, &f, ids, json_array_size(array));
    if (e.problem != PROBLEM_NONE)
        exchange_fail(x, &e);
    free(ids);
    json_decref(json);
}
