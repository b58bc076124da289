/* str.format: "{}", "{0}", "{name.attribute[key]!r:>10}". */
#include "engine/text/jinja_format.h"

#include "engine/text/jinja_number.h"
#include "engine/text/jinja_print.h"
#include "engine/text/jinja_unicode.h"

#include <string.h>

struct braces {
    struct jinja_run *run;
    const struct jinja_call *call;
    size_t next; /* of the unnumbered fields */
};

static struct jinja_value named_argument(struct braces *f, const struct jinja_text *name)
{
    for (size_t i = 0; i < f->call->n_named; i++)
        if (text_equal(f->call->named[i].name, name))
            return f->call->named[i].value;
    run_fail(f->run, "format: '%.*s' is not given", (int)name->length, name->bytes);
    return value_nothing();
}

static struct jinja_value argument(struct braces *f, const struct jinja_text *name)
{
    int64_t index;
    if (name->length && !number_read_int(name, 10, &index))
        return named_argument(f, name);
    if (!name->length)
        index = (int64_t)f->next++;
    if (index >= 0 && (uint64_t)index < f->call->count)
        return f->call->at[index];
    run_fail(f->run, "format: not enough arguments");
    return value_nothing();
}

static size_t find_any(const struct jinja_text *text, size_t at, const char *set)
{
    while (at < text->length && !(text->bytes[at] && strchr(set, text->bytes[at])))
        at++;
    return at;
}

/* name.attribute[key]... */
static struct jinja_value field_value(struct braces *f, const struct jinja_text *field)
{
    size_t at = find_any(field, 0, ".[");
    struct jinja_value v = argument(f, text_bytes(f->run, field, 0, at));
    while (at < field->length && run_work(f->run, 1)) {
        bool item = field->bytes[at] == '[';
        size_t begin = at + 1, end = find_any(field, begin, item ? "]" : ".[");
        const struct jinja_text *part = text_bytes(f->run, field, begin, end);
        int64_t index;
        if (!part->length || (item && end >= field->length)) {
            run_fail(f->run, "format: damaged field");
            return v;
        }
        if (!item)
            v = value_attribute(f->run, v, part);
        else
            v = value_item(f->run, v,
                           number_read_int(part, 10, &index) ? value_int(index) : value_text(part));
        at = end + item;
    }
    return v;
}

static int64_t spec_number(const struct jinja_text *text, size_t *at)
{
    int64_t n = 0;
    for (; *at < text->length && text->bytes[*at] >= '0' && text->bytes[*at] <= '9'; ++*at)
        n = n <= FORMAT_MAX_WIDTH ? n * 10 + (text->bytes[*at] - '0') : n;
    return n;
}

static bool skip(const struct jinja_text *text, size_t *at, char c)
{
    if (*at >= text->length || text->bytes[*at] != c)
        return false;
    ++*at;
    return true;
}

static struct format_spec read_spec(struct jinja_run *run, const struct jinja_text *text)
{
    struct format_spec spec = {.fill = ' ', .precision = -1};
    size_t at = 0, n = text->length ? unicode_read(text->bytes, text->length, &spec.fill) : 0;
    if (n && n < text->length && strchr("<>^=", text->bytes[n])) {
        spec.align = text->bytes[n];
        at = n + 1;
    } else {
        spec.fill = ' ';
        if (text->length && strchr("<>^=", text->bytes[0]))
            spec.align = text->bytes[at++];
    }
    if (at < text->length && strchr("+- ", text->bytes[at]))
        spec.sign = text->bytes[at++];
    spec.alternate = skip(text, &at, '#');
    if (skip(text, &at, '0') && !spec.align) {
        spec.fill = '0';
        spec.align = '=';
    }
    spec.width = spec_number(text, &at);
    spec.comma = skip(text, &at, ',');
    if (skip(text, &at, '.'))
        spec.precision = spec_number(text, &at);
    if (at < text->length)
        spec.type = text->bytes[at++];
    if (at < text->length || spec.width > FORMAT_MAX_WIDTH)
        run_fail(run, "format: invalid format specifier");
    return spec;
}

static void add_field(struct braces *f, struct jinja_builder *b, const struct jinja_text *field)
{
    size_t end = find_any(field, 0, "!:"), at = end;
    struct jinja_value v = field_value(f, text_bytes(f->run, field, 0, end));
    double d;
    if (skip(field, &at, '!')) {
        struct jinja_builder repr;
        builder_init(&repr, f->run);
        if (at < field->length && field->bytes[at] == 's')
            print_value(&repr, v);
        else
            print_repr(&repr, v);
        at++;
        v = value_text(builder_text(&repr));
    }
    if (at < field->length && !skip(field, &at, ':'))
        run_fail(f->run, "format: expected ':' after the conversion");
    if (f->run->failed)
        return;
    const struct jinja_text *text =
        at < field->length ? text_bytes(f->run, field, at, field->length) : &jinja_text_empty;
    struct format_spec spec = read_spec(f->run, text);
    if (!text->length)
        print_value(b, v);
    else if (value_as_number(v, &d) && (v.kind != JINJA_BOOL || spec.type))
        format_number(b, v, &spec);
    else if ((v.kind == JINJA_STRING || v.kind == JINJA_BOOL) && (!spec.type || spec.type == 's') &&
             spec.align != '=')
        format_text(b, value_string(f->run, v), &spec);
    else
        run_fail(f->run, "format: a value of type '%s' does not fit its specifier", value_type(v));
}

struct jinja_value format_braces(struct jinja_run *run, const struct jinja_text *format,
                                 const struct jinja_call *call)
{
    struct braces f = {run, call, 0};
    struct jinja_builder b;
    builder_init(&b, run);
    for (size_t at = 0; at < format->length && run_work(run, 1);) {
        size_t brace = find_any(format, at, "{}");
        builder_add_slice(&b, format, at, brace);
        if (brace >= format->length)
            break;
        at = brace + 1;
        if (at < format->length && format->bytes[at] == format->bytes[brace]) {
            builder_add_slice(&b, format, at, at + 1); /* {{ or }} */
            at++;
            continue;
        }
        size_t close = find_any(format, at, "{}");
        if (format->bytes[brace] == '}' || close >= format->length || format->bytes[close] == '{') {
            run_fail(run, "format: single '%c' in the format string", format->bytes[brace]);
            break;
        }
        add_field(&f, &b, text_bytes(run, format, at, close));
        at = close + 1;
    }
    return value_text(builder_text(&b));
}
