/* A regular expression being rewritten for PCRE2, and the sets of characters it names: shared by
 * regex_syntax.c and regex_property.c. */
#ifndef VARGPT_ENGINE_TEXT_REGEX_TRANSLATION_H
#define VARGPT_ENGINE_TEXT_REGEX_TRANSLATION_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REGEX_DEPTH = 64 };

struct translation {
    const char *source;
    size_t length, at;
    struct buffer *out;
    ptrdiff_t atom; /* where in out the thing begins that a quantifier would repeat */
    bool repeated;  /* it has a quantifier already */
    bool at_start;  /* nothing of this group's alternatives has been written */
    size_t depth;   /* of open groups; group[] holds where each began */
    ptrdiff_t group[REGEX_DEPTH];
    struct error *err;
    enum status status;
};

/* Notes that something is not supported; always false. */
bool translation_refuse(struct translation *, const char *what);

/* The byte so far ahead of the position, or -1. */
int translation_peek(const struct translation *, size_t ahead);

void translation_put(struct translation *, const char *text);
void translation_put_code(struct translation *, uint32_t code);

/* The items for \d, \h, \s, \w in a class; NULL for other letters. */
const char *shorthand_items(int letter);
void put_shorthand(struct translation *, int letter);

/* A shorthand by itself, in brackets of its own. */
void put_wrapped_shorthand(struct translation *, int letter, bool negative);

/* Class items for a property's name; negative gives its complement, where that is one item. */
bool put_property(struct translation *, const char *name, size_t length, bool negative);

/* \p{Name}, \p{^Name}, \P{Name}; the position is at the p. Outside a class the items get brackets of their
 * own. */
bool read_property(struct translation *, bool in_class);

/* [:name:] in a class; the position is at its bracket. */
bool read_posix_bracket(struct translation *);

#endif
