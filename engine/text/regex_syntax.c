/* From Oniguruma's Ruby syntax to PCRE2's. Most of a pattern passes through; what differs:
 * - the classes \s \w \h \p{...} and POSIX brackets mean other sets, and are spelt out (with the characters that are newer
 *   than PCRE2's tables); \b is made from \w;
 * - (?m) lets the dot match newlines; an option in mid-pattern reaches to the end of its group, over |;
 * - {n,m}+ repeats a repetition, {n}? makes it optional; {,m} is {0,m};
 * - [..] nests; \v is one character; \uHHHH exists.
 * What cannot be said in PCRE2 is refused by name. */
#include "engine/text/char_class.h"
#include "engine/text/regex.h"
#include "engine/text/utf8.h"

#include <ctype.h>
#include <string.h>

enum { MAX_DEPTH = 64, NO_ATOM = -1 };

#define WORD_ITEMS "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\xB2\\xB3\\xB9\\xBC-\\xBE"

struct translation {
    const char *source;
    size_t length, at;
    struct buffer *out;
    ptrdiff_t atom;  /* where in out the thing begins that a quantifier would repeat */
    bool repeated;   /* it has a quantifier already */
    bool at_start;   /* nothing of this group's alternatives has been written */
    size_t depth;    /* of open groups; group[] holds where each began */
    ptrdiff_t group[MAX_DEPTH];
    struct error *err;
    enum status status;
};

static bool refuse(struct translation *t, const char *what)
{
    if (!t->status)
        t->status = error_set(t->err, STATUS_BAD_FILE, "regular expression \"%.*s\": %s is not supported",
                              (int)(t->length < 80 ? t->length : 80), t->source, what);
    return false;
}

static int peek(const struct translation *t, size_t ahead)
{
    return t->at + ahead < t->length ? (unsigned char)t->source[t->at + ahead] : -1;
}

static bool comes(const struct translation *t, const char *text)
{
    size_t n = strlen(text);
    return t->length - t->at >= n && memcmp(t->source + t->at, text, n) == 0;
}

static void put(struct translation *t, const char *text)
{
    buffer_append_text(t->out, text);
}

static void put_code(struct translation *t, uint32_t code)
{
    buffer_printf(t->out, "\\x{%X}", (unsigned)code);
}

static void begin_atom(struct translation *t)
{
    t->atom = (ptrdiff_t)t->out->length;
    t->repeated = false;
    t->at_start = false;
}

/* Class items for the recent characters whose category begins with category ("L", "Lo"). */
static void put_recent(struct translation *t, const char *category)
{
    for (int i = 0; i < char_recent_count; i++) {
        const struct char_range *range = &char_recent[i];
        if (strncmp(range->category, category, strlen(category)) != 0)
            continue;
        put_code(t, range->first);
        put(t, "-");
        put_code(t, range->last);
    }
}

/* The items for \d, \h, \s, \w and their capitals' opposites; NULL for other letters. */
static const char *shorthand_items(int letter)
{
    switch (letter) {
    case 'd': return "\\p{Nd}";
    case 'h': return "0-9A-Fa-f";
    case 's': return "\\p{White_Space}";
    case 'w': return WORD_ITEMS;
    default: return NULL;
    }
}

static void put_shorthand(struct translation *t, int letter)
{
    put(t, shorthand_items(letter));
    if (letter == 'd' || letter == 'w')
        put_recent(t, "Nd");
    if (letter == 'w') {
        put_recent(t, "L");
        put_recent(t, "M");
    }
}

static void put_wrapped_word(struct translation *t)
{
    put(t, "[");
    put_shorthand(t, 'w');
    put(t, "]");
}

struct property {
    const char *name; /* without case, spaces, - and _ */
    const char *items;
    const char *recent; /* category prefix of recent characters to add, or NULL */
};

