#include "engine/text/jinja_builtin.h"
#include "engine/text/jinja_unicode.h"

static struct jinja_value str_upper(struct jinja_run *run, const struct jinja_given *given)
{
    return text_map_case(run, given->self.text, UNICODE_UPPER);
}

static struct jinja_value str_lower(struct jinja_run *run, const struct jinja_given *given)
{
    return text_map_case(run, given->self.text, UNICODE_LOWER);
}

static struct jinja_value str_casefold(struct jinja_run *run, const struct jinja_given *given)
{
    return text_map_case(run, given->self.text, UNICODE_FOLD);
}

static struct jinja_value str_capitalize(struct jinja_run *run, const struct jinja_given *given)
{
    return text_capitalize(run, given->self.text);
}

/* A word begins at each letter with case that follows none. */
static struct jinja_value str_title(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *text = given->self.text;
    struct jinja_builder b;
    uint32_t c, to[3];
    bool inside = false;
    builder_init(&b, run);
    for (size_t i = 0, n; i < text->length && run_work(run, 1); i += n) {
        n = unicode_read(text->bytes + i, text->length - i, &c);
        int count = unicode_map(c, inside ? UNICODE_LOWER : UNICODE_TITLE, to);
        for (int k = 0; k < count; k++)
            builder_add_char(&b, to[k], text->plain[i]);
        inside = unicode_is_cased(c);
    }
    return value_text(builder_text(&b));
}

static struct jinja_value str_swapcase(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *text = given->self.text;
    struct jinja_builder b;
    uint32_t c, to[3];
    builder_init(&b, run);
    for (size_t i = 0, n; i < text->length && run_work(run, 1); i += n) {
        n = unicode_read(text->bytes + i, text->length - i, &c);
        int count = unicode_map(c, unicode_is_upper(c) ? UNICODE_LOWER : UNICODE_UPPER, to);
        for (int k = 0; k < count; k++)
            builder_add_char(&b, to[k], text->plain[i]);
    }
    return value_text(builder_text(&b));
}

static struct jinja_value str_strip(struct jinja_run *run, const struct jinja_given *given)
{
    return value_text(text_strip(run, given->self.text, given->arg[0], true, true));
}

static struct jinja_value str_lstrip(struct jinja_run *run, const struct jinja_given *given)
{
    return value_text(text_strip(run, given->self.text, given->arg[0], true, false));
}

static struct jinja_value str_rstrip(struct jinja_run *run, const struct jinja_given *given)
{
    return value_text(text_strip(run, given->self.text, given->arg[0], false, true));
}

static struct jinja_value str_replace(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *old = arg_text(run, given->arg[0]), *new = arg_text(run, given->arg[1]);
    int64_t count = arg_int(run, given->arg[2], -1);
    return value_text(text_replace(run, given->self.text, old, new, count));
}

static struct jinja_value str_splitlines(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_list *lines = text_lines(run, given->self.text, arg_bool(given->arg[0], false));
    return lines ? value_list(lines) : value_nothing();
}

static struct jinja_value str_join(struct jinja_run *run, const struct jinja_given *given)
{
    struct jinja_cursor cursor = cursor_open(run, given->arg[0]);
    struct jinja_builder b;
    struct jinja_value item;
    builder_init(&b, run);
    for (bool first = true; cursor_next(run, &cursor, &item); first = false) {
        if (!first)
            builder_add_text(&b, given->self.text);
        builder_add_text(&b, arg_text(run, item));
    }
    return value_text(builder_text(&b));
}

/* The part [start, end) that find, count, startswith, ... look at; its first byte in *begin. False: start is
 * behind. */
static bool window(struct jinja_run *run, const struct jinja_given *given, size_t *begin,
                   const struct jinja_text **part)
{
    const struct jinja_text *text = given->self.text;
    int64_t n = (int64_t)text->chars;
    int64_t from = given->arg[1].kind == JINJA_NONE ? 0 : arg_int(run, given->arg[1], 0);
    int64_t to = given->arg[2].kind == JINJA_NONE ? n : arg_int(run, given->arg[2], n);
    from = from < 0 ? (from + n < 0 ? 0 : from + n) : from;
    to = to < 0 ? (to + n < 0 ? 0 : to + n) : to > n ? n : to;
    if (from > n || from > to || run->failed)
        return false;
    *begin = text_offset(text, (size_t)from);
    *part = from == 0 && to == n ? text : text_chars(run, text, (size_t)from, (size_t)to);
    return run_work(run, 1 + (*part)->length / 16);
}

static struct jinja_value find_in(struct jinja_run *run, const struct jinja_given *given, bool last)
{
    const struct jinja_text *part, *needle = arg_text(run, given->arg[0]);
    size_t begin, at;
    if (!window(run, given, &begin, &part) || !run_work(run, last ? text_find_last_cost(part, needle) : 1))
        return value_int(-1);
    at = last ? text_find_last(part, needle, part->length) : text_find(part, needle, 0);
    if (at > part->length)
        return value_int(-1);
    return value_int((int64_t)unicode_count(given->self.text->bytes, begin + at));
}

