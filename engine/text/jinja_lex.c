#include "engine/text/jinja_lex.h"

#include "engine/text/jinja_unicode.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BRACKETS = 200 };

struct lexer {
    struct jinja_run *run;
    struct jinja_tokens *tokens;
    const struct jinja_text *source;
    const char *s;
    size_t n, at;
    int line;
    bool line_starts; /* the last piece ended with a newline, or there was none */
    char bracket[MAX_BRACKETS];
    int open_brackets;
};

static void add_token(struct lexer *lx, struct jinja_token token)
{
    struct jinja_tokens *tokens = lx->tokens;
    if (!run_work(lx->run, 1))
        return;
    if (tokens->count == tokens->capacity) {
        size_t capacity = tokens->capacity ? tokens->capacity * 2 : 256;
        struct jinja_token *at = run_grow(lx->run, tokens->at, tokens->count, capacity, sizeof *at);
        if (!at)
            return;
        tokens->at = at;
        tokens->capacity = capacity;
    }
    token.line = lx->line;
    tokens->at[tokens->count++] = token;
}

static void add_text_token(struct lexer *lx, enum jinja_token_kind kind, size_t begin, size_t end)
{
    add_token(lx, (struct jinja_token){.kind = kind, .text = text_bytes(lx->run, lx->source, begin, end)});
}

static void fail_here(struct lexer *lx, const char *words)
{
    lx->run->line = lx->line;
    run_fail(lx->run, "%s", words);
}

/* Moves to `to`, counting the lines passed. */
static void advance(struct lexer *lx, size_t to)
{
    for (size_t i = lx->at; i < to; i++)
        lx->line += lx->s[i] == '\n';
    lx->line_starts = to > lx->at ? lx->s[to - 1] == '\n' : lx->line_starts;
    lx->at = to;
}

static bool looking_at(const struct lexer *lx, size_t at, const char *literal)
{
    size_t n = strlen(literal);
    return at <= lx->n && lx->n - at >= n && memcmp(lx->s + at, literal, n) == 0;
}

static size_t skip_space(const struct lexer *lx, size_t at)
{
    uint32_t c;
    while (at < lx->n) {
        size_t n = unicode_read(lx->s + at, lx->n - at, &c);
        if (!unicode_is_space(c))
            break;
        at += n;
    }
    return at;
}

static size_t strip_end(const struct lexer *lx, size_t begin, size_t end)
{
    uint32_t c;
    while (end > begin) {
        size_t last = begin + unicode_last(lx->s + begin, end - begin);
        unicode_read(lx->s + last, end - last, &c);
        if (!unicode_is_space(c))
            break;
        end = last;
    }
    return end;
}

/* Where the tag that closes with `close` ends when its end stands at `at`, white space control included; 0 if
 * not. */
static size_t match_end(const struct lexer *lx, size_t at, const char *close, bool is_variable)
{
    if (looking_at(lx, at, "-") && looking_at(lx, at + 1, close))
        return skip_space(lx, at + 3);
    if (!is_variable && looking_at(lx, at, "+") && looking_at(lx, at + 1, close))
        return at + 3;
    if (!looking_at(lx, at, close))
        return 0;
    return at + 2 + (!is_variable && looking_at(lx, at + 2, "\n"));
}

/* The text before a tag: stripped as the tag's sign and lstrip_blocks ask. Does not move. */
static void add_data(struct lexer *lx, size_t begin, size_t tag, char sign, bool is_variable)
{
    size_t end = tag;
    if (sign == '-') {
        end = strip_end(lx, begin, tag);
    } else if (sign != '+' && !is_variable) {
        size_t line = tag;
        while (line > begin && lx->s[line - 1] != '\n')
            line--;
        if ((line > begin || lx->line_starts) && skip_space(lx, line) >= tag)
            end = line;
    }
    if (end > begin)
        add_text_token(lx, TOKEN_DATA, begin, end);
}

static char sign_at(const struct lexer *lx, size_t at)
{
    return at < lx->n && (lx->s[at] == '-' || lx->s[at] == '+') ? lx->s[at] : 0;
}

