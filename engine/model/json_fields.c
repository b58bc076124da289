#include "engine/model/json_fields.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

const json_t *field_get(const struct json_fields *f, const char *key)
{
    const json_t *value = f->object ? json_object_get(f->object, key) : NULL;
    return json_is_null(value) ? NULL : value;
}

void field_fail(const struct json_fields *f, const char *key, const char *format, ...)
{
    char reason[160];
    va_list args;
    if (f->err->status != STATUS_OK)
        return;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    error_set(f->err, STATUS_BAD_FILE, "%s: %s %s", f->file, key, reason);
}

int64_t field_int(const struct json_fields *f, const char *key, int64_t fallback, int64_t low, int64_t high)
{
    const json_t *value = field_get(f, key);
    if (!value)
        return fallback;
    int64_t i = 0;
    if (json_is_integer(value))
        i = json_integer_value(value);
    else if (json_is_real(value) && json_real_value(value) == floor(json_real_value(value)) &&
             fabs(json_real_value(value)) < 9e15)
        i = (int64_t)json_real_value(value);
    else
        field_fail(f, key, "must be an integer");
    if (f->err->status == STATUS_OK && (i < low || i > high))
        field_fail(f, key, "is %lld, must be %lld to %lld", (long long)i, (long long)low, (long long)high);
    return f->err->status == STATUS_OK ? i : fallback;
}

double field_real(const struct json_fields *f, const char *key, double fallback, double low, double high)
{
    const json_t *value = field_get(f, key);
    if (!value)
        return fallback;
    double d = json_number_value(value);
    if (!json_is_number(value))
        field_fail(f, key, "must be a number");
    else if (!(d >= low && d <= high))
        field_fail(f, key, "is %g, must be %g to %g", d, low, high);
    return f->err->status == STATUS_OK ? d : fallback;
}

bool field_bool(const struct json_fields *f, const char *key, bool fallback)
{
    const json_t *value = field_get(f, key);
    if (!value)
        return fallback;
    if (!json_is_boolean(value)) {
        field_fail(f, key, "must be true or false");
        return fallback;
    }
    return json_is_true(value);
}

const char *field_text(const struct json_fields *f, const char *key, const char *fallback)
{
    const json_t *value = field_get(f, key);
    if (!value)
        return fallback;
    if (!json_is_string(value)) {
        field_fail(f, key, "must be a string");
        return fallback;
    }
    return json_string_value(value);
}

struct json_fields field_object(const struct json_fields *f, const char *key, const char *name)
{
    const json_t *value = field_get(f, key);
    if (value && !json_is_object(value)) {
        field_fail(f, key, "must be an object");
        value = NULL;
    }
    return (struct json_fields){value, name, f->err};
}
