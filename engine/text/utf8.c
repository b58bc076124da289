#include "engine/text/utf8.h"

#include <string.h>

/* The bytes a character with this first byte has, and the range of its second byte (the standard's table
 * 3-7). */
static size_t first_byte(unsigned char c, unsigned char *low, unsigned char *high)
{
    *low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    *high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    if (c < 0x80)
        return 1;
    if (c < 0xC2)
        return 0;
    return c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
}

enum utf8_kind utf8_look(const char *s, size_t n, size_t *length)
{
    const unsigned char *u = (const unsigned char *)s;
    unsigned char low, high;
    size_t need = first_byte(u[0], &low, &high);
    *length = 1;
    if (need == 0)
        return UTF8_INVALID;
    while (*length < need) {
        if (*length == n)
            return UTF8_CUT;
        unsigned char c = u[*length];
        if (c < low || c > high)
            return UTF8_INVALID;
        low = 0x80;
        high = 0xBF;
        ++*length;
    }
    return UTF8_WHOLE;
}

size_t utf8_valid_prefix(const char *s, size_t n)
{
    size_t at = 0, length;
    while (at < n) {
        uint64_t eight;
        if (n - at >= sizeof eight) { /* eight ASCII bytes at a time */
            memcpy(&eight, s + at, sizeof eight);
            if (!(eight & 0x8080808080808080u)) {
                at += sizeof eight;
                continue;
            }
        }
        if (utf8_look(s + at, n - at, &length) != UTF8_WHOLE)
            break;
        at += length;
    }
    return at;
}

void utf8_append_lossy(struct buffer *out, const char *s, size_t n)
{
    while (n > 0) {
        size_t good = utf8_valid_prefix(s, n), bad;
        buffer_append(out, s, good);
        s += good;
        n -= good;
        if (n == 0)
            return;
        utf8_look(s, n, &bad);
        buffer_append_text(out, UTF8_REPLACEMENT);
        s += bad;
        n -= bad;
    }
}

size_t utf8_put(char out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

void utf8_append(struct buffer *out, uint32_t code)
{
    char bytes[4];
    buffer_append(out, bytes, utf8_put(bytes, code));
}