/* The byte after {% raw %} when such a tag stands at `tag`, or 0. */
static size_t match_raw(const struct lexer *lx, size_t tag)
{
    size_t at = tag + 2;
    at = skip_space(lx, at + (sign_at(lx, at) != 0));
    if (!looking_at(lx, at, "raw"))
        return 0;
    at = skip_space(lx, at + 3);
    if (looking_at(lx, at, "-%}"))
        return skip_space(lx, at + 3);
    return looking_at(lx, at, "%}") ? at + 2 : 0;
}

static void lex_raw(struct lexer *lx, size_t after)
{
    advance(lx, after);
    for (size_t tag = after; tag + 1 < lx->n; tag++) {
        if (!looking_at(lx, tag, "{%"))
            continue;
        char sign = sign_at(lx, tag + 2);
        size_t at = skip_space(lx, tag + 2 + (sign != 0));
        if (!looking_at(lx, at, "endraw"))
            continue;
        size_t end = match_end(lx, skip_space(lx, at + 6), "%}", false);
        if (!end)
            continue;
        add_data(lx, after, tag, sign, false);
        advance(lx, end);
        return;
    }
    if (after < lx->n) /* Jinja does not mind one that opens at the very end */
        fail_here(lx, "missing end of raw block");
}

static void lex_comment(struct lexer *lx, size_t begin)
{
    for (size_t at = begin; at < lx->n; at++) {
        size_t end = match_end(lx, at, "#}", false);
        if (end) {
            advance(lx, end);
            return;
        }
    }
    if (begin < lx->n)
        fail_here(lx, "missing end of comment");
    advance(lx, lx->n);
}

static int hex_digits(const char *s, size_t n, uint32_t *value)
{
    *value = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        *value = *value << 4 | (uint32_t)digit;
    }
    return (int)n;
}

/* One escape, s[0] being the character after the backslash; returns the bytes it takes. */
static size_t unescape(struct lexer *lx, struct jinja_builder *b, const char *s, size_t n)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    const char *simple = strchr(from, s[0]);
    uint32_t c = 0;
    if (s[0] && simple) {
        builder_add(b, &to[simple - from], 1, false);
        return 1;
    }
    if (s[0] == '\n')
        return 1;
    if (s[0] >= '0' && s[0] <= '7') {
        size_t digits = 0;
        while (digits < 3 && digits < n && s[digits] >= '0' && s[digits] <= '7')
            c = c * 8 + (uint32_t)(s[digits++] - '0');
        builder_add_char(b, c, false);
        return digits;
    }
    size_t digits = s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : s[0] == 'U' ? 8 : 0;
    if (!digits) {
        if (s[0] == 'N')
            fail_here(lx, "characters by name (\\N) are not supported");
        builder_add(b, "\\", 1, false); /* no escape: the backslash stays */
        return 0;
    }
    if (n < digits + 1 || hex_digits(s + 1, digits, &c) < 0 || c > 0x10FFFF)
        fail_here(lx, "damaged escape in a string");
    else
        builder_add_char(b, c, false);
    return digits + 1;
}

static void lex_string(struct lexer *lx)
{
    char quote = lx->s[lx->at];
    size_t at = lx->at + 1, from = at;
    struct jinja_builder b;
    builder_init(&b, lx->run);
    while (at < lx->n && lx->s[at] != quote && !lx->run->failed) {
        if (lx->s[at] != '\\') {
            at++;
            continue;
        }
        builder_add(&b, lx->s + from, at - from, false);
        at++;
        if (at < lx->n)
            at += unescape(lx, &b, lx->s + at, lx->n - at);
        from = at;
    }
    if (at >= lx->n) {
        fail_here(lx, "a string without an end");
        return;
    }
    builder_add(&b, lx->s + from, at - from, false);
    add_token(lx, (struct jinja_token){.kind = TOKEN_STRING, .text = builder_text(&b)});
    advance(lx, at + 1);
}

static bool is_digit(const struct lexer *lx, size_t at)
{
    return at < lx->n && lx->s[at] >= '0' && lx->s[at] <= '9';
}

