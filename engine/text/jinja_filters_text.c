#include "engine/text/jinja_builtin.h"
#include "engine/text/jinja_print.h"
#include "engine/text/jinja_unicode.h"

#include <string.h>

static const struct jinja_text *self_text(struct jinja_run *run, const struct jinja_given *given)
{
    return value_string(run, given->self);
}

static struct jinja_value filter_upper(struct jinja_run *run, const struct jinja_given *given)
{
    return text_map_case(run, self_text(run, given), UNICODE_UPPER);
}

static struct jinja_value filter_lower(struct jinja_run *run, const struct jinja_given *given)
{
    return text_map_case(run, self_text(run, given), UNICODE_LOWER);
}

static struct jinja_value filter_capitalize(struct jinja_run *run, const struct jinja_given *given)
{
    return text_capitalize(run, self_text(run, given));
}

static bool begins_word(uint32_t c)
{
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || unicode_is_space(c);
}

/* Jinja's title is not Python's: a word begins after white space, hyphens and opening brackets only. */
static struct jinja_value filter_title(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *text = self_text(run, given);
    struct jinja_builder b;
    uint32_t c, to[3];
    bool first = true;
    builder_init(&b, run);
    for (size_t i = 0, n; i < text->length && run_work(run, 1); i += n) {
        n = unicode_read(text->bytes + i, text->length - i, &c);
        int count = unicode_map(c, first ? UNICODE_UPPER : UNICODE_LOWER, to);
        for (int k = 0; k < count; k++)
            builder_add_char(&b, to[k], text->plain[i]);
        first = begins_word(c);
    }
    return value_text(builder_text(&b));
}

static struct jinja_value filter_trim(struct jinja_run *run, const struct jinja_given *given)
{
    return value_text(text_strip(run, self_text(run, given), given->arg[0], true, true));
}

static struct jinja_value filter_replace(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *old = value_string(run, given->arg[0]), *new = value_string(run, given->arg[1]);
    int64_t count = given->arg[2].kind == JINJA_NONE ? -1 : arg_int(run, given->arg[2], -1);
    return value_text(text_replace(run, self_text(run, given), old, new, count));
}

static struct jinja_value filter_string(struct jinja_run *run, const struct jinja_given *given)
{
    return value_text(self_text(run, given));
}

static struct jinja_value filter_safe(struct jinja_run *run, const struct jinja_given *given)
{
    return value_text(text_marked(run, self_text(run, given)));
}

static const char *entity(char c)
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '\'': return "&#39;";
    case '"': return "&#34;";
    default: return NULL;
    }
}

static struct jinja_value force_escape(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *text = self_text(run, given);
    struct jinja_builder b;
    size_t from = 0;
    builder_init(&b, run);
    for (size_t i = 0; i < text->length; i++) {
        const char *instead = entity(text->bytes[i]);
        if (!instead)
            continue;
        builder_add_slice(&b, text, from, i);
        builder_add(&b, instead, strlen(instead), text->plain[i]);
        from = i + 1;
    }
    builder_add_slice(&b, text, from, text->length);
    return value_text(text_marked(run, builder_text(&b)));
}

static struct jinja_value filter_escape(struct jinja_run *run, const struct jinja_given *given)
{
    if (given->self.kind == JINJA_STRING && given->self.text->markup)
        return given->self;
    return force_escape(run, given);
}

static const struct jinja_text *spaces(struct jinja_run *run, int64_t n)
{
    struct jinja_builder b;
    builder_init(&b, run);
    builder_add_times(&b, text_of(run, " "), n > 0 ? (size_t)n : 0);
    return builder_text(&b);
}

/* Every line but the first gets the indentation; empty ones only when `blank` asks for it. */
static struct jinja_value filter_indent(struct jinja_run *run, const struct jinja_given *given)
{
    struct jinja_value width = given->arg[0];
    const struct jinja_text *text = arg_text(run, given->self);
    const struct jinja_text *indent =
        width.kind == JINJA_STRING ? width.text : spaces(run, arg_int(run, width, 4));
    bool first = arg_bool(given->arg[1], false), blank = arg_bool(given->arg[2], false);
    struct jinja_builder whole, b;
    builder_init(&whole, run);
    builder_add_text(&whole, text);
    builder_add_literal(&whole, "\n"); /* so that a text that ends in a newline keeps its empty last line */
    const struct jinja_list *lines = text_lines(run, builder_text(&whole), false);
    builder_init(&b, run);
    if (first)
        builder_add_text(&b, indent);
    for (size_t i = 0; lines && i < lines->count && run_work(run, 1); i++) {
        const struct jinja_text *line = lines->at[i].text;
        if (i) {
            builder_add_literal(&b, "\n");
            if (blank || line->length)
                builder_add_text(&b, indent);
        }
        builder_add_text(&b, line);
    }
    return value_text(builder_text(&b));
}

