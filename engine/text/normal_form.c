#include "engine/text/normal_form.h"

#include "base/memory.h"
#include "engine/text/char_class.h"
#include "engine/text/utf8.h"

#include <stdlib.h>
#include <utf8proc.h>

enum {
    MOST_PARTS = 18,    /* of one character: U+FDFA's */
    STARTER = 0,        /* the combining class of what begins anew */
    CLUSTER_LIMIT = 32, /* up to here marks are sorted by insertion */
};

struct unit {
    int32_t code;
    unsigned char combining, mark;
};

struct units {
    struct unit *at, *spare;
    size_t count, capacity, spare_capacity;
};

static bool reserve(struct units *units)
{
    if (units->capacity - units->count >= MOST_PARTS)
        return true;
    size_t capacity = 2 * units->capacity + MOST_PARTS;
    struct unit *at = try_realloc(units->at, capacity, sizeof *at);
    if (!at)
        return false;
    units->at = at;
    units->capacity = capacity;
    return true;
}

static bool decompose(struct units *units, int32_t code, int mark, bool compatible)
{
    utf8proc_int32_t part[MOST_PARTS];
    utf8proc_ssize_t n = 1;
    if (!reserve(units))
        return false;
    part[0] = code;
    bool opaque = char_is_opaque((uint32_t)code);
    if (!opaque) {
        int last_boundclass = 0;
        n = utf8proc_decompose_char(code, part, MOST_PARTS,
                                    UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0),
                                    &last_boundclass);
        if (n < 1 || n > MOST_PARTS) {
            part[0] = code;
            n = 1;
        }
    }
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        int combining = opaque ? STARTER : utf8proc_get_property(part[i])->combining_class;
        units->at[units->count++] = (struct unit){part[i], (unsigned char)combining, (unsigned char)mark};
    }
    return true;
}

/* A stable counting sort by combining class, for runs of marks that only an attacker writes. */
static bool sort_many(struct units *units, size_t from)
{
    size_t n = units->count - from, start[256] = {0}, sum = 0;
    if (units->spare_capacity < n) {
        free(units->spare);
        units->spare = try_malloc(n, sizeof *units->spare);
        units->spare_capacity = units->spare ? n : 0;
        if (!units->spare)
            return false;
    }
    for (size_t i = from; i < units->count; i++)
        start[units->at[i].combining]++;
    for (int c = 0; c < 256; c++) {
        size_t here = start[c];
        start[c] = sum;
        sum += here;
    }
    for (size_t i = from; i < units->count; i++)
        units->spare[start[units->at[i].combining]++] = units->at[i];
    for (size_t i = 0; i < n; i++)
        units->at[from + i] = units->spare[i];
    return true;
}

/* Puts the marks from `from` on in canonical order. */
static bool sort_marks(struct units *units, size_t from)
{
    if (units->count - from > CLUSTER_LIMIT)
        return sort_many(units, from);
    for (size_t i = from + 1; i < units->count; i++) {
        struct unit unit = units->at[i];
        size_t j = i;
        for (; j > from && units->at[j - 1].combining > unit.combining; j--)
            units->at[j] = units->at[j - 1];
        units->at[j] = unit;
    }
    return true;
}

/* The one character that two are the same as, or -1. */
static int32_t compose_pair(int32_t first, int32_t second)
{
    if (char_is_opaque((uint32_t)first) || char_is_opaque((uint32_t)second))
        return -1;
    utf8proc_int32_t pair[2] = {first, second};
    utf8proc_ssize_t n = utf8proc_normalize_utf32(pair, 2, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    return n == 1 && !char_is_opaque((uint32_t)pair[0]) ? pair[0] : -1;
}

static void compose(struct units *units)
{
    size_t out = 0, starter = SIZE_MAX;
    int before = -1; /* the combining class of the unit kept last behind the starter; -1: none */
    for (size_t i = 0; i < units->count; i++) {
        struct unit unit = units->at[i];
        if (starter != SIZE_MAX && before < (int)unit.combining) {
            int32_t code = compose_pair(units->at[starter].code, unit.code);
            if (code >= 0) {
                units->at[starter].code = code;
                units->at[starter].mark |= unit.mark & MARK_PLAIN;
                continue;
            }
        }
        if (unit.combining == STARTER) {
            starter = out;
            before = -1;
        } else {
            before = unit.combining;
        }
        units->at[out++] = unit;
    }
    units->count = out;
}

bool normal_form_write(struct marked_text *out, struct span text, enum normal_form form)
{
    struct units units = {0};
    bool compatible = form == NORMAL_FORM_KC || form == NORMAL_FORM_KD, fine = true;
    size_t marks = 0, length; /* where the last run of marks begins */
    for (size_t at = 0; at < text.length && fine; at += length) {
        int32_t code = (int32_t)utf8_get(text.text + at, &length);
        size_t before = units.count;
        fine = decompose(&units, code, text.mark ? text.mark[at] : 0, compatible);
        for (size_t i = before; i < units.count && fine; i++) {
            if (units.at[i].combining != STARTER)
                continue;
            size_t count = units.count;
            units.count = i; /* the run ends before this starter */
            fine = sort_marks(&units, marks);
            units.count = count;
            marks = i + 1;
        }
    }
    fine = fine && sort_marks(&units, marks);
    if (fine && (form == NORMAL_FORM_C || form == NORMAL_FORM_KC))
        compose(&units);
    for (size_t i = 0; i < units.count && fine; i++) {
        char bytes[4];
        size_t n = utf8_put(bytes, (uint32_t)units.at[i].code);
        marked_text_put(out, bytes, n, units.at[i].mark);
    }
    free(units.at);
    free(units.spare);
    return fine;
}