/* Digits with single underscores between them. */
static size_t skip_digits(const struct lexer *lx, size_t at)
{
    while (is_digit(lx, at) || (at < lx->n && lx->s[at] == '_' && is_digit(lx, at + 1)))
        at++;
    return at;
}

static size_t skip_fraction(const struct lexer *lx, size_t at)
{
    size_t end = at;
    if (looking_at(lx, end, ".") && is_digit(lx, end + 1))
        end = skip_digits(lx, end + 1);
    if (end < lx->n && (lx->s[end] == 'e' || lx->s[end] == 'E')) {
        size_t exponent = end + 1;
        exponent += exponent < lx->n && (lx->s[exponent] == '+' || lx->s[exponent] == '-');
        if (is_digit(lx, exponent))
            end = skip_digits(lx, exponent);
    }
    return end;
}

static bool radix_digit(char c, int radix)
{
    if (radix == 16)
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    return c >= '0' && c < '0' + radix;
}

/* The digits of 0x, 0o and 0b numbers; where they end, or `at` when there are none. */
static size_t skip_radix(const struct lexer *lx, size_t at, int *radix)
{
    char c = at + 1 < lx->n && lx->s[at] == '0' ? (char)(lx->s[at + 1] | 0x20) : 0;
    *radix = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 10;
    size_t end = at + 2;
    while (*radix != 10 && end < lx->n) {
        size_t digit = end + (lx->s[end] == '_');
        if (digit >= lx->n || !radix_digit(lx->s[digit], *radix))
            break;
        end = digit + 1;
    }
    return *radix != 10 && end > at + 2 ? end : at;
}

static void lex_number(struct lexer *lx)
{
    char digits[400];
    size_t n = 0, begin = lx->at, end;
    int radix;
    struct jinja_token token = {.kind = TOKEN_INTEGER};
    bool after_dot = begin > 0 && lx->s[begin - 1] == '.';
    end = skip_radix(lx, begin, &radix);
    if (end > begin) {
        begin += 2;
    } else {
        radix = 10;
        end = skip_digits(lx, begin);
        size_t fraction = after_dot ? end : skip_fraction(lx, end);
        if (fraction > end)
            token.kind = TOKEN_FLOAT;
        else if (lx->s[begin] == '0')
            for (end = begin + 1; end < lx->n && (lx->s[end] == '0' || looking_at(lx, end, "_0")); end++)
                continue;
        if (fraction > end && token.kind == TOKEN_FLOAT)
            end = fraction;
    }
    for (size_t i = begin; i < end && n < sizeof digits - 1; i++)
        if (lx->s[i] != '_')
            digits[n++] = lx->s[i];
    digits[n] = 0;
    if (token.kind == TOKEN_FLOAT) {
        token.real = strtod(digits, NULL);
    } else {
        unsigned long long value = strtoull(digits, NULL, radix);
        if (value > INT64_MAX)
            fail_here(lx, "an integer is too large");
        token.integer = (int64_t)value;
    }
    add_token(lx, token);
    advance(lx, end);
}

