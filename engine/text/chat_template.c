#include "engine/text/chat_template.h"

#include "base/memory.h"
#include "engine/text/chat_template_scan.h"
#include "engine/text/jinja_eval.h"
#include "engine/text/jinja_parse.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_SOURCE = 1 << 20,
    PARSE_MEMORY = 128 << 20,
    PARSE_WORK = 40 * 1000 * 1000,
    RENDER_MEMORY = 64 << 20,       /* and 64 bytes for each byte of the conversation */
    RENDER_WORK = 10 * 1000 * 1000, /* about half a second; and 16 units for each byte of the conversation */
};

const char chat_template_llava[] =
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'] | upper }}{{ ': ' }}{% endif %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ image_token | default('<image>') }}{{ '\\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] ~ ' ' }}{% "
    "endfor %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}";

struct chat_template {
    struct jinja_run run; /* holds the tree; nothing is added to it after opening */
    struct jinja_template template;
    struct content_use content;
};

enum status chat_template_open(struct chat_template **out, const char *source, size_t length,
                               struct error *err)
{
    *out = NULL;
    if (length > MAX_SOURCE)
        return error_set(err, STATUS_BAD_FILE, "chat template: longer than %d bytes", MAX_SOURCE);
    struct chat_template *t = try_calloc(1, sizeof *t);
    if (!t)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for a chat template");
    run_init(&t->run, PARSE_MEMORY, PARSE_WORK, STATUS_BAD_FILE);
    jinja_parse(&t->run, source, length, &t->template);
    if (t->run.failed) {
        enum status status = error_set(err, t->run.error.status, "%s", t->run.error.message);
        chat_template_close(t);
        return status;
    }
    t->content = chat_template_scan(&t->template);
    *out = t;
    return STATUS_OK;
}

void chat_template_close(struct chat_template *t)
{
    if (!t)
        return;
    run_release(&t->run);
    free(t);
}

bool chat_template_takes_parts(const struct chat_template *t)
{
    return t->content.parts;
}

void chat_rendering_release(struct chat_rendering *r)
{
    free(r->text);
    free(r->plain);
    *r = (struct chat_rendering){0};
}

/* ---- messages as values ---- */

static void add_part(struct jinja_builder *b, const struct chat_part *part)
{
    builder_add(b, part->text, part->length, part->kind == CHAT_TEXT);
}

/* How many parts from `first` on are one text: a marker belongs to the text before and after it, as the model
 * wrote them; two texts in a row stay two parts. */
static size_t text_run(const struct chat_message *m, size_t first)
{
    size_t n = 1;
    while (first + n < m->n_parts && m->part[first + n].kind != CHAT_IMAGE &&
           (m->part[first + n].kind == CHAT_MARKER || m->part[first + n - 1].kind == CHAT_MARKER))
        n++;
    return n;
}

/* The parts of a message as {"type": ...} dicts. */
static struct jinja_list *part_list(struct jinja_run *run, const struct chat_message *m)
{
    struct jinja_list *list = list_new(run, m->n_parts);
    for (size_t i = 0, n; i < m->n_parts && run_work(run, 1); i += n) {
        struct jinja_dict *dict = dict_new(run);
        bool image = m->part[i].kind == CHAT_IMAGE;
        n = image ? 1 : text_run(m, i);
        dict_set_name(run, dict, "type", value_of(run, image ? "image" : "text"));
        if (!image) {
            struct jinja_builder b;
            builder_init(&b, run);
            for (size_t k = 0; k < n; k++)
                add_part(&b, &m->part[i + k]);
            dict_set_name(run, dict, "text", value_text(builder_text(&b)));
        }
        list_add(run, list, dict ? value_dict(dict) : value_nothing());
    }
    return list;
}

static struct jinja_value joined_parts(struct jinja_run *run, const struct chat_message *m,
                                       const char *image_token)
{
    struct jinja_builder b;
    builder_init(&b, run);
    for (size_t i = 0; i < m->n_parts; i++)
        if (m->part[i].kind == CHAT_IMAGE) {
            builder_add_literal(&b, image_token);
            builder_add_literal(&b, "\n");
        }
    for (size_t i = 0; i < m->n_parts; i++)
        if (m->part[i].kind != CHAT_IMAGE)
            add_part(&b, &m->part[i]);
    return value_text(builder_text(&b));
}

static struct jinja_value message_content(struct jinja_run *run, const struct chat_template *t,
                                          const struct chat_message *m, const struct chat_options *options)
{
    bool one_text = m->n_parts == 0 || (m->part[0].kind != CHAT_IMAGE && text_run(m, 0) == m->n_parts);
    if (!t->content.parts || (t->content.string && one_text))
        return joined_parts(run, m, options->image_token ? options->image_token : "<image>");
    struct jinja_list *list = part_list(run, m);
    return list ? value_list(list) : value_nothing();
}

static struct jinja_value message_list(struct jinja_run *run, const struct chat_template *t,
                                       const struct chat_message *messages, size_t n,
                                       const struct chat_options *options)
{
    struct jinja_list *list = list_new(run, n);
    for (size_t i = 0; i < n && run_work(run, 1); i++) {
        struct jinja_dict *dict = dict_new(run);
        dict_set_name(run, dict, "role", value_of(run, messages[i].role));
        dict_set_name(run, dict, "content", message_content(run, t, &messages[i], options));
        list_add(run, list, dict ? value_dict(dict) : value_nothing());
    }
    return list ? value_list(list) : value_nothing();
}

static void set_variable(struct jinja_run *run, const struct chat_template *t, struct jinja_scope *scope,
                         const char *name, struct jinja_value v)
{
    const struct jinja_text *interned = jinja_find_name(&t->template, name);
    if (interned)
        scope_set(run, scope, interned, v);
}

static void set_string(struct jinja_run *run, const struct chat_template *t, struct jinja_scope *scope,
                       const char *name, const char *text)
{
    if (text)
        set_variable(run, t, scope, name, value_of(run, text));
}

static struct jinja_scope *make_globals(struct jinja_run *run, const struct chat_template *t,
                                        const struct chat_message *messages, size_t n,
                                        const struct chat_options *options)
{
    struct jinja_scope *scope = scope_new(run, NULL);
    if (!scope)
        return NULL;
    set_variable(run, t, scope, "messages", message_list(run, t, messages, n, options));
    set_variable(run, t, scope, "add_generation_prompt", value_bool(options->add_generation_prompt));
    set_variable(run, t, scope, "tools", value_none());
    set_variable(run, t, scope, "documents", value_none());
    set_string(run, t, scope, "bos_token", options->bos_token);
    set_string(run, t, scope, "eos_token", options->eos_token);
    set_string(run, t, scope, "image_token", options->image_token);
    return scope;
}

/* ---- the result ---- */

static size_t count_ranges(const struct jinja_builder *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->length; i++)
        n += b->plain[i] && (!i || !b->plain[i - 1]);
    return n;
}

