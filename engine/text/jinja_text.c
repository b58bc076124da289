#include "engine/text/jinja_text.h"

#include "base/memory.h"
#include "engine/text/jinja_unicode.h"

#include <string.h>

const struct jinja_text jinja_text_empty = {"", (const uint8_t *)"", 0, 0, false};

static const struct jinja_text *make_text(struct jinja_run *run, const char *bytes, const uint8_t *plain,
                                          size_t length, size_t chars)
{
    struct jinja_text *text = run_alloc(run, 1, sizeof *text);
    if (!text)
        return &jinja_text_empty;
    *text = (struct jinja_text){bytes, plain, length, chars, false};
    return text;
}

const struct jinja_text *text_copy(struct jinja_run *run, const char *bytes, size_t length, bool plain)
{
    struct jinja_builder b;
    builder_init(&b, run);
    builder_add(&b, bytes, length, plain);
    return builder_text(&b);
}

const struct jinja_text *text_of(struct jinja_run *run, const char *literal)
{
    return text_copy(run, literal, strlen(literal), false);
}

const struct jinja_text *text_bytes(struct jinja_run *run, const struct jinja_text *text, size_t begin,
                                    size_t end)
{
    size_t length = end - begin;
    if (!run_work(run, 1 + length / 16))
        return &jinja_text_empty;
    size_t chars = text->chars == text->length ? length : unicode_count(text->bytes + begin, length);
    return make_text(run, text->bytes + begin, text->plain + begin, length, chars);
}

const struct jinja_text *text_marked(struct jinja_run *run, const struct jinja_text *text)
{
    struct jinja_text *marked = run_alloc(run, 1, sizeof *marked);
    if (!marked)
        return &jinja_text_empty;
    *marked = *text;
    marked->markup = true;
    return marked;
}

size_t text_offset(const struct jinja_text *text, size_t index)
{
    return text->chars == text->length ? index : unicode_offset(text->bytes, text->length, index);
}

const struct jinja_text *text_chars(struct jinja_run *run, const struct jinja_text *text, size_t begin,
                                    size_t end)
{
    if (text->chars != text->length && !run_work(run, 1 + text->length / 16))
        return &jinja_text_empty;
    size_t from = text_offset(text, begin), to = from;
    if (text->chars == text->length)
        to = end;
    else
        to += unicode_offset(text->bytes + from, text->length - from, end - begin);
    return make_text(run, text->bytes + from, text->plain + from, to - from, end - begin);
}

bool text_equal(const struct jinja_text *a, const struct jinja_text *b)
{
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

bool text_is(const struct jinja_text *text, const char *literal)
{
    return text->length == strlen(literal) && memcmp(text->bytes, literal, text->length) == 0;
}

int text_compare(const struct jinja_text *a, const struct jinja_text *b)
{
    size_t n = a->length < b->length ? a->length : b->length;
    int order = memcmp(a->bytes, b->bytes, n);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

size_t text_find(const struct jinja_text *text, const struct jinja_text *needle, size_t from)
{
    if (from > text->length)
        return text->length + 1;
    if (!needle->length)
        return from;
    const char *at = needle->length == 1
                         ? memchr(text->bytes + from, needle->bytes[0], text->length - from)
                         : memmem(text->bytes + from, text->length - from, needle->bytes, needle->length);
    return at ? (size_t)(at - text->bytes) : text->length + 1;
}

size_t text_find_last(const struct jinja_text *text, const struct jinja_text *needle, size_t until)
{
    if (needle->length > until)
        return text->length + 1;
    for (size_t at = until - needle->length;; at--) {
        if (memcmp(text->bytes + at, needle->bytes, needle->length) == 0)
            return at;
        if (!at)
            return text->length + 1;
    }
}

void builder_init(struct jinja_builder *b, struct jinja_run *run)
{
    memset(b, 0, sizeof *b);
    b->run = run;
}

/* Room for n more bytes; false when the run has failed. */
static bool make_room(struct jinja_builder *b, size_t n)
{
    size_t needed;
    if (!size_add(b->length, n, &needed) || needed > SIZE_MAX / 4) {
        run_fail(b->run, "a string is too long");
        return false;
    }
    if (!run_work(b->run, n / 16))
        return false;
    if (needed <= b->capacity)
        return true;
    size_t capacity = b->capacity ? b->capacity * 2 : n;
    if (capacity < needed)
        capacity = needed;
    char *bytes = run_grow(b->run, b->bytes, b->length, capacity, 1);
    uint8_t *plain = run_grow(b->run, b->plain, b->length, capacity, 1);
    if (!bytes || !plain)
        return false;
    b->bytes = bytes;
    b->plain = plain;
    b->capacity = capacity;
    return true;
}

void builder_add(struct jinja_builder *b, const char *bytes, size_t n, bool plain)
{
    if (!n || !make_room(b, n))
        return;
    memcpy(b->bytes + b->length, bytes, n);
    memset(b->plain + b->length, plain, n);
    b->length += n;
}

void builder_add_literal(struct jinja_builder *b, const char *literal)
{
    builder_add(b, literal, strlen(literal), false);
}

void builder_add_slice(struct jinja_builder *b, const struct jinja_text *text, size_t begin, size_t end)
{
    size_t n = end - begin;
    if (!n || !make_room(b, n))
        return;
    memcpy(b->bytes + b->length, text->bytes + begin, n);
    memcpy(b->plain + b->length, text->plain + begin, n);
    b->length += n;
}

void builder_add_text(struct jinja_builder *b, const struct jinja_text *text)
{
    builder_add_slice(b, text, 0, text->length);
}

void builder_add_char(struct jinja_builder *b, uint32_t c, bool plain)
{
    char bytes[4];
    builder_add(b, bytes, unicode_write(bytes, c), plain);
}

void builder_add_times(struct jinja_builder *b, const struct jinja_text *text, size_t times)
{
    size_t total;
    if (!times || !text->length)
        return;
    if (!size_mul(text->length, times, &total)) {
        run_fail(b->run, "a string is too long");
        return;
    }
    if (!make_room(b, total))
        return;
    for (size_t i = 0; i < times; i++)
        builder_add_text(b, text);
}

const struct jinja_text *builder_text(struct jinja_builder *b)
{
    if (b->run->failed || !b->length)
        return &jinja_text_empty;
    return make_text(b->run, b->bytes, b->plain, b->length, unicode_count(b->bytes, b->length));
}
