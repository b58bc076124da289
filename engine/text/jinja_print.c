#include "engine/text/jinja_print.h"

#include "engine/text/jinja_eval.h"
#include "engine/text/jinja_unicode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void print_real(char *out, size_t size, double d)
{
    char digits[40];
    int precision = 0;
    if (isnan(d) || isinf(d)) {
        snprintf(out, size, "%s", isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
        return;
    }
    do { /* the fewest digits that read back as d */
        snprintf(digits, sizeof digits, "%.*e", precision, d);
    } while (strtod(digits, NULL) != d && ++precision < 17);
    int exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16)
        snprintf(out, size, "%s", digits);
    else
        snprintf(out, size, "%.*f", exponent < precision ? precision - exponent : 1, d);
}

static void add_number(struct jinja_builder *b, struct jinja_value v)
{
    char text[64];
    if (v.kind == JINJA_FLOAT)
        print_real(text, sizeof text, v.real);
    else
        snprintf(text, sizeof text, "%lld", (long long)v.integer);
    builder_add_literal(b, text);
}

/* An escape in hexadecimal: \x.., \u...., \U........ as the code point needs. */
static void add_escape(struct jinja_builder *b, uint32_t c, bool plain)
{
    char text[16];
    if (c >= UNICODE_BYTE)
        c = 0xDC00 + (c - UNICODE_BYTE); /* a stray byte, as Python's surrogateescape spells it */
    int n = snprintf(text, sizeof text,
                     c < 0x100     ? "\\x%02x"
                     : c < 0x10000 ? "\\u%04x"
                                   : "\\U%08x",
                     (unsigned)c);
    builder_add(b, text, (size_t)n, plain);
}

static void repr_text(struct jinja_builder *b, const struct jinja_text *text)
{
    bool single = memchr(text->bytes, '\'', text->length), twice = memchr(text->bytes, '"', text->length);
    char quote[2] = {single && !twice ? '"' : '\'', 0};
    uint32_t c;
    builder_add_literal(b, quote);
    for (size_t i = 0, n; i < text->length && run_work(b->run, 1); i += n) {
        bool plain = text->plain[i];
        n = unicode_read(text->bytes + i, text->length - i, &c);
        if (c == (uint32_t)quote[0] || c == '\\') {
            builder_add(b, "\\", 1, plain);
            builder_add_slice(b, text, i, i + n);
        } else if (c == '\n' || c == '\r' || c == '\t') {
            builder_add(b, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t", 2, plain);
        } else if (unicode_is_printable(c)) {
            builder_add_slice(b, text, i, i + n);
        } else {
            add_escape(b, c, plain);
        }
    }
    builder_add_literal(b, quote);
}

static void repr_at(struct jinja_builder *b, struct jinja_value v, int depth);

static void repr_items(struct jinja_builder *b, const char *open, const struct jinja_list *list,
                       const char *close, int depth)
{
    builder_add_literal(b, open);
    for (size_t i = 0; i < list->count && run_work(b->run, 1); i++) {
        if (i)
            builder_add_literal(b, ", ");
        repr_at(b, list->at[i], depth + 1);
    }
    builder_add_literal(b, close);
}

static void repr_dict(struct jinja_builder *b, const struct jinja_dict *dict, int depth)
{
    builder_add_literal(b, "{");
    for (size_t i = 0; i < dict->count && run_work(b->run, 1); i++) {
        if (i)
            builder_add_literal(b, ", ");
        repr_at(b, dict->at[i].key, depth + 1);
        builder_add_literal(b, ": ");
        repr_at(b, dict->at[i].value, depth + 1);
    }
    builder_add_literal(b, "}");
}

static void repr_range(struct jinja_builder *b, const struct jinja_range *r)
{
    char text[96];
    int n = snprintf(text, sizeof text, "range(%lld, %lld", (long long)r->start, (long long)r->stop);
    if (r->step != 1)
        snprintf(text + n, sizeof text - (size_t)n, ", %lld", (long long)r->step);
    builder_add_literal(b, text);
    builder_add_literal(b, ")");
}

static void repr_other(struct jinja_builder *b, struct jinja_value v, int depth)
{
    char text[64];
    switch (v.kind) {
    case JINJA_VIEW:
        builder_add_literal(b, v.view->type);
        repr_items(b, "([", v.view->items, "])", depth);
        break;
    case JINJA_RANGE: repr_range(b, v.range); break;
    case JINJA_NAMESPACE:
        builder_add_literal(b, "<Namespace ");
        repr_dict(b, v.dict, depth);
        builder_add_literal(b, ">");
        break;
    case JINJA_LOOP:
        snprintf(text, sizeof text, "<LoopContext %zu/%zu>", v.loop->index + 1, v.loop->items->count);
        builder_add_literal(b, text);
        break;
    default: /* Python prints an address here: nothing that a prompt should hold */
        snprintf(text, sizeof text, "<%s>", value_type(v));
        builder_add_literal(b, text);
    }
}

static void repr_at(struct jinja_builder *b, struct jinja_value v, int depth)
{
    if (depth > JINJA_MAX_VALUE_DEPTH) {
        run_fail(b->run, "values nested too deeply to print");
        return;
    }
    switch (v.kind) {
    case JINJA_UNDEFINED:
    case JINJA_MISSING: builder_add_literal(b, "Undefined"); break;
    case JINJA_NONE: builder_add_literal(b, "None"); break;
    case JINJA_BOOL: builder_add_literal(b, v.boolean ? "True" : "False"); break;
    case JINJA_INT:
    case JINJA_FLOAT: add_number(b, v); break;
    case JINJA_STRING:
        builder_add_literal(b, v.text->markup ? "Markup(" : "");
        repr_text(b, v.text);
        builder_add_literal(b, v.text->markup ? ")" : "");
        break;
    case JINJA_LIST: repr_items(b, "[", v.list, "]", depth); break;
    case JINJA_TUPLE: repr_items(b, "(", v.list, v.list->count == 1 ? ",)" : ")", depth); break;
    case JINJA_DICT: repr_dict(b, v.dict, depth); break;
    default: repr_other(b, v, depth);
    }
}

void print_repr(struct jinja_builder *b, struct jinja_value v)
{
    repr_at(b, v, 0);
}

void print_value(struct jinja_builder *b, struct jinja_value v)
{
    if (v.kind == JINJA_STRING)
        builder_add_text(b, v.text);
    else if (v.kind != JINJA_UNDEFINED)
        repr_at(b, v, 0);
}

const struct jinja_text *value_string(struct jinja_run *run, struct jinja_value v)
{
    struct jinja_builder b;
    if (v.kind == JINJA_STRING)
        return v.text;
    builder_init(&b, run);
    print_value(&b, v);
    return builder_text(&b);
}
