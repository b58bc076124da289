/* The regular expressions of a tokenizer.json: Oniguruma's syntax (Ruby's flavour, which the tokenizers
 * library uses), rewritten for PCRE2 (regex_syntax.c, regex_property.c) and run with limits (regex.c). PCRE2
 * appears nowhere else. */
#ifndef VARGPT_ENGINE_TEXT_REGEX_H
#define VARGPT_ENGINE_TEXT_REGEX_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct regex;

/* Compiles; STATUS_BAD_FILE for a mistake in the pattern and for what cannot be said in PCRE2. Immutable
 * afterwards. */
enum status regex_open(struct regex **out, const char *pattern, size_t length, struct error *err);
void regex_close(struct regex *); /* accepts NULL */

/* What one thread needs to search; zero-initialise, release when done. It also holds the clock that ends a
 * search which takes too long: the time allowed (10 s) is for all searches made with it. */
struct regex_run {
    void *matches, *limits; /* PCRE2's */
    int64_t deadline;
    unsigned calls;
};
void regex_run_release(struct regex_run *);

enum regex_result {
    REGEX_FOUND,
    REGEX_NONE,
    REGEX_FAILED, /* over a limit, or out of memory */
};

/* The first match in text[0..length) that begins at from or later: bytes *begin..*end-1. text must be valid
 * UTF-8. */
enum regex_result regex_find(const struct regex *, struct regex_run *, const char *text, size_t length,
                             size_t from, size_t *begin, size_t *end);

/* Rewrites an Oniguruma pattern for PCRE2 with UTF, UCP and MULTILINE set (regex_syntax.c, regex_property.c).
 */
enum status regex_translate(const char *pattern, size_t length, struct buffer *out, struct error *err);

/* True when PCRE2 compiles this pattern. */
bool regex_is_known(const char *pattern);

#endif
