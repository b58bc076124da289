#include "engine/text/pattern.h"

#include "base/memory.h"
#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

enum status pattern_init(struct pattern *pattern, const char *text, size_t length, bool is_regex,
                         struct error *err)
{
    *pattern = (struct pattern){0};
    if (is_regex ||
        length == 0) /* an empty string matches between all characters, as an empty expression does */
        return regex_open(&pattern->regex, text, length, err);
    pattern->literal = xstrndup(text, length);
    pattern->literal_length = length;
    return STATUS_OK;
}

void pattern_release(struct pattern *pattern)
{
    free(pattern->literal);
    regex_close(pattern->regex);
    *pattern = (struct pattern){0};
}

static enum regex_result find(const struct pattern_walk *walk, size_t *begin, size_t *end)
{
    const struct pattern *pattern = walk->pattern;
    if (pattern->regex)
        return regex_find(pattern->regex, walk->run, walk->text, walk->length, walk->next, begin, end);
    const char *hit =
        memmem(walk->text + walk->next, walk->length - walk->next, pattern->literal, pattern->literal_length);
    if (!hit)
        return REGEX_NONE;
    *begin = (size_t)(hit - walk->text);
    *end = *begin + pattern->literal_length;
    return REGEX_FOUND;
}

enum regex_result pattern_next(struct pattern_walk *walk, size_t *begin, size_t *end)
{
    while (walk->next <= walk->length) {
        enum regex_result result = find(walk, begin, end);
        if (result != REGEX_FOUND)
            return result;
        if (*begin == *end && walk->found_one && walk->last_end == *end) {
            size_t step = 1;
            if (walk->next < walk->length)
                utf8_get(walk->text + walk->next, &step);
            walk->next += step;
            continue;
        }
        walk->next = walk->last_end = *end;
        walk->found_one = true;
        return REGEX_FOUND;
    }
    return REGEX_NONE;
}
