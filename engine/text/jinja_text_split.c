/* str.split, rsplit, partition and rpartition. */
#include "engine/text/jinja_builtin.h"
#include "engine/text/jinja_unicode.h"

static size_t skip_spaces(const struct jinja_text *text, size_t at, bool spaces)
{
    uint32_t c;
    while (at < text->length) {
        size_t n = unicode_read(text->bytes + at, text->length - at, &c);
        if (unicode_is_space(c) != spaces)
            break;
        at += n;
    }
    return at;
}

static size_t skip_spaces_back(const struct jinja_text *text, size_t end, bool spaces)
{
    uint32_t c;
    while (end > 0) {
        size_t last = unicode_last(text->bytes, end);
        unicode_read(text->bytes + last, end - last, &c);
        if (unicode_is_space(c) != spaces)
            break;
        end = last;
    }
    return end;
}

static void add_part(struct jinja_run *run, struct jinja_list *parts, const struct jinja_text *text,
                     size_t begin, size_t end)
{
    list_add(run, parts, value_text(text_bytes(run, text, begin, end)));
}

static void split_words(struct jinja_run *run, const struct jinja_text *text, int64_t most,
                        struct jinja_list *parts)
{
    size_t at = skip_spaces(text, 0, true);
    for (; at < text->length && most != 0 && run_work(run, 1); most -= most > 0) {
        size_t end = skip_spaces(text, at, false);
        add_part(run, parts, text, at, end);
        at = skip_spaces(text, end, true);
    }
    if (at < text->length)
        add_part(run, parts, text, at, text->length);
}

static void split_words_back(struct jinja_run *run, const struct jinja_text *text, int64_t most,
                             struct jinja_list *parts)
{
    size_t end = skip_spaces_back(text, text->length, true);
    for (; end > 0 && most != 0 && run_work(run, 1); most -= most > 0) {
        size_t begin = skip_spaces_back(text, end, false);
        add_part(run, parts, text, begin, end);
        end = skip_spaces_back(text, begin, true);
    }
    if (end > 0)
        add_part(run, parts, text, 0, end);
}

static void split_at(struct jinja_run *run, const struct jinja_text *text, const struct jinja_text *sep,
                     int64_t most, struct jinja_list *parts)
{
    size_t from = 0, at;
    for (; most != 0 && run_work(run, 1); most -= most > 0) {
        at = text_find(text, sep, from);
        if (at > text->length)
            break;
        add_part(run, parts, text, from, at);
        from = at + sep->length;
    }
    add_part(run, parts, text, from, text->length);
}

static void split_at_back(struct jinja_run *run, const struct jinja_text *text, const struct jinja_text *sep,
                          int64_t most, struct jinja_list *parts)
{
    size_t until = text->length, at;
    for (; most != 0 && run_work(run, 1); most -= most > 0) {
        at = text_find_last(text, sep, until);
        if (at > text->length)
            break;
        add_part(run, parts, text, at + sep->length, until);
        until = at;
    }
    add_part(run, parts, text, 0, until);
}

static void reverse(struct jinja_list *list)
{
    for (size_t i = 0; i < list->count / 2; i++) {
        struct jinja_value v = list->at[i];
        list->at[i] = list->at[list->count - 1 - i];
        list->at[list->count - 1 - i] = v;
    }
}

static struct jinja_value split(struct jinja_run *run, const struct jinja_given *given, bool back)
{
    const struct jinja_text *text = given->self.text, *sep = NULL;
    int64_t most = arg_int(run, given->arg[1], -1);
    struct jinja_list *parts = list_new(run, 0);
    if (value_given(given->arg[0]) && given->arg[0].kind != JINJA_NONE) {
        sep = arg_text(run, given->arg[0]);
        if (!sep->length)
            run_fail(run, "empty separator");
    }
    if (!parts || !run_work(run, text->length / 4 + (back && sep ? text_find_last_cost(text, sep) : 0)))
        return value_nothing();
    if (sep)
        (back ? split_at_back : split_at)(run, text, sep, most, parts);
    else
        (back ? split_words_back : split_words)(run, text, most, parts);
    if (back)
        reverse(parts);
    return value_list(parts);
}

struct jinja_value text_split(struct jinja_run *run, const struct jinja_given *given)
{
    return split(run, given, false);
}

struct jinja_value text_rsplit(struct jinja_run *run, const struct jinja_given *given)
{
    return split(run, given, true);
}

static struct jinja_value partition(struct jinja_run *run, const struct jinja_given *given, bool back)
{
    const struct jinja_text *text = given->self.text, *sep = arg_text(run, given->arg[0]);
    struct jinja_list *parts = list_new(run, 3);
    if (!sep->length)
        run_fail(run, "empty separator");
    if (!parts || !run_work(run, back ? text_find_last_cost(text, sep) : 1 + text->length / 16))
        return value_nothing();
    size_t at = back ? text_find_last(text, sep, text->length) : text_find(text, sep, 0),
           end = at + sep->length;
    if (at > text->length)
        at = end = back ? 0 : text->length;
    add_part(run, parts, text, 0, at);
    add_part(run, parts, text, at, end);
    add_part(run, parts, text, end, text->length);
    return value_tuple(parts);
}

struct jinja_value text_partition(struct jinja_run *run, const struct jinja_given *given)
{
    return partition(run, given, false);
}

struct jinja_value text_rpartition(struct jinja_run *run, const struct jinja_given *given)
{
    return partition(run, given, true);
}
