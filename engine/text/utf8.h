/* UTF-8, as the tokenizer needs it: checked reading one character at a time, and lossy reading by the rule
 * that Rust's and Python's libraries share (Unicode 16, section 3.9, "maximal subparts"): each longest prefix
 * of a character that is cut short becomes one U+FFFD. */
#ifndef VARGPT_ENGINE_TEXT_UTF8_H
#define VARGPT_ENGINE_TEXT_UTF8_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

enum utf8_kind {
    UTF8_WHOLE,   /* a character */
    UTF8_INVALID, /* bytes that no continuation makes a character */
    UTF8_CUT,     /* the text ends inside what may be a character */
};

/* Characters of n bytes of UTF-8. */
static inline size_t utf8_count(const char *s, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)s[i] & 0xC0) != 0x80;
    return count;
}

/* Looks at the n > 0 bytes at s: how many of them (*length) belong to the first character or to its damaged
 * remains. */
enum utf8_kind utf8_look(const char *s, size_t n, size_t *length);

/* The bytes of the longest prefix that is whole characters only. */
size_t utf8_valid_prefix(const char *s, size_t n);

/* Appends s with U+FFFD for each damaged part (also for one that is cut short by the end). */
void utf8_append_lossy(struct buffer *out, const char *s, size_t n);

/* Writes a character (a valid code point) and returns its 1 to 4 bytes. */
size_t utf8_put(char out[4], uint32_t code);
void utf8_append(struct buffer *out, uint32_t code);

/* The character at s and its length; s must be valid UTF-8. */
static inline uint32_t utf8_get(const char *s, size_t *length)
{
    const unsigned char *u = (const unsigned char *)s;
    if (u[0] < 0x80) {
        *length = 1;
        return u[0];
    }
    if (u[0] < 0xE0) {
        *length = 2;
        return (u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu);
    }
    if (u[0] < 0xF0) {
        *length = 3;
        return (u[0] & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu);
    }
    *length = 4;
    return (u[0] & 0x07u) << 18 | (u[1] & 0x3Fu) << 12 | (u[2] & 0x3Fu) << 6 | (u[3] & 0x3Fu);
}

/* The start of the character before position p > 0 of valid UTF-8. */
static inline size_t utf8_back(const char *s, size_t p)
{
    do {
        p--;
    } while (p > 0 && ((unsigned char)s[p] & 0xC0) == 0x80);
    return p;
}

#endif