static struct jinja_value filter_wordcount(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *text = self_text(run, given);
    int64_t words = 0;
    bool inside = false;
    uint32_t c;
    if (!run_work(run, text->length / 4))
        return value_nothing();
    for (size_t i = 0; i < text->length;) {
        i += unicode_read(text->bytes + i, text->length - i, &c);
        bool word = unicode_is_word(c);
        words += word && !inside;
        inside = word;
    }
    return value_int(words);
}

static struct jinja_value filter_truncate(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *text;
    int64_t length = arg_int(run, given->arg[0], 255);
    const struct jinja_text *end =
        value_given(given->arg[2]) ? arg_text(run, given->arg[2]) : text_of(run, "...");
    int64_t leeway = given->arg[3].kind == JINJA_NONE ? 5 : arg_int(run, given->arg[3], 5);
    if (length < (int64_t)end->chars || leeway < 0)
        run_fail(run, "truncate: length or leeway is too small");
    size_t n = value_length(run, given->self);
    if (run->failed || n <= (uint64_t)length || n - (uint64_t)length <= (uint64_t)leeway)
        return given->self; /* whatever it is */
    text = arg_text(run, given->self);
    if (run->failed)
        return value_nothing();
    const struct jinja_text *kept = text_chars(run, text, 0, (size_t)length - end->chars);
    size_t cut = kept->length;
    if (!arg_bool(given->arg[1], false)) {
        cut = text_find_last(kept, text_of(run, " "), kept->length);
        cut = cut > kept->length ? kept->length : cut;
    }
    struct jinja_builder b;
    builder_init(&b, run);
    builder_add_slice(&b, kept, 0, cut);
    builder_add_text(&b, end);
    return value_text(builder_text(&b));
}

static struct jinja_value filter_center(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_builtin *method =
        builtin_method(value_text(&jinja_text_empty), text_of(run, "center"));
    struct jinja_value width = value_int(arg_int(run, given->arg[0], 80));
    const struct jinja_call call = {.at = &width, .count = 1};
    return run->failed ? value_nothing()
                       : builtin_call(run, method, value_text(self_text(run, given)), &call);
}

static struct jinja_value filter_format(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_call *call = given->call;
    if (call->count && call->n_named) {
        run_fail(run, "format: cannot handle positional and keyword arguments at the same time");
        return value_nothing();
    }
    if (call->n_named) {
        struct jinja_dict *dict = dict_new(run);
        for (size_t i = 0; i < call->n_named; i++)
            dict_set(run, dict, value_text(call->named[i].name), call->named[i].value);
        return dict ? format_percent(run, self_text(run, given), value_dict(dict)) : value_nothing();
    }
    struct jinja_list *list = list_new(run, call->count);
    for (size_t i = 0; i < call->count; i++)
        list_add(run, list, call->at[i]);
    return list ? format_percent(run, self_text(run, given), value_tuple(list)) : value_nothing();
}

/* `separators`, or what Python's json.dumps takes without them. */
static void json_separators(struct jinja_run *run, struct jinja_value v, struct json_style *style)
{
    style->between_items = text_of(run, style->indented ? "," : ", ");
    style->after_key = text_of(run, ": ");
    if (!value_given(v) || v.kind == JINJA_NONE)
        return;
    const struct jinja_list *two = value_items(run, v);
    if (!two)
        return;
    if (two->count != 2)
        run_fail(run, "tojson: separators must be two strings");
    else {
        style->between_items = arg_text(run, two->at[0]);
        style->after_key = arg_text(run, two->at[1]);
    }
}

static struct jinja_value filter_tojson(struct jinja_run *run, const struct jinja_given *given)
{
    struct jinja_value indent = given->arg[1];
    struct json_style style = {.ascii = arg_bool(given->arg[0], false),
                               .sort_keys = arg_bool(given->arg[3], false)};
    style.indented = value_given(indent) && indent.kind != JINJA_NONE;
    if (style.indented)
        style.indent = indent.kind == JINJA_STRING ? indent.text : spaces(run, arg_int(run, indent, 0));
    json_separators(run, given->arg[2], &style);
    struct jinja_builder b;
    builder_init(&b, run);
    if (!run->failed)
        print_json(&b, given->self, &style);
    return value_text(builder_text(&b));
}

const struct jinja_builtin jinja_text_filters[] = {
    {"upper", "", filter_upper},
    {"lower", "", filter_lower},
    {"capitalize", "", filter_capitalize},
    {"title", "", filter_title},
    {"trim", "chars?", filter_trim},
    {"replace", "old new count?", filter_replace},
    {"string", "", filter_string},
    {"safe", "", filter_safe},
    {"escape", "", filter_escape},
    {"e", "", filter_escape},
    {"forceescape", "", force_escape},
    {"indent", "width? first? blank?", filter_indent},
    {"wordcount", "", filter_wordcount},
    {"truncate", "length? killwords? end? leeway?", filter_truncate},
    {"center", "width?", filter_center},
    {"format", "*", filter_format},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", filter_tojson},
    {NULL, NULL, NULL},
};
