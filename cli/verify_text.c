/* Tokenizer strings and chat prompts. */
#include "cli/verify.h"

#include "base/memory.h"
#include "engine/prompt.h"
#include "engine/text/text_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tokenizer.jsonl ---- */

/* got = want[skip..] */
static bool same_ids(const struct token_list *got, const json_t *want)
{
    bool same = json_array_size(want) == got->count;
    for (size_t i = 0; same && i < got->count; i++)
        same = json_integer_value(json_array_get(want, i)) == got->ids[i];
    return same;
}

static bool encodes_to(const struct tokenizer *t, const json_t *text, unsigned flags, const json_t *want)
{
    struct token_list got = {0};
    if (!want)
        return true;
    enum status status =
        tokenizer_encode(t, json_string_value(text), json_string_length(text), NULL, 0, flags, &got, NULL);
    bool same = status == STATUS_OK && same_ids(&got, want);
    token_list_release(&got);
    return same;
}

static bool same_text(const struct buffer *got, const json_t *want)
{
    size_t n = json_string_length(want);
    return !buffer_failed(got) && got->length == n &&
           (n == 0 || memcmp(got->data, json_string_value(want), n) == 0);
}

static void list_ids(const json_t *ids, struct token_list *out)
{
    size_t i;
    json_t *id;
    json_array_foreach((json_t *)(uintptr_t)ids, i, id)
    {
        token_list_append(out, (int32_t)json_integer_value(id));
    }
}

/* Whole, and streamed token by token. */
static bool decodes_to(const struct tokenizer *t, const json_t *ids, bool skip_special, const json_t *want)
{
    if (!want)
        return true;
    struct token_list list = {0};
    struct buffer whole, streamed;
    buffer_init(&whole, BUFFER_NO_LIMIT);
    buffer_init(&streamed, BUFFER_NO_LIMIT);
    list_ids(ids, &list);
    tokenizer_decode(t, list.ids, list.count, skip_special, &whole);
    struct text_stream *stream = text_stream_open(t, skip_special);
    for (size_t i = 0; i < list.count; i++)
        text_stream_push(stream, list.ids[i], &streamed);
    text_stream_finish(stream, &streamed);
    text_stream_close(stream);
    bool same = same_text(&whole, want) && same_text(&streamed, want);
    buffer_release(&streamed);
    buffer_release(&whole);
    token_list_release(&list);
    return same;
}

/* What is wrong with one line; NULL when nothing is. */
static const char *check_string(const struct tokenizer *t, const json_t *line)
{
    const json_t *text = json_object_get(line, "text"), *ids = json_object_get(line, "ids");
    if (!json_is_string(text) || !json_is_array(ids))
        return "not a line with text and ids";
    if (!encodes_to(t, text, TOKENIZER_ADD_SPECIAL, ids))
        return "ids differ";
    if (!encodes_to(t, text, 0, json_object_get(line, "ids_no_special")))
        return "ids_no_special differ";
    if (!decodes_to(t, ids, true, json_object_get(line, "decoded")))
        return "decoded differs";
    if (!decodes_to(t, ids, false, json_object_get(line, "decoded_with_special")))
        return "decoded_with_special differs";
    return NULL;
}

void verify_tokenizer(struct golden *g, const struct tokenizer *tokenizer)
{
    struct error err = {0};
    size_t length, wrong = 0, total = 0;
    char *text = golden_read(g, "tokenizer.jsonl", &length, &err);
    if (!text) {
        golden_tell_failure(g, "tokenizer", "%s", err.message);
        return;
    }
    for (char *line = text, *next; line < text + length; line = next) {
        char *newline = memchr(line, '\n', (size_t)(text + length - line));
        char *line_end = newline ? newline : text + length;
        next = line_end + 1;
        if (line_end == line)
            continue;
        total++;
        json_t *one = json_loadb(line, (size_t)(line_end - line), JSON_ALLOW_NUL, NULL);
        const char *problem = check_string(tokenizer, one);
        json_decref(one);
        if (problem) {
            wrong++;
            printf("tokenizer.jsonl line %zu: %s\n", total, problem);
        }
    }
    golden_tell_equal(g, "tokenizer (strings, both ways, streamed)", wrong, total);
    free(text);
}

/* ---- conversations ---- */

static const uint8_t gray_pixel[3] = {128, 128, 128};

/* A conversation as prompt_build takes it; everything it points to is the JSON's or the caller's. */
struct conversation {
    struct prompt_message *message;
    struct prompt_part *part;
    size_t n_messages;
    struct picture gray;
};

static size_t count_parts(const json_t *messages)
{
    size_t i, n = 0;
    json_t *message;
    json_array_foreach((json_t *)(uintptr_t)messages, i, message)
    {
        const json_t *content = json_object_get(message, "content");
        n += json_is_array(content) ? json_array_size(content) : 1;
    }
    return n;
}

static struct prompt_part text_part(const json_t *text)
{
    return (struct prompt_part){
        .kind = PROMPT_TEXT, .text = json_string_value(text), .length = json_string_length(text)};
}

