#include "server/json_read.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_DEPTH = 64, MAX_VALUES = 262144 };

/* Counts what the parser would allocate for, before it does. Wrong JSON is the parser's to find. */
static bool within_limits(const char *s, size_t n, struct http_error *e)
{
    size_t values = 0, depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
            continue;
        }
        quoted = c == '"';
        if (c == '{' || c == '[')
            depth++;
        if ((c == '}' || c == ']') && depth > 0)
            depth--;
        values += c == '{' || c == '[' || c == ',' || c == ':';
        if (depth > MAX_DEPTH || values > MAX_VALUES) {
            http_error_set(e, PROBLEM_JSON, NULL,
                           depth > MAX_DEPTH ? "the JSON at byte %zu is nested more than %d levels deep"
                                             : "the JSON up to byte %zu holds more than %d values",
                           i, depth > MAX_DEPTH ? MAX_DEPTH : MAX_VALUES);
            return false;
        }
    }
    return true;
}

/* Some write one in front of a text's first character. */
static void skip_byte_order_mark(const char **text, size_t *length)
{
    if (*length < 3 || memcmp(*text, "\xEF\xBB\xBF", 3) != 0)
        return;
    *text += 3;
    *length -= 3;
}

json_t *json_read_body(const char *body, size_t length, struct http_error *e)
{
    skip_byte_order_mark(&body, &length);
    if (length == 0) {
        http_error_set(e, PROBLEM_JSON, NULL, "the body is empty; send a JSON object");
        return NULL;
    }
    if (!within_limits(body, length, e))
        return NULL;
    json_error_t where;
    json_t *root = json_loadb(body, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (!root) {
        bool nul =
            json_error_code(&where) == json_error_null_character; /* the library speaks of its flags there */
        http_error_set(e, PROBLEM_JSON, NULL, "the body is not valid JSON: line %d, column %d (byte %d): %s",
                       where.line, where.column, where.position,
                       nul ? "\\u0000 is not allowed in a string" : where.text);
        return NULL;
    }
    if (!json_is_object(root)) {
        http_error_set(e, PROBLEM_JSON, NULL, "the body must be a JSON object");
        json_decref(root);
        return NULL;
    }
    return root;
}

json_t *param_find(const struct params *f, const char *name)
{
    if (f->error->problem != PROBLEM_NONE)
        return NULL;
    json_t *value = json_object_get(f->object, name);
    return json_is_null(value) ? NULL : value;
}

void param_fail(const struct params *f, enum problem problem, const char *name, const char *format, ...)
{
    char param[128], message[320];
    snprintf(param, sizeof param, "%s%s", f->prefix, name);
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    http_error_set(f->error, problem, param, "'%s' %s", param, message);
}

void param_bool(const struct params *f, const char *name, bool *out)
{
    json_t *value = param_find(f, name);
    if (!value)
        return;
    if (json_is_boolean(value))
        *out = json_is_true(value);
    else
        param_fail(f, PROBLEM_INVALID, name, "must be true or false");
}

void param_integer(const struct params *f, const char *name, int64_t low, int64_t high, int64_t *out)
{
    json_t *value = param_find(f, name);
    if (!value)
        return;
    int64_t n = 0;
    double real = json_real_value(value);
    bool whole = json_is_integer(value);
    if (whole) {
        n = json_integer_value(value);
    } else if (json_is_real(value) && real == floor(real) && fabs(real) < 9007199254740992.0) {
        n = (int64_t)real;
        whole = true;
    }
    if (whole && n >= low && n <= high)
        *out = n;
    else if (high == INT64_MAX)
        param_fail(f, PROBLEM_INVALID, name, "must be an integer of at least %lld", (long long)low);
    else
        param_fail(f, PROBLEM_INVALID, name, "must be an integer from %lld to %lld", (long long)low,
                   (long long)high);
}

void param_int(const struct params *f, const char *name, int low, int high, int *out)
{
    int64_t n = *out;
    param_integer(f, name, low, high, &n);
    *out = (int)n;
}

void param_number(const struct params *f, const char *name, double low, double high, float *out)
{
    json_t *value = param_find(f, name);
    if (!value)
        return;
    double n = json_number_value(value);
    if (json_is_number(value) && n >= low && n <= high)
        *out = (float)n;
    else
        param_fail(f, PROBLEM_INVALID, name, "must be a number from %g to %g", low, high);
}

void param_positive(const struct params *f, const char *name, double high, float *out)
{
    json_t *value = param_find(f, name);
    if (!value)
        return;
    double n = json_number_value(value);
    if (json_is_number(value) && n > 0 && n <= high && (float)n > 0)
        *out = (float)n;
    else
        param_fail(f, PROBLEM_INVALID, name, "must be a number over 0 and at most %g", high);
}

void param_string(const struct params *f, const char *name, const char **out, size_t *length)
{
    json_t *value = param_find(f, name);
    if (!value)
        return;
    if (!json_is_string(value)) {
        param_fail(f, PROBLEM_INVALID, name, "must be a string");
        return;
    }
    *out = json_string_value(value);
    if (length)
        *length = json_string_length(value);
}

void param_choice(const struct params *f, const char *name, const char *const *names, int *out)
{
    const char *text = NULL;
    param_string(f, name, &text, NULL);
    if (!text)
        return;
    char known[200] = "";
    for (int i = 0; names[i]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s'%s'", i ? ", " : "", names[i]);
    }
    param_fail(f, PROBLEM_INVALID, name, "must be one of %s", known);
}

static json_t *param_of_type(const struct params *f, const char *name, json_type type, const char *what)
{
    json_t *value = param_find(f, name);
    if (!value || json_typeof(value) == type)
        return value;
    param_fail(f, PROBLEM_INVALID, name, "must be %s", what);
    return NULL;
}

json_t *param_object(const struct params *f, const char *name)
{
    return param_of_type(f, name, JSON_OBJECT, "an object");
}

json_t *param_array(const struct params *f, const char *name)
{
    return param_of_type(f, name, JSON_ARRAY, "an array");
}
