/* From Oniguruma's Ruby syntax to PCRE2's. Most of a pattern passes through; what differs:
 * - the classes \s \w \h \p{...} and POSIX brackets mean other sets, and are spelt out (with the characters
 * that are newer than PCRE2's tables); \b is made from \w;
 * - (?m) lets the dot match newlines; an option in mid-pattern reaches to the end of its group, over |;
 * - {n,m}+ repeats a repetition, {n}? makes it optional; {,m} is {0,m};
 * - [..] nests; \v is one character; \uHHHH exists.
 * What cannot be said in PCRE2 is refused by name. */
#include "engine/text/regex.h"
#include "engine/text/regex_translation.h"
#include "engine/text/utf8.h"

#include <ctype.h>
#include <string.h>

enum { NO_ATOM = -1 };

static bool comes(const struct translation *t, const char *text)
{
    size_t n = strlen(text);
    return t->length - t->at >= n && memcmp(t->source + t->at, text, n) == 0;
}

static void begin_atom(struct translation *t)
{
    t->atom = (ptrdiff_t)t->out->length;
    t->repeated = false;
    t->at_start = false;
}

static void put_wrapped_word(struct translation *t)
{
    put_wrapped_shorthand(t, 'w', false);
}

static int hex_digit(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(struct translation *t, size_t least, size_t most, uint32_t *code)
{
    size_t n = 0;
    *code = 0;
    while (n < most && hex_digit(translation_peek(t, 0)) >= 0) {
        *code = *code * 16 + (uint32_t)hex_digit(translation_peek(t, 0));
        t->at++;
        n++;
    }
    return n >= least;
}

/* \xHH, \x{H...}, \uHHHH, \0oo; the position is at the letter. */
static bool read_coded(struct translation *t)
{
    uint32_t code;
    int letter = translation_peek(t, 0);
    t->at++;
    if (letter == 'u') {
        if (!read_hex(t, 4, 4, &code))
            return translation_refuse(t, "\\u without four digits");
    } else if (letter == 'x' && translation_peek(t, 0) == '{') {
        t->at++;
        if (!read_hex(t, 1, 8, &code) || translation_peek(t, 0) != '}')
            return translation_refuse(t, "\\x{...} of this form");
        t->at++;
    } else if (letter == 'x') {
        if (!read_hex(t, 1, 2, &code) || code > 0x7F)
            return translation_refuse(t, "\\x for a byte that is not ASCII");
    } else {
        code = 0;
        for (int i = 0; i < 2 && translation_peek(t, 0) >= '0' && translation_peek(t, 0) <= '7'; i++, t->at++)
            code = code * 8 + (uint32_t)(translation_peek(t, 0) - '0');
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return translation_refuse(t, "a code point out of range");
    translation_put_code(t, code);
    return true;
}

/* Copies one character, escaped where it is punctuation. */
static void put_literal(struct translation *t)
{
    size_t length;
    const char *s = t->source + t->at;
    utf8_get(s, &length);
    if (length == 1 && ispunct((unsigned char)*s))
        translation_put(t, "\\");
    buffer_append(t->out, s, length);
    t->at += length;
}

/* What follows a backslash and means one character, in a class or outside. */
static bool read_character_escape(struct translation *t)
{
    static const char same[] = "tnrfae";
    int letter = translation_peek(t, 0);
    if (letter == 'x' || letter == 'u' || letter == '0')
        return read_coded(t);
    if (letter == 'v') {
        translation_put(t, "\\x0B");
        t->at++;
        return true;
    }
    if (letter > 0 && strchr(same, letter)) {
        buffer_printf(t->out, "\\%c", letter);
        t->at++;
        return true;
    }
    if (letter < 0)
        return translation_refuse(t, "a backslash at the end");
    if (strchr("cCM", letter) || isdigit(letter))
        return translation_refuse(t, "this escape");
    put_literal(t);
    return true;
}

static bool read_class_escape(struct translation *t)
{
    int letter = translation_peek(t, 0);
    if (letter == 'p' || letter == 'P')
        return read_property(t, true);
    if (letter > 0 && shorthand_items(letter)) {
        put_shorthand(t, letter);
        t->at++;
        return true;
    }
    if (letter == 'D' || letter == 'S') {
        translation_put(t, letter == 'D' ? "\\P{Nd}" : "\\P{White_Space}");
        t->at++;
        return true;
    }
    if (letter == 'W' || letter == 'H' || letter == 'R' || letter == 'X')
        return translation_refuse(t, "\\W, \\H, \\R or \\X inside a class");
    if (letter == 'b') {
        translation_put(t, "\\x08");
        t->at++;
        return true;
    }
    return read_character_escape(t);
}

/* [...]: the position is behind the opening bracket. Nested brackets without ^ are the same as their items.
 */
static bool read_class(struct translation *t)
{
    translation_put(t, "[");
    if (translation_peek(t, 0) == '^') {
        translation_put(t, "^");
        t->at++;
    }
    size_t nested = 0;
    bool first = true, after_set = false;
    for (;; first = false) {
        int c = translation_peek(t, 0);
        bool set = false;
        if (c < 0)
            return translation_refuse(t, "a class without end");
        if (c == ']' && !first) {
            t->at++;
            if (nested-- == 0)
                break;
            set = true;
        } else if (comes(t, "&&")) {
            return translation_refuse(t, "&& inside a class");
        } else if (comes(t, "[:")) {
            if (!read_posix_bracket(t))
                return false;
            set = true;
        } else if (c == '[') {
            if (translation_peek(t, 1) == '^' || translation_peek(t, 1) == ']')
                return translation_refuse(t, "a negated class inside a class");
            t->at++;
            nested++;
            set = true;
        } else if (c == '\\') {
            t->at++;
            set = translation_peek(t, 0) > 0 && strchr("dhswpPDS", translation_peek(t, 0));
            if (!read_class_escape(t))
                return false;
        } else if (c == '-') { /* behind a set it stands for itself */
            translation_put(t, after_set ? "\\-" : "-");
            t->at++;
        } else {
            put_literal(t);
        }
        after_set = set;
    }
    translation_put(t, "]");
    return true;
}

/* Escapes outside classes; the position is behind the backslash. */
static bool read_escape(struct translation *t)
{
    int letter = translation_peek(t, 0);
    t->at_start = false;
    if (letter == 'b' || letter == 'B') {
        translation_put(t, letter == 'b' ? "(?:(?<=" : "(?:(?<!");
        put_wrapped_word(t);
        translation_put(t, ")(?!");
        put_wrapped_word(t);
        translation_put(t, letter == 'b' ? ")|(?<!" : ")|(?<=");
        put_wrapped_word(t);
        translation_put(t, ")(?=");
        put_wrapped_word(t);
        translation_put(t, "))");
        t->at++;
        return true;
    }
    begin_atom(t);
    if (letter == 'p' || letter == 'P')
        return read_property(t, false);
    if (letter > 0 && letter < 0x80 && shorthand_items(tolower(letter))) {
        put_wrapped_shorthand(t, tolower(letter), isupper(letter));
        t->at++;
        return true;
    }
    if (letter > 0 && strchr("AzZRX", letter)) {
        buffer_printf(t->out, "\\%c", letter);
        t->at++;
        return true;
    }
    if (letter == 'N' || letter == 'O') {
        translation_put(t, letter == 'N' ? "[^\\n]" : "(?s:.)");
        t->at++;
        return true;
    }
    if (letter >= '1' && letter <= '9' && !isdigit(translation_peek(t, 1))) {
        buffer_printf(t->out, "\\g{%c}", letter);
        t->at++;
        return true;
    }
    if (letter > 0 && strchr("GKgky", letter))
        return translation_refuse(t, "\\G, \\K, \\g, \\k or \\y");
    return read_character_escape(t);
}

/* (?imx-imx) and (?imx-imx:...): the position is at the first flag. *alone: it was closed by a parenthesis.
 */
static bool read_options(struct translation *t, bool *alone)
{
    translation_put(t, "(?");
    for (;; t->at++) {
        int c = translation_peek(t, 0);
        if (c == 'i' || c == '-')
            buffer_append_char(t->out, (char)c);
        else if (c == 'm')
            buffer_append_char(t->out, 's');
        else if (c == ')' || c == ':')
            break;
        else
            return translation_refuse(t, "this kind of group");
    }
    *alone = translation_peek(t, 0) == ')';
    buffer_append_char(t->out, *alone ? ')' : ':');
    t->at++;
    return true;
}

static bool open_group(struct translation *t)
{
    static const char *const plain[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"};
    bool was_start = t->at_start;
    ptrdiff_t begin = (ptrdiff_t)t->out->length;
    size_t i;
    for (i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (comes(t, plain[i]))
            break;
    if (i < sizeof plain / sizeof plain[0]) {
        translation_put(t, plain[i]);
        t->at += strlen(plain[i]);
    } else if (comes(t, "(?#")) {
        const char *close = memchr(t->source + t->at, ')', t->length - t->at);
        if (!close)
            return translation_refuse(t, "a comment without end");
        t->at = (size_t)(close + 1 - t->source);
        return true;
    } else if (comes(t, "(?<")) {
        translation_put(t, "(");
        t->at += 3;
        while (isalnum(translation_peek(t, 0)) || translation_peek(t, 0) == '_')
            t->at++;
        if (translation_peek(t, 0) != '>')
            return translation_refuse(t, "this kind of group");
        t->at++;
    } else if (comes(t, "(?")) {
        bool alone = false;
        t->at += 2;
        if (!read_options(t, &alone))
            return false;
        if (alone) /* in mid-pattern it would not reach over | in PCRE2 as it does in Oniguruma */
            return was_start || translation_refuse(t, "an option in mid-pattern");
    } else if (comes(t, "(*")) {
        return translation_refuse(t, "(*");
    } else {
        translation_put(t, "(");
        t->at++;
    }
    if (t->depth == REGEX_DEPTH)
        return translation_refuse(t, "such deep nesting");
    t->group[t->depth++] = begin;
    t->atom = NO_ATOM;
    t->at_start = true;
    return true;
}

/* {n}, {n,}, {,m}, {n,m} at the position: its length, or 0 when the brace is a character. */
static size_t brace_length(const struct translation *t)
{
    size_t i = 1, digits = 0;
    for (; isdigit(translation_peek(t, i)); i++)
        digits++;
    if (translation_peek(t, i) == ',') {
        for (i++; isdigit(translation_peek(t, i)); i++)
            digits++;
    }
    return digits > 0 && translation_peek(t, i) == '}' ? i + 1 : 0;
}

static void wrap_atom(struct translation *t)
{
    size_t from = (size_t)t->atom;
    translation_put(t, "(?:)");
    if (buffer_failed(t->out))
        return;
    char *s = t->out->data;
    memmove(s + from + 3, s + from, t->out->length - 4 - from);
    memcpy(s + from, "(?:", 3);
}

/* ?, *, +, {...} with the mark that follows. */
static bool read_quantifier(struct translation *t, size_t brace)
{
    if (t->atom == NO_ATOM)
        return translation_refuse(t, "a quantifier with nothing to repeat");
    if (t->repeated)
        wrap_atom(t);
    t->repeated = true;
    if (!brace) {
        buffer_append(t->out, t->source + t->at, 1);
        t->at++;
        if (translation_peek(t, 0) == '?' || translation_peek(t, 0) == '+') {
            buffer_append(t->out, t->source + t->at, 1);
            t->at++;
        }
        return true;
    }
    bool exact = !memchr(t->source + t->at, ',', brace);
    if (translation_peek(t, 1) == ',') {
        translation_put(t, "{0");
        buffer_append(t->out, t->source + t->at + 1, brace - 1);
    } else {
        buffer_append(t->out, t->source + t->at, brace);
    }
    t->at += brace;
    if (!exact && translation_peek(t, 0) == '?') {
        translation_put(t, "?");
        t->at++;
    }
    return true;
}

static bool read_item(struct translation *t)
{
    int c = translation_peek(t, 0);
    size_t brace = c == '{' ? brace_length(t) : 0;
    if (c == '(')
        return open_group(t);
    if (c == ')') {
        if (t->depth == 0)
            return translation_refuse(t, "a closing parenthesis without an opening one");
        translation_put(t, ")");
        t->at++;
        t->atom = t->group[--t->depth];
        t->repeated = t->at_start = false;
        return true;
    }
    if (c == '|' || c == '^' || c == '$') {
        buffer_append_char(t->out, (char)c);
        t->at++;
        t->atom = NO_ATOM;
        t->at_start = false;
        return true;
    }
    if (c == '?' || c == '*' || c == '+' || brace)
        return read_quantifier(t, brace);
    if (c == '\\') {
        t->at++;
        t->atom = NO_ATOM;
        return read_escape(t);
    }
    begin_atom(t);
    if (c == '[') {
        t->at++;
        return read_class(t);
    }
    if (c == '.') {
        translation_put(t, ".");
        t->at++;
        return true;
    }
    put_literal(t);
    return true;
}

enum status regex_translate(const char *pattern, size_t length, struct buffer *out, struct error *err)
{
    struct translation t = {
        .source = pattern, .length = length, .out = out, .atom = NO_ATOM, .at_start = true, .err = err};
    if (utf8_valid_prefix(pattern, length) != length)
        return error_set(err, STATUS_BAD_FILE, "a regular expression is not valid UTF-8");
    buffer_append(out, "", 0);
    while (t.at < t.length && read_item(&t))
        ;
    if (!t.status && t.depth > 0)
        translation_refuse(&t, "an open parenthesis");
    if (!t.status && buffer_failed(out))
        return error_set(err, STATUS_BAD_FILE, "regular expression \"%.80s\" is too long", pattern);
    return t.status;
}