static const struct property properties[] = {
    {"letter", "\\p{L}", "L"},
    {"uppercaseletter", "\\p{Lu}", "Lu"},
    {"lowercaseletter", "\\p{Ll}", "Ll"},
    {"titlecaseletter", "\\p{Lt}", "Lt"},
    {"modifierletter", "\\p{Lm}", "Lm"},
    {"otherletter", "\\p{Lo}", "Lo"},
    {"mark", "\\p{M}", "M"},
    {"nonspacingmark", "\\p{Mn}", "Mn"},
    {"spacingmark", "\\p{Mc}", "Mc"},
    {"enclosingmark", "\\p{Me}", "Me"},
    {"number", "\\p{N}", "N"},
    {"decimalnumber", "\\p{Nd}", "Nd"},
    {"letternumber", "\\p{Nl}", "Nl"},
    {"othernumber", "\\p{No}", "No"},
    {"punctuation", "\\p{P}", "P"},
    {"connectorpunctuation", "\\p{Pc}", "Pc"},
    {"dashpunctuation", "\\p{Pd}", "Pd"},
    {"openpunctuation", "\\p{Ps}", "Ps"},
    {"closepunctuation", "\\p{Pe}", "Pe"},
    {"initialpunctuation", "\\p{Pi}", "Pi"},
    {"finalpunctuation", "\\p{Pf}", "Pf"},
    {"otherpunctuation", "\\p{Po}", "Po"},
    {"symbol", "\\p{S}", "S"},
    {"mathsymbol", "\\p{Sm}", "Sm"},
    {"currencysymbol", "\\p{Sc}", "Sc"},
    {"modifiersymbol", "\\p{Sk}", "Sk"},
    {"othersymbol", "\\p{So}", "So"},
    {"separator", "\\p{Z}", NULL},
    {"spaceseparator", "\\p{Zs}", NULL},
    {"lineseparator", "\\p{Zl}", NULL},
    {"paragraphseparator", "\\p{Zp}", NULL},
    {"other", "\\p{C}", NULL},
    {"control", "\\p{Cc}", NULL},
    {"format", "\\p{Cf}", NULL},
    {"unassigned", "\\p{Cn}", NULL},
    {"privateuse", "\\p{Co}", NULL},
    {"alnum", "\\p{Alphabetic}\\p{Nd}", "L"},
    {"alpha", "\\p{Alphabetic}", "L"},
    {"alphabetic", "\\p{Alphabetic}", "L"},
    {"blank", "\\p{Zs}\\t", NULL},
    {"cntrl", "\\p{Cc}", NULL},
    {"digit", "\\p{Nd}", "Nd"},
    {"lower", "\\p{Lowercase}", "Ll"},
    {"upper", "\\p{Uppercase}", "Lu"},
    {"space", "\\p{White_Space}", NULL},
    {"whitespace", "\\p{White_Space}", NULL},
    {"xdigit", "0-9A-Fa-f", NULL},
    {"ascii", "\\x00-\\x7F", NULL},
    {"any", "\\p{Any}", NULL},
};

static const struct property *find_property(const char *name)
{
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++)
        if (strcmp(properties[i].name, name) == 0)
            return &properties[i];
    return NULL;
}

/* Class items for a property's name; negative gives its complement, where that is one item. */
static bool put_property(struct translation *t, const char *name, size_t length, bool negative)
{
    char plain[40], spelt[64];
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if (c == '_' || c == '-' || c == ' ')
            continue;
        if (!isalnum((unsigned char)c) || n + 1 == sizeof plain)
            return refuse(t, "a property of this name");
        plain[n++] = (char)tolower((unsigned char)c);
    }
    plain[n] = 0;
    if (!negative && strcmp(plain, "word") == 0) {
        put_shorthand(t, 'w');
        return true;
    }
    if (!negative && strcmp(plain, "punct") == 0) {
        put(t, "\\p{P}\\p{S}");
        put_recent(t, "P");
        put_recent(t, "S");
        return true;
    }
    const struct property *known = find_property(plain);
    if (!known && n > 0 && n <= 2 && strchr("lmnpszc", plain[0])) { /* L, lu, ... */
        plain[0] = (char)toupper((unsigned char)plain[0]);
        buffer_printf(t->out, "\\%c{%s}", negative ? 'P' : 'p', plain);
        if (!negative)
            put_recent(t, plain);
        return true;
    }
    if (known && negative) {
        if (known->items[0] != '\\' || strchr(known->items + 1, '\\') || known->items[1] != 'p')
            return refuse(t, "the complement of this property inside a class");
        buffer_printf(t->out, "\\P%s", known->items + 2);
        return true;
    }
    if (known) {
        put(t, known->items);
        if (known->recent)
            put_recent(t, known->recent);
        if (strcmp(plain, "alnum") == 0)
            put_recent(t, "Nd");
        return true;
    }
    const char *kind = "sc:"; /* a script, not PCRE2's script extensions; or a binary property */
    buffer_printf(t->out, "\\%c{", negative ? 'P' : 'p');
    struct buffer probe;
    buffer_init(&probe, sizeof spelt);
    buffer_printf(&probe, "\\p{sc:%s}", plain);
    if (buffer_failed(&probe) || !regex_is_known(probe.data))
        kind = "";
    buffer_release(&probe);
    buffer_printf(t->out, "%s%s}", kind, plain);
    if (!negative && strcmp(plain, "han") == 0) {
        for (int i = 0; i < char_recent_count; i++)
            if (char_recent[i].first >= 0x20000)
                buffer_printf(t->out, "\\x{%X}-\\x{%X}", (unsigned)char_recent[i].first, (unsigned)char_recent[i].last);
    }
    return true;
}

