#include "engine/text/jinja_unicode.h"

#include <utf8proc.h>

static bool continues(const char *bytes, size_t n, size_t i)
{
    return i < n && ((unsigned char)bytes[i] & 0xC0) == 0x80;
}

size_t unicode_read(const char *bytes, size_t n, uint32_t *c)
{
    unsigned char lead = (unsigned char)bytes[0];
    if (lead < 0x80) {
        *c = lead;
        return 1;
    }
    *c = UNICODE_BYTE + lead;
    size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4)
        return 1;
    uint32_t value = lead & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (!continues(bytes, n, i))
            return 1;
        value = value << 6 | ((unsigned char)bytes[i] & 0x3F);
    }
    if ((length == 3 && value < 0x800) || (length == 4 && (value < 0x10000 || value > 0x10FFFF)))
        return 1;
    *c = value;
    return length;
}

size_t unicode_write(char out[4], uint32_t c)
{
    if (c < 0x80 || c >= UNICODE_BYTE) {
        out[0] = (char)(c < 0x80 ? c : c - UNICODE_BYTE);
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

size_t unicode_count(const char *bytes, size_t n)
{
    size_t chars = 0;
    uint32_t c;
    for (size_t i = 0; i < n; chars++)
        i += unicode_read(bytes + i, n - i, &c);
    return chars;
}

size_t unicode_offset(const char *bytes, size_t n, size_t chars)
{
    size_t i = 0;
    uint32_t c;
    while (i < n && chars-- > 0)
        i += unicode_read(bytes + i, n - i, &c);
    return i;
}

size_t unicode_last(const char *bytes, size_t n)
{
    uint32_t c;
    for (size_t back = 2; back <= 4 && back <= n; back++)
        if ((unsigned char)bytes[n - back] >= 0xC0)
            return unicode_read(bytes + n - back, back, &c) == back ? n - back : n - 1;
    return n - 1;
}

bool unicode_is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
           c == 0x3000;
}

bool unicode_is_line_end(uint32_t c)
{
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

static utf8proc_category_t category(uint32_t c)
{
    return c < UNICODE_BYTE ? utf8proc_category((utf8proc_int32_t)c) : UTF8PROC_CATEGORY_CN;
}

bool unicode_is_printable(uint32_t c)
{
    if (c < 0x7F)
        return c >= 0x20;
    utf8proc_category_t k = category(c);
    return k != UTF8PROC_CATEGORY_CN && k < UTF8PROC_CATEGORY_ZS;
}

bool unicode_is_alpha(uint32_t c)
{
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool unicode_is_digit(uint32_t c)
{
    return category(c) == UTF8PROC_CATEGORY_ND;
}

bool unicode_is_word(uint32_t c)
{
    utf8proc_category_t k = category(c);
    return c == '_' || (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) ||
           (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
}

bool unicode_is_upper(uint32_t c)
{
    return c < UNICODE_BYTE && utf8proc_isupper((utf8proc_int32_t)c);
}

bool unicode_is_lower(uint32_t c)
{
    return c < UNICODE_BYTE && utf8proc_islower((utf8proc_int32_t)c);
}

bool unicode_is_title(uint32_t c)
{
    return category(c) == UTF8PROC_CATEGORY_LT;
}

bool unicode_is_cased(uint32_t c)
{
    return unicode_is_upper(c) || unicode_is_lower(c) || unicode_is_title(c);
}

bool unicode_is_case_ignorable(uint32_t c)
{
    utf8proc_category_t k = category(c);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
           k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK || c == '\'' || c == '.' || c == ':' ||
           c == 0xB7 || c == 0x2018 || c == 0x2019 || c == 0x2024 || c == 0x2027;
}

/* Characters whose case takes more than one character: Unicode's SpecialCasing.txt, the unconditional part.
 */
struct special_case {
    uint16_t from, to[3];
};

static const struct special_case upper_case[] = {
    {0x00DF, {0x0053, 0x0053, 0}},      {0x0149, {0x02BC, 0x004E, 0}},
    {0x01F0, {0x004A, 0x030C, 0}},      {0x0390, {0x0399, 0x0308, 0x0301}},
    {0x03B0, {0x03A5, 0x0308, 0x0301}}, {0x0587, {0x0535, 0x0552, 0}},
    {0x1E96, {0x0048, 0x0331, 0}},      {0x1E97, {0x0054, 0x0308, 0}},
    {0x1E98, {0x0057, 0x030A, 0}},      {0x1E99, {0x0059, 0x030A, 0}},
    {0x1E9A, {0x0041, 0x02BE, 0}},      {0x1F50, {0x03A5, 0x0313, 0}},
    {0x1F52, {0x03A5, 0x0313, 0x0300}}, {0x1F54, {0x03A5, 0x0313, 0x0301}},
    {0x1F56, {0x03A5, 0x0313, 0x0342}}, {0x1F80, {0x1F08, 0x0399, 0}},
    {0x1F81, {0x1F09, 0x0399, 0}},      {0x1F82, {0x1F0A, 0x0399, 0}},
    {0x1F83, {0x1F0B, 0x0399, 0}},      {0x1F84, {0x1F0C, 0x0399, 0}},
    {0x1F85, {0x1F0D, 0x0399, 0}},      {0x1F86, {0x1F0E, 0x0399, 0}},
    {0x1F87, {0x1F0F, 0x0399, 0}},      {0x1F88, {0x1F08, 0x0399, 0}},
    {0x1F89, {0x1F09, 0x0399, 0}},      {0x1F8A, {0x1F0A, 0x0399, 0}},
    {0x1F8B, {0x1F0B, 0x0399, 0}},      {0x1F8C, {0x1F0C, 0x0399, 0}},
    {0x1F8D, {0x1F0D, 0x0399, 0}},      {0x1F8E, {0x1F0E, 0x0399, 0}},
    {0x1F8F, {0x1F0F, 0x0399, 0}},      {0x1F90, {0x1F28, 0x0399, 0}},
    {0x1F91, {0x1F29, 0x0399, 0}},      {0x1F92, {0x1F2A, 0x0399, 0}},
    {0x1F93, {0x1F2B, 0x0399, 0}},      {0x1F94, {0x1F2C, 0x0399, 0}},
    {0x1F95, {0x1F2D, 0x0399, 0}},      {0x1F96, {0x1F2E, 0x0399, 0}},
    {0x1F97, {0x1F2F, 0x0399, 0}},      {0x1F98, {0x1F28, 0x0399, 0}},
    {0x1F99, {0x1F29, 0x0399, 0}},      {0x1F9A, {0x1F2A, 0x0399, 0}},
    {0x1F9B, {0x1F2B, 0x0399, 0}},      {0x1F9C, {0x1F2C, 0x0399, 0}},
    {0x1F9D, {0x1F2D, 0x0399, 0}},      {0x1F9E, {0x1F2E, 0x0399, 0}},
    {0x1F9F, {0x1F2F, 0x0399, 0}},      {0x1FA0, {0x1F68, 0x0399, 0}},
    {0x1FA1, {0x1F69, 0x0399, 0}},      {0x1FA2, {0x1F6A, 0x0399, 0}},
    {0x1FA3, {0x1F6B, 0x0399, 0}},      {0x1FA4, {0x1F6C, 0x0399, 0}},
    {0x1FA5, {0x1F6D, 0x0399, 0}},      {0x1FA6, {0x1F6E, 0x0399, 0}},
    {0x1FA7, {0x1F6F, 0x0399, 0}},      {0x1FA8, {0x1F68, 0x0399, 0}},
    {0x1FA9, {0x1F69, 0x0399, 0}},      {0x1FAA, {0x1F6A, 0x0399, 0}},
    {0x1FAB, {0x1F6B, 0x0399, 0}},      {0x1FAC, {0x1F6C, 0x0399, 0}},
    {0x1FAD, {0x1F6D, 0x0399, 0}},      {0x1FAE, {0x1F6E, 0x0399, 0}},
    {0x1FAF, {0x1F6F, 0x0399, 0}},      {0x1FB2, {0x1FBA, 0x0399, 0}},
    {0x1FB3, {0x0391, 0x0399, 0}},      {0x1FB4, {0x0386, 0x0399, 0}},
    {0x1FB6, {0x0391, 0x0342, 0}},      {0x1FB7, {0x0391, 0x0342, 0x0399}},
    {0x1FBC, {0x0391, 0x0399, 0}},      {0x1FC2, {0x1FCA, 0x0399, 0}},
    {0x1FC3, {0x0397, 0x0399, 0}},      {0x1FC4, {0x0389, 0x0399, 0}},
    {0x1FC6, {0x0397, 0x0342, 0}},      {0x1FC7, {0x0397, 0x0342, 0x0399}},
    {0x1FCC, {0x0397, 0x0399, 0}},      {0x1FD2, {0x0399, 0x0308, 0x0300}},
    {0x1FD3, {0x0399, 0x0308, 0x0301}}, {0x1FD6, {0x0399, 0x0342, 0}},
    {0x1FD7, {0x0399, 0x0308, 0x0342}}, {0x1FE2, {0x03A5, 0x0308, 0x0300}},
    {0x1FE3, {0x03A5, 0x0308, 0x0301}}, {0x1FE4, {0x03A1, 0x0313, 0}},
    {0x1FE6, {0x03A5, 0x0342, 0}},      {0x1FE7, {0x03A5, 0x0308, 0x0342}},
    {0x1FF2, {0x1FFA, 0x0399, 0}},      {0x1FF3, {0x03A9, 0x0399, 0}},
    {0x1FF4, {0x038F, 0x0399, 0}},      {0x1FF6, {0x03A9, 0x0342, 0}},
    {0x1FF7, {0x03A9, 0x0342, 0x0399}}, {0x1FFC, {0x03A9, 0x0399, 0}},
    {0xFB00, {0x0046, 0x0046, 0}},      {0xFB01, {0x0046, 0x0049, 0}},
    {0xFB02, {0x0046, 0x004C, 0}},      {0xFB03, {0x0046, 0x0046, 0x0049}},
    {0xFB04, {0x0046, 0x0046, 0x004C}}, {0xFB05, {0x0053, 0x0054, 0}},
    {0xFB06, {0x0053, 0x0054, 0}},      {0xFB13, {0x0544, 0x0546, 0}},
    {0xFB14, {0x0544, 0x0535, 0}},      {0xFB15, {0x0544, 0x053B, 0}},
    {0xFB16, {0x054E, 0x0546, 0}},      {0xFB17, {0x0544, 0x053D, 0}},
};

/* The same for title case, where it differs from upper case. */
static const struct special_case title_case[] = {
    {0x00DF, {0x0053, 0x0073, 0}},      {0x0587, {0x0535, 0x0582, 0}},
    {0x1F80, {0x1F88, 0, 0}},           {0x1F81, {0x1F89, 0, 0}},
    {0x1F82, {0x1F8A, 0, 0}},           {0x1F83, {0x1F8B, 0, 0}},
    {0x1F84, {0x1F8C, 0, 0}},           {0x1F85, {0x1F8D, 0, 0}},
    {0x1F86, {0x1F8E, 0, 0}},           {0x1F87, {0x1F8F, 0, 0}},
    {0x1F88, {0x1F88, 0, 0}},           {0x1F89, {0x1F89, 0, 0}},
    {0x1F8A, {0x1F8A, 0, 0}},           {0x1F8B, {0x1F8B, 0, 0}},
    {0x1F8C, {0x1F8C, 0, 0}},           {0x1F8D, {0x1F8D, 0, 0}},
    {0x1F8E, {0x1F8E, 0, 0}},           {0x1F8F, {0x1F8F, 0, 0}},
    {0x1F90, {0x1F98, 0, 0}},           {0x1F91, {0x1F99, 0, 0}},
    {0x1F92, {0x1F9A, 0, 0}},           {0x1F93, {0x1F9B, 0, 0}},
    {0x1F94, {0x1F9C, 0, 0}},           {0x1F95, {0x1F9D, 0, 0}},
    {0x1F96, {0x1F9E, 0, 0}},           {0x1F97, {0x1F9F, 0, 0}},
    {0x1F98, {0x1F98, 0, 0}},           {0x1F99, {0x1F99, 0, 0}},
    {0x1F9A, {0x1F9A, 0, 0}},           {0x1F9B, {0x1F9B, 0, 0}},
    {0x1F9C, {0x1F9C, 0, 0}},           {0x1F9D, {0x1F9D, 0, 0}},
    {0x1F9E, {0x1F9E, 0, 0}},           {0x1F9F, {0x1F9F, 0, 0}},
    {0x1FA0, {0x1FA8, 0, 0}},           {0x1FA1, {0x1FA9, 0, 0}},
    {0x1FA2, {0x1FAA, 0, 0}},           {0x1FA3, {0x1FAB, 0, 0}},
    {0x1FA4, {0x1FAC, 0, 0}},           {0x1FA5, {0x1FAD, 0, 0}},
    {0x1FA6, {0x1FAE, 0, 0}},           {0x1FA7, {0x1FAF, 0, 0}},
    {0x1FA8, {0x1FA8, 0, 0}},           {0x1FA9, {0x1FA9, 0, 0}},
    {0x1FAA, {0x1FAA, 0, 0}},           {0x1FAB, {0x1FAB, 0, 0}},
    {0x1FAC, {0x1FAC, 0, 0}},           {0x1FAD, {0x1FAD, 0, 0}},
    {0x1FAE, {0x1FAE, 0, 0}},           {0x1FAF, {0x1FAF, 0, 0}},
    {0x1FB2, {0x1FBA, 0x0345, 0}},      {0x1FB3, {0x1FBC, 0, 0}},
    {0x1FB4, {0x0386, 0x0345, 0}},      {0x1FB7, {0x0391, 0x0342, 0x0345}},
    {0x1FBC, {0x1FBC, 0, 0}},           {0x1FC2, {0x1FCA, 0x0345, 0}},
    {0x1FC3, {0x1FCC, 0, 0}},           {0x1FC4, {0x0389, 0x0345, 0}},
    {0x1FC7, {0x0397, 0x0342, 0x0345}}, {0x1FCC, {0x1FCC, 0, 0}},
    {0x1FF2, {0x1FFA, 0x0345, 0}},      {0x1FF3, {0x1FFC, 0, 0}},
    {0x1FF4, {0x038F, 0x0345, 0}},      {0x1FF7, {0x03A9, 0x0342, 0x0345}},
    {0x1FFC, {0x1FFC, 0, 0}},           {0xFB00, {0x0046, 0x0066, 0}},
    {0xFB01, {0x0046, 0x0069, 0}},      {0xFB02, {0x0046, 0x006C, 0}},
    {0xFB03, {0x0046, 0x0066, 0x0069}}, {0xFB04, {0x0046, 0x0066, 0x006C}},
    {0xFB05, {0x0053, 0x0074, 0}},      {0xFB06, {0x0053, 0x0074, 0}},
    {0xFB13, {0x0544, 0x0576, 0}},      {0xFB14, {0x0544, 0x0565, 0}},
    {0xFB15, {0x0544, 0x056B, 0}},      {0xFB16, {0x054E, 0x0576, 0}},
    {0xFB17, {0x0544, 0x056D, 0}},
};

static int find_special(const struct special_case *table, size_t n, uint32_t c, uint32_t out[3])
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table[middle].from < c)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == n || table[low].from != c)
        return 0;
    int count = 0;
    while (count < 3 && table[low].to[count]) {
        out[count] = table[low].to[count];
        count++;
    }
    return count;
}

static int fold(uint32_t c, uint32_t out[3])
{
    utf8proc_int32_t folded[4];
    int boundary = 0;
    utf8proc_ssize_t n =
        utf8proc_decompose_char((utf8proc_int32_t)c, folded, 4, UTF8PROC_CASEFOLD, &boundary);
    if (n < 1 || n > 3) {
        out[0] = c;
        return 1;
    }
    for (int i = 0; i < n; i++)
        out[i] = (uint32_t)folded[i];
    return (int)n;
}

int unicode_map(uint32_t c, enum unicode_case to, uint32_t out[3])
{
    int n = 0;
    out[0] = c;
    if (c < 0x80) {
        if (to == UNICODE_LOWER || to == UNICODE_FOLD)
            out[0] = c >= 'A' && c <= 'Z' ? c + 32 : c;
        else
            out[0] = c >= 'a' && c <= 'z' ? c - 32 : c;
        return 1;
    }
    if (c >= UNICODE_BYTE)
        return 1;
    if (to == UNICODE_FOLD)
        return fold(c, out);
    if (to == UNICODE_LOWER) {
        out[0] = c == 0x130 ? 'i' : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
        out[1] = 0x307; /* the dot of a capital I with dot */
        return c == 0x130 ? 2 : 1;
    }
    if (to == UNICODE_TITLE)
        n = find_special(title_case, sizeof title_case / sizeof *title_case, c, out);
    if (!n)
        n = find_special(upper_case, sizeof upper_case / sizeof *upper_case, c, out);
    if (n)
        return n;
    out[0] = (uint32_t)(to == UNICODE_TITLE ? utf8proc_totitle((utf8proc_int32_t)c)
                                            : utf8proc_toupper((utf8proc_int32_t)c));
    return 1;
}
