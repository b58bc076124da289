#include "engine/text/added_tokens.h"

#include "base/memory.h"
#include "engine/text/char_class.h"
#include "engine/text/utf8.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool added_tokens_add(struct added_tokens *tokens, const struct added_token *token)
{
    assert(token->length > 0);
    if (tokens->count == tokens->capacity) {
        size_t capacity = tokens->capacity ? 2 * tokens->capacity : 16;
        struct added_token *grown = try_realloc(tokens->token, capacity, sizeof *grown);
        if (!grown)
            return false;
        tokens->token = grown;
        tokens->capacity = capacity;
    }
    struct added_token *new = &tokens->token[tokens->count];
    *new = *token;
    new->order = (uint32_t)tokens->count++;
    new->text = xstrndup(token->text, token->length);
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct added_token *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->length < y->length ? x->length : y->length);
    if (order)
        return order;
    if (x->length != y->length)
        return x->length < y->length ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

void added_tokens_ready(struct added_tokens *tokens)
{
    if (tokens->count)
        qsort(tokens->token, tokens->count, sizeof *tokens->token, compare);
    size_t i = 0;
    for (unsigned byte = 0; byte < 257; byte++) {
        while (i < tokens->count && (unsigned char)tokens->token[i].text[0] < byte)
            i++;
        tokens->first[byte] = (uint32_t)i;
    }
}

void added_tokens_release(struct added_tokens *tokens)
{
    for (size_t i = 0; i < tokens->count; i++)
        free(tokens->token[i].text);
    free(tokens->token);
    *tokens = (struct added_tokens){0};
}

/* The first of token[low..high) whose byte at depth is at least byte; all of them are longer than depth. */
static size_t lower_bound(const struct added_tokens *tokens, size_t low, size_t high, size_t depth,
                          unsigned byte)
{
    while (low < high) {
        size_t middle = (low + high) / 2;
        if ((unsigned char)tokens->token[middle].text[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest token at a place, or NULL. */
static const struct added_token *longest_at(const struct added_tokens *tokens, struct span text, size_t at)
{
    const struct added_token *best = NULL;
    unsigned byte = (unsigned char)text.text[at];
    size_t low = tokens->first[byte], high = tokens->first[byte + 1];
    for (size_t depth = 0; low < high; depth++) {
        if (depth > 0) {
            if (at + depth == text.length)
                break;
            byte = (unsigned char)text.text[at + depth];
            low = lower_bound(tokens, low, high, depth, byte);
            high = lower_bound(tokens, low, high, depth, byte + 1);
        }
        if (low == high || (text.mark && (text.mark[at + depth] & MARK_PLAIN)))
            break;
        if (tokens->token[low].length ==
            depth + 1) { /* it, and others of the same text, stand before longer ones */
            best = &tokens->token[low];
            while (low < high && tokens->token[low].length == depth + 1)
                low++;
        }
    }
    return best;
}

static bool is_inside_word(struct span text, size_t begin, size_t end)
{
    size_t length;
    return (begin > 0 && char_is_word(utf8_get(text.text + utf8_back(text.text, begin), &length))) ||
           (end < text.length && char_is_word(utf8_get(text.text + end, &length)));
}

static bool is_free_space(struct span text, size_t at, size_t *length)
{
    return char_is_space(utf8_get(text.text + at, length)) && !(text.mark && (text.mark[at] & MARK_PLAIN));
}

bool added_tokens_next(struct added_walk *walk, struct added_match *match)
{
    struct span text = walk->text;
    if (walk->tokens->count == 0)
        return false;
    while (walk->next < text.length) {
        size_t begin = walk->next, length;
        const struct added_token *token = longest_at(walk->tokens, text, begin);
        if (!token) {
            walk->next++;
            continue;
        }
        size_t end = walk->next = begin + token->length;
        if (token->single_word && is_inside_word(text, begin, end))
            continue;
        while (token->lstrip && begin > walk->taken) {
            size_t before = utf8_back(text.text, begin);
            if (before < walk->taken || !is_free_space(text, before, &length))
                break;
            begin = before;
        }
        while (token->rstrip && end < text.length && is_free_space(text, end, &length))
            end += length;
        *match = (struct added_match){begin, end, token->id};
        walk->taken = end;
        return true;
    }
    return false;
}