/* \p{Name}, \p{^Name}, \P{Name}; the position is at the p. Outside a class the items get brackets of their own. */
static bool read_property(struct translation *t, bool in_class)
{
    bool negative = peek(t, 0) == 'P';
    const char *open = t->source + t->at + 1;
    const char *close = peek(t, 1) == '{' ? memchr(open, '}', t->length - t->at - 1) : NULL;
    if (!close)
        return refuse(t, "\\p without {name}");
    const char *name = open + 1;
    if (name < close && *name == '^') {
        negative = !negative;
        name++;
    }
    t->at = (size_t)(close + 1 - t->source);
    if (in_class)
        return put_property(t, name, (size_t)(close - name), negative);
    put(t, negative ? "[^" : "[");
    bool fine = put_property(t, name, (size_t)(close - name), false);
    put(t, "]");
    return fine;
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
    while (n < most && hex_digit(peek(t, 0)) >= 0) {
        *code = *code * 16 + (uint32_t)hex_digit(peek(t, 0));
        t->at++;
        n++;
    }
    return n >= least;
}

/* \xHH, \x{H...}, \uHHHH, \0oo; the position is at the letter. */
static bool read_coded(struct translation *t)
{
    uint32_t code;
    int letter = peek(t, 0);
    t->at++;
    if (letter == 'u') {
        if (!read_hex(t, 4, 4, &code))
            return refuse(t, "\\u without four digits");
    } else if (letter == 'x' && peek(t, 0) == '{') {
        t->at++;
        if (!read_hex(t, 1, 8, &code) || peek(t, 0) != '}')
            return refuse(t, "\\x{...} of this form");
        t->at++;
    } else if (letter == 'x') {
        if (!read_hex(t, 1, 2, &code) || code > 0x7F)
            return refuse(t, "\\x for a byte that is not ASCII");
    } else {
        code = 0;
        for (int i = 0; i < 2 && peek(t, 0) >= '0' && peek(t, 0) <= '7'; i++, t->at++)
            code = code * 8 + (uint32_t)(peek(t, 0) - '0');
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return refuse(t, "a code point out of range");
    put_code(t, code);
    return true;
}

/* Copies one character, escaped where it is punctuation. */
static void put_literal(struct translation *t)
{
    size_t length;
    const char *s = t->source + t->at;
    utf8_get(s, &length);
    if (length == 1 && ispunct((unsigned char)*s))
        put(t, "\\");
    buffer_append(t->out, s, length);
    t->at += length;
}

/* What follows a backslash and means one character, in a class or outside. */
static bool read_character_escape(struct translation *t)
{
    static const char same[] = "tnrfae";
    int letter = peek(t, 0);
    if (letter == 'x' || letter == 'u' || letter == '0')
        return read_coded(t);
    if (letter == 'v') {
        put(t, "\\x0B");
        t->at++;
        return true;
    }
    if (letter > 0 && strchr(same, letter)) {
        buffer_printf(t->out, "\\%c", letter);
        t->at++;
        return true;
    }
    if (letter < 0)
        return refuse(t, "a backslash at the end");
    if (strchr("cCM", letter) || isdigit(letter))
        return refuse(t, "this escape");
    put_literal(t);
    return true;
}

static bool read_class_escape(struct translation *t)
{
    int letter = peek(t, 0);
    if (letter == 'p' || letter == 'P')
        return read_property(t, true);
    if (letter > 0 && shorthand_items(letter)) {
        put_shorthand(t, letter);
        t->at++;
        return true;
    }
    if (letter == 'D' || letter == 'S') {
        put(t, letter == 'D' ? "\\P{Nd}" : "\\P{White_Space}");
        t->at++;
        return true;
    }
    if (letter == 'W' || letter == 'H' || letter == 'R' || letter == 'X')
        return refuse(t, "\\W, \\H, \\R or \\X inside a class");
    if (letter == 'b') {
        put(t, "\\x08");
        t->at++;
        return true;
    }
    return read_character_escape(t);
}

static bool read_posix_bracket(struct translation *t)
{
    bool negative = peek(t, 2) == '^';
    const char *name = t->source + t->at + 2 + negative;
    const char *end = t->source + t->length, *close = name;
    while (close + 1 < end && !(close[0] == ':' && close[1] == ']'))
        close++;
    if (close + 1 >= end)
        return refuse(t, "an open [: inside a class");
    t->at = (size_t)(close + 2 - t->source);
    return put_property(t, name, (size_t)(close - name), negative);
}

/* [...]: the position is behind the opening bracket. Nested brackets without ^ are the same as their items. */
static bool read_class(struct translation *t)
{
    put(t, "[");
    if (peek(t, 0) == '^') {
        put(t, "^");
        t->at++;
    }
    size_t nested = 0;
    bool first = true, after_set = false;
    for (;; first = false) {
        int c = peek(t, 0);
        bool set = false;
        if (c < 0)
            return refuse(t, "a class without end");
        if (c == ']' && !first) {
            t->at++;
            if (nested-- == 0)
                break;
            set = true;
        } else if (comes(t, "&&")) {
            return refuse(t, "&& inside a class");
        } else if (comes(t, "[:")) {
            if (!read_posix_bracket(t))
                return false;
            set = true;
        } else if (c == '[') {
            if (peek(t, 1) == '^' || peek(t, 1) == ']')
                return refuse(t, "a negated class inside a class");
            t->at++;
            nested++;
            set = true;
        } else if (c == '\\') {
            t->at++;
            set = peek(t, 0) > 0 && strchr("dhswpPDS", peek(t, 0));
            if (!read_class_escape(t))
                return false;
        } else if (c == '-') { /* behind a set it stands for itself */
            put(t, after_set ? "\\-" : "-");
            t->at++;
        } else {
            put_literal(t);
        }
        after_set = set;
    }
    put(t, "]");
    return true;
}

/* Escapes outside classes; the position is behind the backslash. */
static bool read_escape(struct translation *t)
{
    int letter = peek(t, 0);
    t->at_start = false;
    if (letter == 'b' || letter == 'B') {
        put(t, letter == 'b' ? "(?:(?<=" : "(?:(?<!");
        put_wrapped_word(t);
        put(t, ")(?!");
        put_wrapped_word(t);
        put(t, letter == 'b' ? ")|(?<!" : ")|(?<=");
        put_wrapped_word(t);
        put(t, ")(?=");
        put_wrapped_word(t);
        put(t, "))");
        t->at++;
        return true;
    }
    begin_atom(t);
    if (letter == 'p' || letter == 'P')
        return read_property(t, false);
    if (letter > 0 && letter < 0x80 && shorthand_items(tolower(letter))) {
        put(t, isupper(letter) ? "[^" : "[");
        put_shorthand(t, tolower(letter));
        put(t, "]");
        t->at++;
        return true;
    }
    if (letter > 0 && strchr("AzZRX", letter)) {
        buffer_printf(t->out, "\\%c", letter);
        t->at++;
        return true;
    }
    if (letter == 'N' || letter == 'O') {
        put(t, letter == 'N' ? "[^\\n]" : "(?s:.)");
        t->at++;
        return true;
    }
    if (letter >= '1' && letter <= '9' && !isdigit(peek(t, 1))) {
        buffer_printf(t->out, "\\g{%c}", letter);
        t->at++;
        return true;
    }
    if (letter > 0 && strchr("GKgky", letter))
        return refuse(t, "\\G, \\K, \\g, \\k or \\y");
    return read_character_escape(t);
}

/* (?imx-imx) and (?imx-imx:...): the position is at the first flag. *alone: it was closed by a parenthesis. */
static bool read_options(struct translation *t, bool *alone)
{
    put(t, "(?");
    for (;; t->at++) {
        int c = peek(t, 0);
        if (c == 'i' || c == '-')
            buffer_append_char(t->out, (char)c);
        else if (c == 'm')
            buffer_append_char(t->out, 's');
        else if (c == ')' || c == ':')
            break;
        else
            return refuse(t, "this kind of group");
    }
    *alone = peek(t, 0) == ')';
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
        put(t, plain[i]);
        t->at += strlen(plain[i]);
    } else if (comes(t, "(?#")) {
        const char *close = memchr(t->source + t->at, ')', t->length - t->at);
        if (!close)
            return refuse(t, "a comment without end");
        t->at = (size_t)(close + 1 - t->source);
        return true;
    } else if (comes(t, "(?<")) {
        put(t, "(");
        t->at += 3;
        while (isalnum(peek(t, 0)) || peek(t, 0) == '_')
            t->at++;
        if (peek(t, 0) != '>')
            return refuse(t, "this kind of group");
        t->at++;
    } else if (comes(t, "(?")) {
        bool alone;
        t->at += 2;
        if (!read_options(t, &alone))
            return false;
        if (alone) /* in mid-pattern it would not reach over | in PCRE2 as it does in Oniguruma */
            return was_start || refuse(t, "an option in mid-pattern");
    } else if (comes(t, "(*")) {
        return refuse(t, "(*");
    } else {
        put(t, "(");
        t->at++;
    }
    if (t->depth == MAX_DEPTH)
        return refuse(t, "such deep nesting");
    t->group[t->depth++] = begin;
    t->atom = NO_ATOM;
    t->at_start = true;
    return true;
}