static enum status copy_result(const struct jinja_builder *b, struct chat_rendering *out, struct error *err)
{
    size_t n = count_ranges(b), at = 0;
    out->text = try_malloc(b->length + 1, 1);
    out->plain = try_malloc(n, sizeof *out->plain);
    if (!out->text || !out->plain) {
        chat_rendering_release(out);
        return error_set(err, STATUS_NO_MEMORY, "out of memory for a prompt of %zu bytes", b->length);
    }
    if (b->length)
        memcpy(out->text, b->bytes, b->length);
    out->text[b->length] = 0;
    out->length = b->length;
    out->n_plain = n;
    for (size_t i = 0; i < b->length; i++) {
        if (!b->plain[i])
            continue;
        if (!i || !b->plain[i - 1])
            out->plain[at++].begin = i;
        out->plain[at - 1].end = i + 1;
    }
    return STATUS_OK;
}

static size_t conversation_bytes(const struct chat_message *messages, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < messages[i].n_parts; k++)
            total += 16 + (messages[i].part[k].kind == CHAT_IMAGE ? 0 : messages[i].part[k].length);
    return total + 64 * n;
}

enum status chat_template_render(const struct chat_template *t, const struct chat_message *messages,
                                 size_t n_messages, const struct chat_options *options,
                                 struct chat_rendering *out, struct error *err)
{
    struct jinja_run run;
    struct jinja_builder b;
    size_t bytes = conversation_bytes(messages, n_messages);
    *out = (struct chat_rendering){0};
    run_init(&run, RENDER_MEMORY + bytes * 64, RENDER_WORK + bytes * 16, STATUS_BAD_REQUEST);
    run.now = options->now;
    builder_init(&b, &run);
    struct jinja_scope *scope = make_globals(&run, t, messages, n_messages, options);
    if (scope)
        render_statements(&run, scope, t->template.body, &b);
    enum status status =
        run.failed ? error_set(err, run.error.status, "%s", run.error.message) : copy_result(&b, out, err);
    run_release(&run);
    return status;
}