static void lex_operator(struct lexer *lx)
{
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                            "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                            ">",  "<",  "=",  ".",  ":",  "|",  ",", ";", NULL};
    const char *const *op = operators;
    while (*op && !looking_at(lx, lx->at, *op))
        op++;
    if (!*op) {
        uint32_t c;
        size_t n = unicode_read(lx->s + lx->at, lx->n - lx->at, &c);
        lx->run->line = lx->line;
        run_fail(lx->run, "unexpected character '%.*s'", (int)n, lx->s + lx->at);
        return;
    }
    char c = **op;
    if (c == '(' || c == '[' || c == '{') {
        if (lx->open_brackets == MAX_BRACKETS) {
            fail_here(lx, "nested too deeply");
            return;
        }
        lx->bracket[lx->open_brackets++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
        if (!lx->open_brackets || lx->bracket[--lx->open_brackets] != c) {
            lx->run->line = lx->line;
            run_fail(lx->run, "unexpected '%c'", c);
            return;
        }
    }
    add_text_token(lx, TOKEN_OPERATOR, lx->at, lx->at + strlen(*op));
    advance(lx, lx->at + strlen(*op));
}

static void lex_name(struct lexer *lx)
{
    size_t end = lx->at;
    uint32_t c;
    while (end < lx->n) {
        size_t n = unicode_read(lx->s + end, lx->n - end, &c);
        if (!unicode_is_word(c))
            break;
        end += n;
    }
    add_text_token(lx, TOKEN_NAME, lx->at, end);
    advance(lx, end);
}

static void lex_expression_token(struct lexer *lx)
{
    uint32_t c;
    unicode_read(lx->s + lx->at, lx->n - lx->at, &c);
    if (c >= '0' && c <= '9')
        lex_number(lx);
    else if (c == '\'' || c == '"')
        lex_string(lx);
    else if (c == '_' || unicode_is_alpha(c))
        lex_name(lx);
    else
        lex_operator(lx);
}

/* What stands between {% and %} or {{ and }}. */
static void lex_tag(struct lexer *lx, size_t begin, bool is_variable)
{
    advance(lx, begin);
    add_token(lx, (struct jinja_token){.kind = is_variable ? TOKEN_VARIABLE_BEGIN : TOKEN_BLOCK_BEGIN});
    lx->open_brackets = 0;
    while (!lx->run->failed) {
        size_t end = lx->open_brackets ? 0 : match_end(lx, lx->at, is_variable ? "}}" : "%}", is_variable);
        if (end) {
            add_token(lx, (struct jinja_token){.kind = is_variable ? TOKEN_VARIABLE_END : TOKEN_BLOCK_END});
            advance(lx, end);
            return;
        }
        size_t next = skip_space(lx, lx->at);
        if (next > lx->at)
            advance(lx, next);
        else if (lx->at >= lx->n)
            return; /* the parser complains about the missing end */
        else
            lex_expression_token(lx);
    }
}

static size_t find_tag(const struct lexer *lx, size_t from)
{
    for (size_t at = from; at + 1 < lx->n; at++)
        if (lx->s[at] == '{' && (lx->s[at + 1] == '%' || lx->s[at + 1] == '{' || lx->s[at + 1] == '#'))
            return at;
    return lx->n;
}

static void lex_template(struct lexer *lx)
{
    while (lx->at < lx->n && !lx->run->failed) {
        size_t begin = lx->at, tag = find_tag(lx, begin);
        if (tag == lx->n) {
            add_text_token(lx, TOKEN_DATA, begin, tag);
            advance(lx, tag);
            break;
        }
        char kind = lx->s[tag + 1], sign = sign_at(lx, tag + 2);
        size_t inside = tag + 2 + (sign != 0), raw = kind == '%' ? match_raw(lx, tag) : 0;
        add_data(lx, begin, tag, sign, kind == '{');
        if (raw)
            lex_raw(lx, raw);
        else if (kind == '#')
            lex_comment(lx, inside);
        else
            lex_tag(lx, inside, kind == '{');
    }
}

/* Jinja reads every kind of line end as \n and drops one at the very end. */
static const struct jinja_text *normal_lines(struct jinja_run *run, const char *source, size_t length)
{
    struct jinja_builder b;
    size_t from = 0;
    builder_init(&b, run);
    for (size_t i = 0; i < length; i++) {
        if (source[i] != '\r')
            continue;
        builder_add(&b, source + from, i - from, false);
        builder_add(&b, "\n", 1, false);
        i += i + 1 < length && source[i + 1] == '\n';
        from = i + 1;
    }
    builder_add(&b, source + from, length - from, false);
    if (b.length && b.bytes[b.length - 1] == '\n')
        b.length--;
    return builder_text(&b);
}

void jinja_lex(struct jinja_run *run, const char *source, size_t length, struct jinja_tokens *tokens)
{
    const struct jinja_text *text = normal_lines(run, source, length);
    struct lexer lx = {.run = run,
                       .tokens = tokens,
                       .source = text,
                       .s = text->bytes,
                       .n = text->length,
                       .line = 1,
                       .line_starts = true};
    lex_template(&lx);
    add_token(&lx, (struct jinja_token){.kind = TOKEN_END});
}
