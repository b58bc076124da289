/* str % value: printf as Python knows it. */
#include "engine/text/jinja_format.h"

#include "engine/text/jinja_print.h"

#include <math.h>
#include <string.h>

struct percent {
    struct jinja_run *run;
    const struct jinja_text *format;
    size_t at;
    struct jinja_value values; /* a tuple, a dict for %(name)s, or the only value */
    size_t used;
    bool by_name;
};

static struct jinja_value next_value(struct percent *p)
{
    if (p->values.kind == JINJA_TUPLE) {
        if (p->used < p->values.list->count)
            return p->values.list->at[p->used++];
    } else if (p->used++ == 0) {
        return p->values;
    }
    run_fail(p->run, "not enough arguments for format string");
    return value_nothing();
}

static char peek(const struct percent *p)
{
    return p->at < p->format->length ? p->format->bytes[p->at] : 0;
}

/* %(name): the dict's value for it. */
static struct jinja_value named_value(struct percent *p)
{
    size_t begin = ++p->at;
    while (p->at < p->format->length && p->format->bytes[p->at] != ')')
        p->at++;
    if (p->at >= p->format->length || p->values.kind != JINJA_DICT) {
        run_fail(p->run,
                 p->values.kind == JINJA_DICT ? "incomplete format key" : "format requires a mapping");
        return value_nothing();
    }
    struct jinja_value name = value_text(text_bytes(p->run, p->format, begin, p->at++));
    const struct jinja_value *found = dict_find(p->run, p->values.dict, name);
    if (!found)
        run_fail(p->run, "a name in the format string is not given");
    p->by_name = true;
    return found ? *found : value_nothing();
}

static int64_t read_number(struct percent *p, struct format_spec *spec)
{
    int64_t n = 0;
    if (peek(p) == '*') {
        p->at++;
        n = arg_int(p->run, next_value(p), 0);
        if (n < 0 && spec) {
            spec->align = '<';
            n = n == INT64_MIN ? INT64_MAX : -n;
        }
        return n;
    }
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++)
        n = n < FORMAT_MAX_WIDTH ? n * 10 + (peek(p) - '0') : n;
    return n;
}

static struct format_spec read_spec(struct percent *p)
{
    struct format_spec spec = {.fill = ' ', .align = '>', .precision = -1};
    bool zero = false;
    for (; peek(p) && strchr("#0- +", peek(p)); p->at++) {
        zero |= peek(p) == '0';
        spec.alternate |= peek(p) == '#';
        spec.align = peek(p) == '-' ? '<' : spec.align;
        if (peek(p) == '+' || (peek(p) == ' ' && !spec.sign))
            spec.sign = peek(p);
    }
    spec.width = read_number(p, &spec);
    if (peek(p) == '.') {
        p->at++;
        spec.precision = read_number(p, NULL);
        spec.precision = spec.precision < 0 ? 0 : spec.precision;
    }
    while (peek(p) == 'l' || peek(p) == 'h' || peek(p) == 'L')
        p->at++;
    spec.type = peek(p);
    p->at += spec.type != 0;
    if (zero && spec.align == '>' && strchr("diuxXoeEfFgG", spec.type)) {
        spec.fill = '0';
        spec.align = '=';
    }
    return spec;
}

static void add_value(struct percent *p, struct jinja_builder *b, struct jinja_value v,
                      struct format_spec *spec)
{
    struct jinja_builder repr;
    double d;
    int64_t i;
    if (spec->width > FORMAT_MAX_WIDTH) {
        run_fail(p->run, "a width is too large");
    } else if (spec->type == 's' || (spec->type == 'c' && v.kind == JINJA_STRING && v.text->chars == 1)) {
        format_text(b, value_string(p->run, v), spec);
    } else if (spec->type == 'r' || spec->type == 'a') {
        builder_init(&repr, p->run);
        print_repr(&repr, v);
        format_text(b, builder_text(&repr), spec);
    } else if (spec->type && strchr("diu", spec->type)) {
        spec->type = 'd';
        if (v.kind == JINJA_FLOAT && fabs(v.real) < 9e18)
            v = value_int((int64_t)v.real);
        if (spec->precision > 0) /* at least so many digits: no template asks for it */
            run_fail(p->run, "a precision for integers is not supported");
        format_number(b, v, spec);
    } else if (spec->type &&
               (strchr("xXoc", spec->type) ? value_as_int(v, &i)
                                           : strchr("eEfFgG", spec->type) && value_as_number(v, &d))) {
        if (strchr("eEfFgG", spec->type))
            v = value_float(d);
        format_number(b, v, spec);
    } else if (v.kind == JINJA_UNDEFINED) {
        fail_undefined(p->run, v);
    } else {
        run_fail(p->run, "unsupported format character, or a value of type '%s' that does not fit it",
                 value_type(v));
    }
}

struct jinja_value format_percent(struct jinja_run *run, const struct jinja_text *format,
                                  struct jinja_value values)
{
    struct percent p = {.run = run, .format = format, .values = values};
    struct jinja_builder b;
    builder_init(&b, run);
    while (p.at < format->length && run_work(run, 1)) {
        size_t from = p.at;
        while (p.at < format->length && format->bytes[p.at] != '%')
            p.at++;
        builder_add_slice(&b, format, from, p.at);
        if (p.at++ >= format->length)
            break;
        if (peek(&p) == '%') {
            builder_add_slice(&b, format, p.at, p.at + 1);
            p.at++;
            continue;
        }
        struct jinja_value v = value_missing();
        if (peek(&p) == '(')
            v = named_value(&p);
        struct format_spec spec = read_spec(&p);
        if (!value_given(v))
            v = next_value(&p);
        add_value(&p, &b, v, &spec);
    }
    bool all = p.by_name || (values.kind == JINJA_TUPLE
                                 ? p.used == values.list->count
                                 : p.used > 0 || values.kind == JINJA_DICT || values.kind == JINJA_LIST);
    if (!all)
        run_fail(run, "not all arguments converted during string formatting");
    return value_text(builder_text(&b));
}