static struct jinja_value str_find(struct jinja_run *run, const struct jinja_given *given)
{
    return find_in(run, given, false);
}

static struct jinja_value str_rfind(struct jinja_run *run, const struct jinja_given *given)
{
    return find_in(run, given, true);
}

static struct jinja_value must_find(struct jinja_run *run, struct jinja_value found)
{
    if (found.integer < 0)
        run_fail(run, "substring not found");
    return found;
}

static struct jinja_value str_index(struct jinja_run *run, const struct jinja_given *given)
{
    return must_find(run, find_in(run, given, false));
}

static struct jinja_value str_rindex(struct jinja_run *run, const struct jinja_given *given)
{
    return must_find(run, find_in(run, given, true));
}

static struct jinja_value str_count(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *part, *needle = arg_text(run, given->arg[0]);
    size_t begin;
    int64_t count = 0;
    if (!window(run, given, &begin, &part))
        return value_int(0);
    if (!needle->length)
        return value_int((int64_t)part->chars + 1);
    for (size_t at = text_find(part, needle, 0); at <= part->length && run_work(run, 1);
         at = text_find(part, needle, at + needle->length))
        count++;
    return value_int(count);
}

static bool has_end(const struct jinja_text *part, const struct jinja_text *end, bool at_start)
{
    if (end->length > part->length)
        return false;
    return text_find(&(struct jinja_text){.bytes = part->bytes + (at_start ? 0 : part->length - end->length),
                                          .length = end->length},
                     end, 0) == 0;
}

static struct jinja_value test_end(struct jinja_run *run, const struct jinja_given *given, bool at_start)
{
    const struct jinja_text *part;
    struct jinja_value ends = given->arg[0];
    size_t begin;
    if (ends.kind != JINJA_TUPLE)
        arg_text(run, ends);
    if (!window(run, given, &begin, &part))
        return value_bool(false);
    if (ends.kind != JINJA_TUPLE)
        return value_bool(has_end(part, arg_text(run, ends), at_start));
    for (size_t i = 0; i < ends.list->count && run_work(run, 1); i++)
        if (has_end(part, arg_text(run, ends.list->at[i]), at_start) && !run->failed)
            return value_bool(true);
    return value_bool(false);
}

static struct jinja_value str_startswith(struct jinja_run *run, const struct jinja_given *given)
{
    return test_end(run, given, true);
}

static struct jinja_value str_endswith(struct jinja_run *run, const struct jinja_given *given)
{
    return test_end(run, given, false);
}

static struct jinja_value str_removeprefix(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *text = given->self.text, *prefix = arg_text(run, given->arg[0]);
    if (!has_end(text, prefix, true))
        return given->self;
    return value_text(text_bytes(run, text, prefix->length, text->length));
}

static struct jinja_value str_removesuffix(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *text = given->self.text, *suffix = arg_text(run, given->arg[0]);
    if (!has_end(text, suffix, false))
        return given->self;
    return value_text(text_bytes(run, text, 0, text->length - suffix->length));
}

static struct jinja_value str_format(struct jinja_run *run, const struct jinja_given *given)
{
    return format_braces(run, given->self.text, given->call);
}

/* Whether every character is of a kind, and there is one at least. */
static struct jinja_value all_are(const struct jinja_text *text, bool (*is)(uint32_t))
{
    uint32_t c;
    bool all = text->length > 0;
    for (size_t i = 0; all && i < text->length;) {
        i += unicode_read(text->bytes + i, text->length - i, &c);
        all = is(c);
    }
    return value_bool(all);
}

static bool is_alnum(uint32_t c)
{
    return unicode_is_word(c) && c != '_';
}

static bool is_ascii(uint32_t c)
{
    return c < 0x80;
}

static struct jinja_value str_isdigit(struct jinja_run *run, const struct jinja_given *given)
{
    run_work(run, given->self.text->length / 16);
    return all_are(given->self.text, unicode_is_digit);
}

static struct jinja_value str_isalpha(struct jinja_run *run, const struct jinja_given *given)
{
    run_work(run, given->self.text->length / 16);
    return all_are(given->self.text, unicode_is_alpha);
}

static struct jinja_value str_isalnum(struct jinja_run *run, const struct jinja_given *given)
{
    run_work(run, given->self.text->length / 16);
    return all_are(given->self.text, is_alnum);
}

static struct jinja_value str_isspace(struct jinja_run *run, const struct jinja_given *given)
{
    run_work(run, given->self.text->length / 16);
    return all_are(given->self.text, unicode_is_space);
}