/* {n}, {n,}, {,m}, {n,m} at the position: its length, or 0 when the brace is a character. */
static size_t brace_length(const struct translation *t)
{
    size_t i = 1, digits = 0;
    for (; isdigit(peek(t, i)); i++)
        digits++;
    if (peek(t, i) == ',') {
        for (i++; isdigit(peek(t, i)); i++)
            digits++;
    }
    return digits > 0 && peek(t, i) == '}' ? i + 1 : 0;
}

static void wrap_atom(struct translation *t)
{
    size_t from = (size_t)t->atom;
    put(t, "(?:)");
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
        return refuse(t, "a quantifier with nothing to repeat");
    if (t->repeated)
        wrap_atom(t);
    t->repeated = true;
    if (!brace) {
        buffer_append(t->out, t->source + t->at, 1);
        t->at++;
        if (peek(t, 0) == '?' || peek(t, 0) == '+') {
            buffer_append(t->out, t->source + t->at, 1);
            t->at++;
        }
        return true;
    }
    bool exact = !memchr(t->source + t->at, ',', brace);
    if (peek(t, 1) == ',') {
        put(t, "{0");
        buffer_append(t->out, t->source + t->at + 1, brace - 1);
    } else {
        buffer_append(t->out, t->source + t->at, brace);
    }
    t->at += brace;
    if (!exact && peek(t, 0) == '?') {
        put(t, "?");
        t->at++;
    }
    return true;
}

static bool read_item(struct translation *t)
{
    int c = peek(t, 0);
    size_t brace = c == '{' ? brace_length(t) : 0;
    if (c == '(')
        return open_group(t);
    if (c == ')') {
        if (t->depth == 0)
            return refuse(t, "a closing parenthesis without an opening one");
        put(t, ")");
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
        put(t, ".");
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
        refuse(&t, "an open parenthesis");
    if (!t.status && buffer_failed(out))
        return error_set(err, STATUS_BAD_FILE, "regular expression \"%.80s\" is too long", pattern);
    return t.status;
}
