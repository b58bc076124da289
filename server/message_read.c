#include "server/message_read.h"

#include "base/memory.h"
#include "server/message_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "developer" is "system", and "function" an older "tool". */
static const char *known_role(const char *role)
{
    static const char *const names[][2] = {{"system", "system"}, {"developer", "system"},
                                           {"user", "user"},     {"assistant", "assistant"},
                                           {"tool", "tool"},     {"function", "tool"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(role, names[i][0]) == 0)
            return names[i][1];
    return NULL;
}

static void refuse_tool_calls(const struct params *f)
{
    json_t *calls = param_array(f, "tool_calls");
    if (json_array_size(calls) > 0)
        param_fail(f, PROBLEM_UNSUPPORTED, "tool_calls", "is not supported yet");
}

/* content, of any role: null, a string, or parts. */
static void read_content(struct message_reader *r, const struct params *f)
{
    json_t *content = param_find(f, "content");
    bool assistant = strcmp(r->role, "assistant") == 0;
    if (json_is_array(content))
        message_read_parts(r, content);
    else if (json_is_string(content) && assistant)
        message_read_reply(r, f, content);
    else if (json_is_string(content))
        message_add_text(r, json_string_value(content), json_string_length(content));
    else if (content || !assistant)
        param_fail(f, PROBLEM_INVALID, "content", "must be a string or an array of parts");
    else
        message_read_reply(r, f, NULL);
}

static void read_message(struct message_list *c, json_t *json, size_t index)
{
    char prefix[48];
    snprintf(prefix, sizeof prefix, "messages[%zu].", index);
    struct params f = {json, prefix, c->error};
    const char *role = NULL;
    if (!json_is_object(json)) {
        http_error_set(c->error, PROBLEM_INVALID, "messages", "'messages[%zu]' must be an object", index);
        return;
    }
    param_string(&f, "role", &role, NULL);
    if (!role || !known_role(role)) {
        param_fail(&f, PROBLEM_INVALID, "role",
                   "must be 'system', 'developer', 'user', 'assistant' or 'tool'");
        return;
    }
    struct message_reader r = {.list = c, .role = known_role(role), .prefix = prefix};
    read_content(&r, &f);
    refuse_tool_calls(&f);
    c->message[index] = (struct prompt_message){r.role, r.part, r.n_parts};
}

void message_list_read(struct message_list *c, struct server *server, json_t *messages,
                       struct http_error *error)
{
    *c = (struct message_list){.server = server, .error = error};
    size_t n = json_array_size(messages);
    if (error->problem != PROBLEM_NONE)
        return;
    if (n == 0) {
        http_error_set(error, PROBLEM_INVALID, "messages",
                       "'messages' must be an array of at least one message");
        return;
    }
    c->message = try_calloc(n, sizeof c->message[0]);
    c->picture = try_calloc((size_t)server->options.max_pictures, sizeof c->picture[0]);
    if (!c->message || !c->picture) {
        http_error_set(error, PROBLEM_MEMORY, NULL, "no memory for the messages");
        return;
    }
    c->n_messages = n;
    for (size_t i = 0; i < n && error->problem == PROBLEM_NONE; i++)
        read_message(c, json_array_get(messages, i), i);
}

void message_list_release(struct message_list *c)
{
    for (size_t i = 0; i < c->n_messages; i++)
        free((void *)c->message[i].part);
    for (int i = 0; i < c->n_pictures; i++) {
        picture_release(&c->picture[i].picture);
        free(c->picture[i].codes);
        budget_give(&c->server->pixels, c->picture[i].budgeted);
    }
    free(c->message);
    free(c->picture);
    *c = (struct message_list){0};
}
