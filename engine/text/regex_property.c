/* The sets of characters that a regular expression names, spelt out for PCRE2: shorthands, properties, POSIX
 * brackets. Oniguruma's tables are newer than PCRE2's, and its sets are not always those of the same name. */
#include "engine/text/char_class.h"
#include "engine/text/regex.h"
#include "engine/text/regex_translation.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define WORD_ITEMS "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
/* In \w by itself; inside brackets they are not in it. */
#define LONE_WORD_ITEMS "\\xB2\\xB3\\xB9\\xBC-\\xBE"
/* Alphabetic, and lower case, only since Unicode 15 or 16. */
#define NEW_ALPHABETIC                                                                                       \
    "\\x{363}-\\x{36F}\\x{897}\\x{C04}\\x{CF3}\\x{F82}\\x{F83}\\x{1DD3}-\\x{1DE6}\\x{10D69}\\x{10EFC}"       \
    "\\x{11080}\\x{11081}\\x{11241}\\x{113B8}-\\x{113C0}\\x{113C2}\\x{113C5}\\x{113C7}-\\x{113CA}"           \
    "\\x{113CC}\\x{113CD}\\x{11F00}\\x{11F01}\\x{11F03}\\x{11F34}-\\x{11F3A}\\x{11F3E}-\\x{11F40}"           \
    "\\x{1611E}-\\x{1612E}\\x{1E08F}"
#define NEW_LOWER "\\x{10FC}\\x{A7F2}-\\x{A7F4}\\x{AB69}\\x{1E030}-\\x{1E06D}"

bool translation_refuse(struct translation *t, const char *what)
{
    if (!t->status)
        t->status = error_set(t->err, STATUS_BAD_FILE, "regular expression \"%.*s\": %s is not supported",
                              (int)(t->length < 80 ? t->length : 80), t->source, what);
    return false;
}

int translation_peek(const struct translation *t, size_t ahead)
{
    return t->at + ahead < t->length ? (unsigned char)t->source[t->at + ahead] : -1;
}

void translation_put(struct translation *t, const char *text)
{
    buffer_append_text(t->out, text);
}

void translation_put_code(struct translation *t, uint32_t code)
{
    buffer_printf(t->out, "\\x{%X}", (unsigned)code);
}

/* Class items for the recent characters whose category begins with category ("L", "Lo"). */
static void put_recent(struct translation *t, const char *category)
{
    for (int i = 0; i < char_recent_count; i++) {
        const struct char_range *range = &char_recent[i];
        if (strncmp(range->category, category, strlen(category)) != 0)
            continue;
        translation_put_code(t, range->first);
        translation_put(t, "-");
        translation_put_code(t, range->last);
    }
}

/* The items for \d, \h, \s, \w and their capitals' opposites; NULL for other letters. */
const char *shorthand_items(int letter)
{
    switch (letter) {
    case 'd': return "\\p{Nd}";
    case 'h': return "0-9A-Fa-f";
    case 's': return "\\p{White_Space}";
    case 'w': return WORD_ITEMS;
    default: return NULL;
    }
}

void put_shorthand(struct translation *t, int letter)
{
    translation_put(t, shorthand_items(letter));
    if (letter == 'd' || letter == 'w')
        put_recent(t, "Nd");
    if (letter == 'w') {
        put_recent(t, "L");
        put_recent(t, "M");
    }
}

/* A shorthand by itself, in brackets of its own. */
void put_wrapped_shorthand(struct translation *t, int letter, bool negative)
{
    translation_put(t, negative ? "[^" : "[");
    put_shorthand(t, letter);
    if (letter == 'w')
        translation_put(t, LONE_WORD_ITEMS);
    translation_put(t, "]");
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
    {"punct", "\\p{P}", "P"},
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
    {"alnum", "\\p{Alphabetic}\\p{Nd}" NEW_ALPHABETIC, "L"},
    {"alpha", "\\p{Alphabetic}" NEW_ALPHABETIC, "L"},
    {"alphabetic", "\\p{Alphabetic}" NEW_ALPHABETIC, "L"},
    {"blank", "\\p{Zs}\\t", NULL},
    {"cntrl", "\\p{Cc}", NULL},
    {"digit", "\\p{Nd}", "Nd"},
    {"lower", "\\p{Lowercase}" NEW_LOWER, "Ll"},
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
bool put_property(struct translation *t, const char *name, size_t length, bool negative)
{
    char plain[40], spelt[64];
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if (c == '_' || c == '-' || c == ' ')
            continue;
        if (!isalnum((unsigned char)c) || n + 1 == sizeof plain)
            return translation_refuse(t, "a property of this name");
        plain[n++] = (char)tolower((unsigned char)c);
    }
    plain[n] = 0;
    if (!negative && strcmp(plain, "word") == 0) {
        put_shorthand(t, 'w');
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
            return translation_refuse(t, "the complement of this property inside a class");
        buffer_printf(t->out, "\\P%s", known->items + 2);
        return true;
    }
    if (known) {
        translation_put(t, known->items);
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
                buffer_printf(t->out, "\\x{%X}-\\x{%X}", (unsigned)char_recent[i].first,
                              (unsigned)char_recent[i].last);
    }
    return true;
}

/* \p{Name}, \p{^Name}, \P{Name}; the position is at the p. Outside a class the items get brackets of their
 * own. */
bool read_property(struct translation *t, bool in_class)
{
    bool negative = translation_peek(t, 0) == 'P';
    const char *open = t->source + t->at + 1;
    const char *close = translation_peek(t, 1) == '{' ? memchr(open, '}', t->length - t->at - 1) : NULL;
    if (!close)
        return translation_refuse(t, "\\p without {name}");
    const char *name = open + 1;
    if (name < close && *name == '^') {
        negative = !negative;
        name++;
    }
    t->at = (size_t)(close + 1 - t->source);
    if (in_class)
        return put_property(t, name, (size_t)(close - name), negative);
    translation_put(t, negative ? "[^" : "[");
    bool fine = put_property(t, name, (size_t)(close - name), false);
    if (close - name == 4 && strncasecmp(name, "word", 4) == 0)
        translation_put(t, LONE_WORD_ITEMS);
    translation_put(t, "]");
    return fine;
}

bool read_posix_bracket(struct translation *t)
{
    bool negative = translation_peek(t, 2) == '^';
    const char *name = t->source + t->at + 2 + negative;
    const char *end = t->source + t->length, *close = name;
    while (close + 1 < end && !(close[0] == ':' && close[1] == ']'))
        close++;
    if (close + 1 >= end)
        return translation_refuse(t, "an open [: inside a class");
    t->at = (size_t)(close + 2 - t->source);
    if (!negative && close - name == 5 &&
        memcmp(name, "punct", 5) == 0) { /* as a bracket, not as a property */
        translation_put(t, "\\p{S}");
        put_recent(t, "S");
    }
    return put_property(t, name, (size_t)(close - name), negative);
}