/* False when the case is not a conversation. */
static bool conversation_init(struct conversation *c, const json_t *messages, const struct picture *pictures,
                              size_t n_pictures)
{
    size_t m, p, used = 0, next = 0;
    json_t *message, *part;
    *c = (struct conversation){.n_messages = json_array_size(messages),
                               .gray = {1, 1, (uint8_t *)(uintptr_t)gray_pixel}};
    c->message = xcalloc(c->n_messages + 1, sizeof *c->message);
    c->part = xcalloc(count_parts(messages) + 1, sizeof *c->part);
    json_array_foreach((json_t *)(uintptr_t)messages, m, message)
    {
        json_t *content = json_object_get(message, "content");
        struct prompt_message *to = &c->message[m];
        *to = (struct prompt_message){.role = json_string_value(json_object_get(message, "role")),
                                      .part = &c->part[next]};
        if (!to->role || !(json_is_string(content) || json_is_array(content)))
            return false;
        if (json_is_string(content))
            c->part[next++] = text_part(content);
        json_array_foreach(content, p, part)
        {
            const char *type = json_string_value(json_object_get(part, "type"));
            if (type && !strcmp(type, "text")) {
                c->part[next++] = text_part(json_object_get(part, "text"));
            } else {
                const struct picture *picture = &c->gray;
                if (n_pictures)
                    picture = &pictures[used < n_pictures ? used : n_pictures - 1];
                used++;
                c->part[next++] = (struct prompt_part){.kind = PROMPT_SEEN, .picture = picture};
            }
        }
        to->n_parts = (size_t)(&c->part[next] - to->part);
    }
    return c->n_messages > 0;
}

static void conversation_release(struct conversation *c)
{
    free(c->part);
    free(c->message);
}

struct request *verify_prompt(struct golden *g, const char *name, const json_t *messages,
                              const struct picture *pictures, size_t n_pictures, bool add_generation_prompt)
{
    struct conversation c;
    struct error err = {0};
    struct request *request = request_new();
    bool ok = conversation_init(&c, messages, pictures, n_pictures);
    if (!ok)
        golden_tell_failure(g, name, "cases.json: no messages");
    if (ok && prompt_build(g->engine, c.message, c.n_messages, add_generation_prompt, request, &err)) {
        golden_tell_failure(g, name, "%s", err.message);
        ok = false;
    }
    conversation_release(&c);
    if (ok)
        return request;
    request_close(request);
    return NULL;
}

struct request *verify_case_prompt(struct golden *g, const char *name, const json_t *one)
{
    const json_t *files = json_object_get(one, "images");
    size_t n = json_array_size(files), opened = 0;
    struct picture *pictures = xcalloc(n + 1, sizeof *pictures);
    struct request *request = NULL;
    struct error err = {0};
    for (; opened < n; opened++) {
        const char *file = json_string_value(json_array_get(files, opened));
        if (golden_picture(g, file ? file : "", &pictures[opened], &err))
            break;
    }
    if (opened < n)
        golden_tell_failure(g, name, "%s", err.message);
    else
        request = verify_prompt(g, name, json_object_get(one, "messages"), pictures, n, true);
    for (size_t i = 0; i < opened; i++)
        picture_release(&pictures[i]);
    free(pictures);
    return request;
}

static void check_rendering(struct golden *g, const char *name, const json_t *one, bool add)
{
    const json_t *want = json_object_get(one, "prompt");
    struct conversation c;
    struct chat_rendering got = {0};
    struct error err = {0};
    if (!conversation_init(&c, json_object_get(one, "messages"), NULL, 0))
        golden_tell_failure(g, name, "cases.json: no messages");
    else if (prompt_render(g->engine, c.message, c.n_messages, add, &got, &err))
        golden_tell_failure(g, name, "%s", err.message);
    else
        golden_tell_equal(g, name,
                          json_string_length(want) != got.length ||
                              memcmp(json_string_value(want), got.text, got.length) != 0,
                          1);
    chat_rendering_release(&got);
    conversation_release(&c);
}

static void check_chat_ids(struct golden *g, const char *name, const json_t *one, bool add)
{
    const json_t *want = json_object_get(one, "ids_expanded");
    struct request *request = verify_prompt(g, name, json_object_get(one, "messages"), NULL, 0, add);
    if (!request)
        return;
    size_t n = json_array_size(want), wrong = n > request->n_ids ? n - request->n_ids : request->n_ids - n;
    for (size_t i = 0; i < n && i < request->n_ids; i++)
        wrong += json_integer_value(json_array_get(want, i)) != request->ids[i];
    golden_tell_equal(g, name, wrong, n);
    request_close(request);
}

void verify_chat(struct golden *g)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)golden_cases(g, "chat"), i, one)
    {
        char name[64];
        bool add = json_is_true(json_object_get(one, "add_generation_prompt"));
        snprintf(name, sizeof name, "chat.%zu.prompt", i);
        check_rendering(g, name, one, add);
        snprintf(name, sizeof name, "chat.%zu.ids", i);
        check_chat_ids(g, name, one, add);
    }
}
