/* What Python's str does to whole strings: case, stripping, replacing, lines. Filters and methods use it. */
#include "engine/text/jinja_builtin.h"
#include "engine/text/jinja_unicode.h"

/* A capital sigma at a word's end has a small form of its own: after a letter with case, before none. */
static bool is_final_sigma(const struct jinja_text *text, size_t at, size_t after)
{
    uint32_t c = 0;
    size_t i = at;
    bool before = false;
    while (i > 0) {
        i = unicode_last(text->bytes, i);
        unicode_read(text->bytes + i, text->length - i, &c);
        if (unicode_is_case_ignorable(c))
            continue;
        before = unicode_is_cased(c);
        break;
    }
    while (before && after < text->length) {
        after += unicode_read(text->bytes + after, text->length - after, &c);
        if (!unicode_is_case_ignorable(c))
            return !unicode_is_cased(c);
    }
    return before;
}

static void add_mapped(struct jinja_builder *b, const struct jinja_text *text, size_t at, size_t n,
                       uint32_t c, enum unicode_case to)
{
    uint32_t mapped[3];
    int count = unicode_map(c, to, mapped);
    if (to == UNICODE_LOWER && c == 0x3A3 && run_work(b->run, text->length / 16))
        mapped[0] = is_final_sigma(text, at, at + n) ? 0x3C2 : 0x3C3;
    for (int k = 0; k < count; k++)
        builder_add_char(b, mapped[k], text->plain[at]);
}

struct jinja_value text_map_case(struct jinja_run *run, const struct jinja_text *text, int unicode_case)
{
    struct jinja_builder b;
    uint32_t c;
    builder_init(&b, run);
    run_work(run, text->length / 4);
    for (size_t i = 0, n; i < text->length && !run->failed; i += n) {
        n = unicode_read(text->bytes + i, text->length - i, &c);
        add_mapped(&b, text, i, n, c, (enum unicode_case)unicode_case);
    }
    return value_text(builder_text(&b));
}

struct jinja_value text_capitalize(struct jinja_run *run, const struct jinja_text *text)
{
    struct jinja_builder b;
    uint32_t c;
    builder_init(&b, run);
    run_work(run, text->length / 4);
    for (size_t i = 0, n; i < text->length && !run->failed; i += n) {
        n = unicode_read(text->bytes + i, text->length - i, &c);
        add_mapped(&b, text, i, n, c, i ? UNICODE_LOWER : UNICODE_TITLE);
    }
    return value_text(builder_text(&b));
}

static bool is_stripped(const struct jinja_text *chars, uint32_t c)
{
    uint32_t other;
    if (!chars)
        return unicode_is_space(c);
    for (size_t i = 0; i < chars->length;) {
        i += unicode_read(chars->bytes + i, chars->length - i, &other);
        if (other == c)
            return true;
    }
    return false;
}

const struct jinja_text *text_strip(struct jinja_run *run, const struct jinja_text *text,
                                    struct jinja_value set, bool left, bool right)
{
    const struct jinja_text *chars = value_given(set) && set.kind != JINJA_NONE ? arg_text(run, set) : NULL;
    size_t begin = 0, end = text->length;
    uint64_t cost = 1 + (chars ? chars->length / 16 : 0);
    uint32_t c;
    while (left && begin < end && run_work(run, cost)) {
        size_t n = unicode_read(text->bytes + begin, end - begin, &c);
        if (!is_stripped(chars, c))
            break;
        begin += n;
    }
    while (right && begin < end && run_work(run, cost)) {
        size_t last = begin + unicode_last(text->bytes + begin, end - begin);
        unicode_read(text->bytes + last, end - last, &c);
        if (!is_stripped(chars, c))
            break;
        end = last;
    }
    return begin == 0 && end == text->length ? text : text_bytes(run, text, begin, end);
}

/* Between all characters, and at both ends: what replacing the empty string means. */
static const struct jinja_text *interleave(struct jinja_run *run, const struct jinja_text *text,
                                           const struct jinja_text *new, int64_t count)
{
    struct jinja_builder b;
    uint32_t c;
    builder_init(&b, run);
    for (size_t i = 0, n; i <= text->length && run_work(run, 1); i += n) {
        if (count != 0)
            builder_add_text(&b, new);
        count -= count > 0;
        if (i == text->length)
            break;
        n = unicode_read(text->bytes + i, text->length - i, &c);
        builder_add_slice(&b, text, i, i + n);
    }
    return builder_text(&b);
}

const struct jinja_text *text_replace(struct jinja_run *run, const struct jinja_text *text,
                                      const struct jinja_text *old, const struct jinja_text *new,
                                      int64_t count)
{
    struct jinja_builder b;
    size_t from = 0;
    if (count == 0)
        return text;
    if (!old->length)
        return interleave(run, text, new, count);
    builder_init(&b, run);
    run_work(run, text->length / 16);
    for (; count != 0 && run_work(run, 1); count -= count > 0) {
        size_t at = text_find(text, old, from);
        if (at > text->length)
            break;
        builder_add_slice(&b, text, from, at);
        builder_add_text(&b, new);
        from = at + old->length;
    }
    builder_add_slice(&b, text, from, text->length);
    return builder_text(&b);
}

const struct jinja_list *text_lines(struct jinja_run *run, const struct jinja_text *text, bool keep_ends)
{
    struct jinja_list *lines = list_new(run, 0);
    size_t from = 0;
    uint32_t c;
    run_work(run, text->length / 4);
    for (size_t i = 0; i < text->length && !run->failed;) {
        size_t end = i;
        i += unicode_read(text->bytes + i, text->length - i, &c);
        if (!unicode_is_line_end(c))
            continue;
        if (c == '\r' && i < text->length && text->bytes[i] == '\n')
            i++;
        list_add(run, lines, value_text(text_bytes(run, text, from, keep_ends ? i : end)));
        from = i;
    }
    if (from < text->length)
        list_add(run, lines, value_text(text_bytes(run, text, from, text->length)));
    return run->failed ? NULL : lines;
}
