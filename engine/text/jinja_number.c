#include "engine/text/jinja_number.h"

#include "engine/text/jinja_unicode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DIGITS = 400 };

/* The text without white space around it and single underscores between digits, NUL-terminated. */
static bool tidy(const struct jinja_text *text, char out[MAX_DIGITS])
{
    size_t begin = 0, end = text->length, n = 0;
    uint32_t c;
    while (begin < end) {
        size_t step = unicode_read(text->bytes + begin, end - begin, &c);
        if (!unicode_is_space(c))
            break;
        begin += step;
    }
    while (end > begin) {
        size_t last = begin + unicode_last(text->bytes + begin, end - begin);
        unicode_read(text->bytes + last, end - last, &c);
        if (!unicode_is_space(c))
            break;
        end = last;
    }
    if (begin == end || end - begin >= MAX_DIGITS || memchr(text->bytes + begin, 0, end - begin))
        return false;
    for (size_t i = begin; i < end; i++) {
        char at = text->bytes[i];
        if ((unsigned char)at >= 0x80)
            return false; /* Python reads other scripts' digits; no template needs them */
        if (at == '_') {
            if (i == begin || i + 1 == end || text->bytes[i + 1] == '_')
                return false;
            continue;
        }
        out[n++] = at;
    }
    out[n] = 0;
    return true;
}

bool number_read_int(const struct jinja_text *text, int64_t base, int64_t *out)
{
    char digits[MAX_DIGITS], *end;
    if ((base != 0 && base < 2) || base > 36 || !tidy(text, digits))
        return false;
    char *s = digits;
    bool negative = *s == '-';
    s += *s == '-' || *s == '+';
    char letter = s[0] == '0' ? (char)(s[1] | 0x20) : 0;
    int radix = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
    if (radix != 10 && (base == 0 || base == radix)) {
        s += 2;
        base = radix;
    } else if (base == 0) {
        base = 10;
    }
    if (strpbrk(s, "+- \t\n\v\f\r") || !*s ||
        (base == 16 && letter == 'x' && s[0] == '0' && (s[1] | 0x20) == 'x'))
        return false;
    errno = 0;
    long long value = strtoll(s, &end, (int)base);
    if (*end || errno)
        return false;
    *out = negative ? -value : value;
    return true;
}

bool number_read_real(const struct jinja_text *text, double *out)
{
    char digits[MAX_DIGITS], *end;
    if (!tidy(text, digits) || strpbrk(digits, "xXpP() \t\n\v\f\r"))
        return false;
    *out = strtod(digits, &end);
    return end > digits && !*end;
}
