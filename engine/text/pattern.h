/* A pattern of a tokenizer.json, {"String": ...} or {"Regex": ...}, and the walk over its matches in a text.
 */
#ifndef VARGPT_ENGINE_TEXT_PATTERN_H
#define VARGPT_ENGINE_TEXT_PATTERN_H

#include "base/error.h"
#include "engine/text/regex.h"

struct pattern {
    char *literal; /* a string to find as it stands, or NULL */
    size_t literal_length;
    struct regex *regex; /* else this */
};

enum status pattern_init(struct pattern *, const char *text, size_t length, bool is_regex, struct error *err);
void pattern_release(struct pattern *);

/* One walk; set pattern, run, text and length, the rest zero. */
struct pattern_walk {
    const struct pattern *pattern;
    struct regex_run *run;
    const char *text;
    size_t length;
    size_t next;     /* where the search goes on */
    size_t last_end; /* of the match before, when there was one */
    bool found_one;
};

/* The next match, not overlapping the one before; an empty one only where none has just ended. */
enum regex_result pattern_next(struct pattern_walk *, size_t *begin, size_t *end);

#endif
