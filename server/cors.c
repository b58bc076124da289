#include "server/cors.h"

#include <string.h>
#include <strings.h>

/* Of a list with commas the next word, without white space: its length, and *list behind it. */
static size_t next_word(const char **list, const char **word)
{
    *list += strspn(*list, ", \t");
    *word = *list;
    size_t n = strcspn(*list, ", \t");
    *list += n;
    return n;
}

static bool has_word(const char *list, const char *wanted, size_t length)
{
    const char *word;
    for (size_t n; (n = next_word(&list, &word)) > 0;)
        if (n == length && strncasecmp(word, wanted, n) == 0)
            return true;
    return false;
}

bool cors_allows_all(const char *list)
{
    return list && has_word(list, "*", 1);
}

bool cors_allows(const char *list, const char *origin)
{
    if (!list || !origin || !*origin)
        return false;
    return cors_allows_all(list) || has_word(list, origin, strlen(origin));
}

void cors_append_headers(struct buffer *out, const char *wanted)
{
    static const char known[] = "authorization, content-type, accept, x-request-id, x-request-timeout, "
                                "openai-organization, openai-project, "
                                "openai-beta";
    static const char family[] = "x-stainless-";
    const char *word;
    for (size_t n; (n = next_word(&wanted, &word)) > 0;) {
        bool sdk = n > sizeof family - 1 && strncasecmp(word, family, sizeof family - 1) == 0;
        if (!sdk && !has_word(known, word, n))
            continue;
        if (out->length)
            buffer_append_text(out, ", ");
        buffer_append(out, word, n);
    }
}