static struct jinja_value str_isascii(struct jinja_run *run, const struct jinja_given *given)
{
    run_work(run, given->self.text->length / 16);
    return value_bool(!given->self.text->length || all_are(given->self.text, is_ascii).boolean);
}

static struct jinja_value all_cased(struct jinja_run *run, const struct jinja_text *text,
                                    bool (*is)(uint32_t))
{
    uint32_t c;
    bool any = false;
    run_work(run, text->length / 16);
    for (size_t i = 0; i < text->length;) {
        i += unicode_read(text->bytes + i, text->length - i, &c);
        if (unicode_is_cased(c) && !is(c))
            return value_bool(false);
        any = any || is(c);
    }
    return value_bool(any);
}

static struct jinja_value str_isupper(struct jinja_run *run, const struct jinja_given *given)
{
    return all_cased(run, given->self.text, unicode_is_upper);
}

static struct jinja_value str_islower(struct jinja_run *run, const struct jinja_given *given)
{
    return all_cased(run, given->self.text, unicode_is_lower);
}

/* left + text + right paddings; Python's center puts the odd one left when the width is odd. */
static struct jinja_value pad(struct jinja_run *run, const struct jinja_given *given, int where)
{
    const struct jinja_text *text = given->self.text;
    int64_t width = arg_int(run, given->arg[0], 0);
    const struct jinja_text *fill =
        value_given(given->arg[1]) ? arg_text(run, given->arg[1]) : text_of(run, " ");
    if (fill->chars != 1)
        run_fail(run, "the fill character must be exactly one character long");
    if (run->failed || width <= (int64_t)text->chars)
        return given->self;
    size_t total = (size_t)width - text->chars, left = 0;
    if (where < 0)
        left = total;
    else if (where == 0)
        left = total / 2 + (total & (size_t)width & 1);
    struct jinja_builder b;
    builder_init(&b, run);
    builder_add_times(&b, fill, left);
    builder_add_text(&b, text);
    builder_add_times(&b, fill, total - left);
    return value_text(builder_text(&b));
}

static struct jinja_value str_center(struct jinja_run *run, const struct jinja_given *given)
{
    return pad(run, given, 0);
}

static struct jinja_value str_ljust(struct jinja_run *run, const struct jinja_given *given)
{
    return pad(run, given, 1);
}

static struct jinja_value str_rjust(struct jinja_run *run, const struct jinja_given *given)
{
    return pad(run, given, -1);
}

static struct jinja_value str_zfill(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *text = given->self.text;
    int64_t width = arg_int(run, given->arg[0], 0);
    if (run->failed || width <= (int64_t)text->chars)
        return given->self;
    size_t sign = text->length && (text->bytes[0] == '-' || text->bytes[0] == '+');
    struct jinja_builder b;
    builder_init(&b, run);
    builder_add_slice(&b, text, 0, sign);
    builder_add_times(&b, text_of(run, "0"), (size_t)width - text->chars);
    builder_add_slice(&b, text, sign, text->length);
    return value_text(builder_text(&b));
}

const struct jinja_builtin jinja_text_methods[] = {
    {"upper", "", str_upper},
    {"lower", "", str_lower},
    {"casefold", "", str_casefold},
    {"capitalize", "", str_capitalize},
    {"title", "", str_title},
    {"swapcase", "", str_swapcase},
    {"strip", "chars?", str_strip},
    {"lstrip", "chars?", str_lstrip},
    {"rstrip", "chars?", str_rstrip},
    {"replace", "old new count?", str_replace},
    {"split", "sep? maxsplit?", text_split},
    {"rsplit", "sep? maxsplit?", text_rsplit},
    {"partition", "sep", text_partition},
    {"rpartition", "sep", text_rpartition},
    {"splitlines", "keepends?", str_splitlines},
    {"join", "iterable", str_join},
    {"find", "sub start? end?", str_find},
    {"rfind", "sub start? end?", str_rfind},
    {"index", "sub start? end?", str_index},
    {"rindex", "sub start? end?", str_rindex},
    {"count", "sub start? end?", str_count},
    {"startswith", "prefix start? end?", str_startswith},
    {"endswith", "suffix start? end?", str_endswith},
    {"removeprefix", "prefix", str_removeprefix},
    {"removesuffix", "suffix", str_removesuffix},
    {"format", "*", str_format},
    {"isdigit", "", str_isdigit},
    {"isdecimal", "", str_isdigit},
    {"isnumeric", "", str_isdigit},
    {"isalpha", "", str_isalpha},
    {"isalnum", "", str_isalnum},
    {"isspace", "", str_isspace},
    {"isascii", "", str_isascii},
    {"isupper", "", str_isupper},
    {"islower", "", str_islower},
    {"center", "width fillchar?", str_center},
    {"ljust", "width fillchar?", str_ljust},
    {"rjust", "width fillchar?", str_rjust},
    {"zfill", "width", str_zfill},
    {NULL, NULL, NULL},
};
