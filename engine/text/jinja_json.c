#include "engine/text/jinja_eval.h"
#include "engine/text/jinja_print.h"
#include "engine/text/jinja_sort.h"
#include "engine/text/jinja_unicode.h"

#include <math.h>
#include <stdio.h>

struct json_writer {
    struct jinja_builder *out;
    struct jinja_run *run;
    const struct json_style *style;
};

static void add_code(struct json_writer *w, uint32_t c, bool plain)
{
    char text[16];
    int n = c < 0x10000
                ? snprintf(text, sizeof text, "\\u%04x", (unsigned)c)
                : snprintf(text, sizeof text, "\\u%04x\\u%04x", (unsigned)(0xD800 + ((c - 0x10000) >> 10)),
                           (unsigned)(0xDC00 + ((c - 0x10000) & 0x3FF)));
    builder_add(w->out, text, (size_t)n, plain);
}

/* The letter of a short escape, or 0. */
static char short_escape(uint32_t c)
{
    switch (c) {
    case '"': return '"';
    case '\\': return '\\';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    case '\b': return 'b';
    case '\f': return 'f';
    default: return 0;
    }
}

static void write_text(struct json_writer *w, const struct jinja_text *text)
{
    uint32_t c;
    builder_add_literal(w->out, "\"");
    for (size_t i = 0, n, from = 0; i < text->length && run_work(w->run, 1); i += n) {
        bool plain = text->plain[i];
        n = unicode_read(text->bytes + i, text->length - i, &c);
        char letter = short_escape(c), both[2] = {'\\', letter};
        bool code = c < 0x20 || (w->style->ascii && c >= 0x7F + 1 && c < UNICODE_BYTE);
        if (letter || code) {
            builder_add_slice(w->out, text, from, i);
            from = i + n;
        }
        if (letter)
            builder_add(w->out, both, 2, plain);
        else if (code)
            add_code(w, c, plain);
        if (i + n >= text->length && from < text->length)
            builder_add_slice(w->out, text, from, text->length);
    }
    builder_add_literal(w->out, "\"");
}

static void write_number(struct json_writer *w, struct jinja_value v)
{
    if (v.kind == JINJA_FLOAT && (isnan(v.real) || isinf(v.real)))
        builder_add_literal(w->out, isnan(v.real) ? "NaN" : v.real < 0 ? "-Infinity" : "Infinity");
    else
        print_value(w->out, v);
}

static void new_line(struct json_writer *w, int depth)
{
    if (!w->style->indented)
        return;
    builder_add_literal(w->out, "\n");
    builder_add_times(w->out, w->style->indent, (size_t)depth);
}

static void write_at(struct json_writer *w, struct jinja_value v, int depth);

static void write_list(struct json_writer *w, const struct jinja_list *list, int depth)
{
    builder_add_literal(w->out, "[");
    for (size_t i = 0; i < list->count && run_work(w->run, 1); i++) {
        if (i)
            builder_add_text(w->out, w->style->between_items);
        new_line(w, depth + 1);
        write_at(w, list->at[i], depth + 1);
    }
    if (list->count)
        new_line(w, depth);
    builder_add_literal(w->out, "]");
}

static void write_key(struct json_writer *w, struct jinja_value key)
{
    struct jinja_builder b;
    builder_init(&b, w->run);
    struct json_writer inner = {&b, w->run, w->style};
    switch (key.kind) {
    case JINJA_STRING: write_text(w, key.text); return;
    case JINJA_NONE:
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT: write_at(&inner, key, 0); break;
    default: run_fail(w->run, "keys must be str, int, float, bool or None, not %s", value_type(key)); return;
    }
    write_text(w, builder_text(&b));
}

static void write_dict(struct json_writer *w, struct jinja_dict *dict, int depth)
{
    const struct jinja_list *items = dict_list(w->run, dict, DICT_ITEMS);
    if (w->style->sort_keys && items)
        items = sort_items(w->run, items, dict_list(w->run, dict, DICT_KEYS), false);
    builder_add_literal(w->out, "{");
    for (size_t i = 0; items && i < items->count && run_work(w->run, 1); i++) {
        if (i)
            builder_add_text(w->out, w->style->between_items);
        new_line(w, depth + 1);
        write_key(w, items->at[i].list->at[0]);
        builder_add_text(w->out, w->style->after_key);
        write_at(w, items->at[i].list->at[1], depth + 1);
    }
    if (dict->count)
        new_line(w, depth);
    builder_add_literal(w->out, "}");
}

static void write_at(struct json_writer *w, struct jinja_value v, int depth)
{
    if (depth > JINJA_MAX_VALUE_DEPTH) {
        run_fail(w->run, "values nested too deeply for JSON");
        return;
    }
    switch (v.kind) {
    case JINJA_NONE: builder_add_literal(w->out, "null"); break;
    case JINJA_BOOL: builder_add_literal(w->out, v.boolean ? "true" : "false"); break;
    case JINJA_INT:
    case JINJA_FLOAT: write_number(w, v); break;
    case JINJA_STRING: write_text(w, v.text); break;
    case JINJA_LIST:
    case JINJA_TUPLE: write_list(w, v.list, depth); break;
    case JINJA_DICT: write_dict(w, v.dict, depth); break;
    default: run_fail(w->run, "object of type %s is not JSON serializable", value_type(v));
    }
}

void print_json(struct jinja_builder *b, struct jinja_value v, const struct json_style *style)
{
    struct json_writer w = {b, b->run, style};
    write_at(&w, v, 0);
}
