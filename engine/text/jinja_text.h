/* Strings whose bytes remember where they came from, and the builder that makes them.
 * Beside every byte lies a mark: 1 when it came from message content ("plain"), 0 when it came from the
 * template or the program. Whatever makes a string out of others copies the marks with the bytes; in doubt a
 * byte is plain. Strings are immutable and share memory: a slice points into the string that it was cut from.
 */
#ifndef VARGPT_ENGINE_TEXT_JINJA_TEXT_H
#define VARGPT_ENGINE_TEXT_JINJA_TEXT_H

#include "engine/text/jinja_run.h"

struct jinja_text {
    const char *bytes;    /* [length], UTF-8, not NUL-terminated */
    const uint8_t *plain; /* [length], 0 or 1 */
    size_t length;
    size_t chars; /* characters as Python counts them; == length when each is one byte */
    bool markup;  /* made by the filters safe and escape: escape leaves it alone, + escapes the other side */
};

/* All of these return &jinja_text_empty once the run has failed, never NULL. */
extern const struct jinja_text jinja_text_empty;

/* A copy of the bytes, all of one origin. */
const struct jinja_text *text_copy(struct jinja_run *, const char *bytes, size_t length, bool plain);
const struct jinja_text *text_of(struct jinja_run *, const char *literal);
/* Bytes begin..end-1 of a text, sharing its memory. */
const struct jinja_text *text_bytes(struct jinja_run *, const struct jinja_text *, size_t begin, size_t end);
/* Characters begin..end-1, 0 <= begin <= end <= chars, sharing its memory. */
const struct jinja_text *text_chars(struct jinja_run *, const struct jinja_text *, size_t begin, size_t end);
/* The same text with markup set. */
const struct jinja_text *text_marked(struct jinja_run *, const struct jinja_text *);
/* The byte offset of a character, 0 <= index <= chars. */
size_t text_offset(const struct jinja_text *, size_t index);
bool text_equal(const struct jinja_text *, const struct jinja_text *);
bool text_is(const struct jinja_text *, const char *literal);
/* As memcmp: the order of code points. */
int text_compare(const struct jinja_text *, const struct jinja_text *);
/* Where needle begins at or after byte `from`, or length + 1 when nowhere. An empty needle is found at once.
 */
size_t text_find(const struct jinja_text *, const struct jinja_text *needle, size_t from);
/* Where the last needle that ends at or before byte `until` begins, or length + 1. */
size_t text_find_last(const struct jinja_text *, const struct jinja_text *needle, size_t until);
/* The work of that at worst: it compares at every place. */
static inline uint64_t text_find_last_cost(const struct jinja_text *text, const struct jinja_text *needle)
{
    return 1 + (uint64_t)(text->length / 16) * (1 + needle->length / 16);
}

/* Makes one string. Sticky: after a failure of the run it takes no more. */
struct jinja_builder {
    struct jinja_run *run;
    char *bytes;
    uint8_t *plain;
    size_t length, capacity;
};

void builder_init(struct jinja_builder *, struct jinja_run *);
void builder_add(struct jinja_builder *, const char *bytes, size_t n, bool plain);
void builder_add_literal(struct jinja_builder *, const char *literal); /* from the template */
void builder_add_text(struct jinja_builder *, const struct jinja_text *);
void builder_add_slice(struct jinja_builder *, const struct jinja_text *, size_t begin,
                       size_t end); /* bytes */
void builder_add_char(struct jinja_builder *, uint32_t c, bool plain);
void builder_add_times(struct jinja_builder *, const struct jinja_text *, size_t times);
/* The string so far; the builder must not be used again. */
const struct jinja_text *builder_text(struct jinja_builder *);

#endif
