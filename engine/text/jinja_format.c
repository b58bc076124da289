#include "engine/text/jinja_format.h"

#include "engine/text/jinja_print.h"
#include "engine/text/jinja_unicode.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void add_fill(struct jinja_builder *b, uint32_t fill, size_t n)
{
    char bytes[4];
    size_t length = unicode_write(bytes, fill);
    builder_add_times(b, text_copy(b->run, bytes, length, false), n);
}

/* sign and prefix, then digits, within the width. */
static void add_padded(struct jinja_builder *b, const char *prefix, const struct jinja_text *body,
                       const struct format_spec *spec, char align)
{
    size_t used = strlen(prefix) + body->chars;
    size_t space = spec->width > (int64_t)used ? (size_t)spec->width - used : 0;
    size_t before = align == '>' ? space : align == '^' ? space / 2 : 0;
    add_fill(b, spec->fill, before);
    builder_add_literal(b, prefix);
    if (align == '=')
        add_fill(b, spec->fill, space);
    builder_add_text(b, body);
    if (align == '<' || align == '^')
        add_fill(b, spec->fill, space - before);
}

void format_text(struct jinja_builder *b, const struct jinja_text *text, const struct format_spec *spec)
{
    if (spec->precision >= 0 && (uint64_t)spec->precision < text->chars)
        text = text_chars(b->run, text, 0, (size_t)spec->precision);
    add_padded(b, "", text, spec, spec->align ? spec->align : '<');
}

/* Digits of the integer part with commas between the thousands. */
static void add_grouped(struct jinja_builder *b, const char *digits)
{
    size_t whole = strspn(digits, "0123456789");
    for (size_t i = 0; i < whole; i++) {
        if (i && (whole - i) % 3 == 0)
            builder_add_literal(b, ",");
        builder_add(b, digits + i, 1, false);
    }
    builder_add_literal(b, digits + whole);
}

static void add_digits(struct jinja_builder *b, bool negative, const char *radix_prefix, const char *digits,
                       const struct format_spec *spec)
{
    char prefix[8];
    struct jinja_builder body;
    snprintf(prefix, sizeof prefix, "%s%s",
             negative            ? "-"
             : spec->sign == '+' ? "+"
             : spec->sign == ' ' ? " "
                                 : "",
             radix_prefix);
    builder_init(&body, b->run);
    if (spec->comma)
        add_grouped(&body, digits);
    else
        builder_add_literal(&body, digits);
    add_padded(b, prefix, builder_text(&body), spec, spec->align ? spec->align : '>');
}

static void format_int(struct jinja_builder *b, int64_t i, const struct format_spec *spec)
{
    char digits[80];
    uint64_t size = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    unsigned radix = spec->type == 'x' || spec->type == 'X' ? 16
                     : spec->type == 'o'                    ? 8
                     : spec->type == 'b'                    ? 2
                                                            : 10;
    char *end = digits + sizeof digits, *at = end;
    *--at = 0;
    do {
        *--at = (spec->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[size % radix];
        size /= radix;
    } while (size);
    const char *prefix = !spec->alternate    ? ""
                         : spec->type == 'x' ? "0x"
                         : spec->type == 'X' ? "0X"
                         : spec->type == 'o' ? "0o"
                         : spec->type == 'b' ? "0b"
                                             : "";
    add_digits(b, i < 0, prefix, at, spec);
}

static void format_real(struct jinja_builder *b, double d, const struct format_spec *spec)
{
    char digits[700];
    char type = spec->type == '%' ? 'f' : spec->type;
    double size = fabs(spec->type == '%' ? d * 100 : d);
    int precision = spec->precision < 0 ? 6 : (int)spec->precision;
    char how[] = {'%', '.', '*', type ? type : 'g', 0};
    if (isnan(size) || isinf(size))
        snprintf(digits, sizeof digits, "%s", isnan(size) ? "nan" : "inf");
    else if (!type && spec->precision < 0)
        print_real(digits, sizeof digits, size);
    else
        snprintf(digits, sizeof digits, how, precision, size);
    size_t length = strlen(digits);
    if (spec->type == '%')
        snprintf(digits + length, sizeof digits - length, "%%");
    add_digits(b, signbit(d) && !isnan(d), "", digits, spec);
}

void format_number(struct jinja_builder *b, struct jinja_value v, const struct format_spec *spec)
{
    int64_t i;
    double d;
    char type = spec->type;
    if (spec->width > FORMAT_MAX_WIDTH || spec->precision > FORMAT_MAX_PRECISION) {
        run_fail(b->run, "a width or precision is too large");
    } else if (type == 'c' && value_as_int(v, &i) && i >= 0 && i <= 0x10FFFF) {
        char bytes[4];
        size_t n = unicode_write(bytes, (uint32_t)i);
        add_padded(b, "", text_copy(b->run, bytes, n, false), spec, spec->align ? spec->align : '<');
    } else if (value_as_int(v, &i) && (!type || strchr("dixXobn", type))) {
        format_int(b, i, spec);
    } else if (value_as_number(v, &d) && (!type || strchr("eEfFgG%", type))) {
        format_real(b, d, spec);
    } else if (v.kind == JINJA_UNDEFINED) {
        fail_undefined(b->run, v);
    } else {
        run_fail(b->run, "format code '%c' does not fit a value of type '%s'", type ? type : ' ',
                 value_type(v));
    }
}
