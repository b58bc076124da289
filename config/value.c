#include "config/settings.h"

#include "base/memory.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static enum status fail_range(const struct setting *s, struct error *err)
{
    if (s->above)
        return error_set(err, STATUS_BAD_REQUEST, "must be over %.15g and at most %.15g", s->least, s->most);
    return error_set(err, STATUS_BAD_REQUEST, "must be %s from %.15g to %.15g",
                     s->type == SETTING_REAL ? "a number" : "a whole number", s->least, s->most);
}

static bool in_range(const struct setting *s, double value)
{
    return value <= s->most && (s->above ? value > s->least : value >= s->least); /* false for NaN */
}

/* strtod and strtoll skip white space and take "nan" and "0x10"; settings do not. */
static bool starts_number(const char *text)
{
    const char *digit = text + (*text == '-' || *text == '+');
    return digit[0] >= '0' && digit[0] <= '9' && digit[1] != 'x' && digit[1] != 'X';
}

static enum status store_int(const struct setting *s, int *out, const char *text, struct error *err)
{
    char *end;
    errno = 0;
    long long value = starts_number(text) ? strtoll(text, &end, 10) : 0;
    if (!starts_number(text) || *end || errno || !in_range(s, (double)value))
        return fail_range(s, err);
    *out = (int)value;
    return STATUS_OK;
}

static enum status store_real(const struct setting *s, double *out, const char *text, struct error *err)
{
    char *end;
    double value = starts_number(text) ? strtod(text, &end) : NAN;
    if (!starts_number(text) || *end || !in_range(s, value))
        return fail_range(s, err);
    *out = value;
    return STATUS_OK;
}

static enum status store_seed(uint64_t *out, const char *text, struct error *err)
{
    char *end = NULL;
    uint64_t value = 0;
    errno = 0;
    if (starts_number(text))
        value = *text == '-' ? (uint64_t)strtoll(text, &end, 10) : strtoull(text, &end, 10);
    if (!end || *end || errno)
        return error_set(err, STATUS_BAD_REQUEST, "must be a whole number of 64 bits");
    *out = value;
    return STATUS_OK;
}

static enum status store_size(const struct setting *s, uint64_t *out, const char *text, struct error *err)
{
    static const char letters[] = "KMGT";
    char *end;
    double value = starts_number(text) ? strtod(text, &end) : NAN;
    if (starts_number(text) && *end) {
        const char *letter = strchr(letters, *end >= 'a' ? *end - 'a' + 'A' : *end);
        value = letter ? ldexp(value, 10 * (int)(letter - letters + 1)) : NAN;
        end += 1;
        end += end[0] == 'i' && end[1] == 'B' ? 2 : end[0] == 'B';
        value = *end ? NAN : value;
    }
    if (!(value >= s->least && value <= s->most))
        return error_set(err, STATUS_BAD_REQUEST,
                         "must be a size such as 512M or 8G, from %.0f to %.0f bytes", s->least, s->most);
    *out = (uint64_t)value;
    return STATUS_OK;
}

static enum status store_choice(const struct setting *s, int *out, const char *text, struct error *err)
{
    char words[160] = "";
    for (int i = 0; s->words[i]; i++) {
        if (strcmp(s->words[i], text) == 0) {
            *out = i;
            return STATUS_OK;
        }
        size_t used = strlen(words);
        snprintf(words + used, sizeof words - used, "%s%s", i ? ", " : "", s->words[i]);
    }
    return error_set(err, STATUS_BAD_REQUEST, "must be one of %s", words);
}

static enum status store_flag(bool *out, const char *text, struct error *err)
{
    bool yes = strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0;
    if (!yes && strcasecmp(text, "false") != 0 && strcmp(text, "0") != 0)
        return error_set(err, STATUS_BAD_REQUEST, "must be true or false");
    *out = yes;
    return STATUS_OK;
}

static enum status store_text(char **out, const char *text)
{
    free(*out);
    *out = xstrdup(text);
    return STATUS_OK;
}

static enum status store_item(struct config_list *list, const char *text)
{
    list->item = xrealloc(list->item, (list->count + 1) * sizeof *list->item);
    list->item[list->count++] = xstrdup(text);
    return STATUS_OK;
}

enum status setting_store(const struct setting *s, struct config *config, const char *text, struct error *err)
{
    void *field = (char *)config + s->offset;
    switch (s->type) {
    case SETTING_TEXT: return store_text(field, text);
    case SETTING_LIST: return store_item(field, text);
    case SETTING_INT: return store_int(s, field, text, err);
    case SETTING_REAL: return store_real(s, field, text, err);
    case SETTING_SEED: return store_seed(field, text, err);
    case SETTING_SIZE: return store_size(s, field, text, err);
    case SETTING_CHOICE: return store_choice(s, field, text, err);
    case SETTING_FLAG: return store_flag(field, text, err);
    }
    return error_set(err, STATUS_BAD_REQUEST, "has no such type");
}
