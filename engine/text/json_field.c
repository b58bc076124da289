#include "engine/text/json_field.h"

#include "engine/text/utf8.h"

static enum status bad(const json_t *component, const char *field, const char *expected, struct error *err)
{
    return error_set(err, STATUS_BAD_FILE, "%.40s: \"%s\" must be %s", json_component(component), field,
                     expected);
}

const char *json_component(const json_t *component)
{
    const char *type = json_string_value(json_object_get(component, "type"));
    return type ? type : "?";
}

enum status json_field_text(const json_t *component, const char *field, const char **text, size_t *length,
                            struct error *err)
{
    const json_t *value = json_object_get(component, field);
    if (!json_is_string(value))
        return bad(component, field, "a string", err);
    *text = json_string_value(value);
    *length = json_string_length(value);
    return STATUS_OK;
}

enum status json_field_char(const json_t *component, const char *field, const char **text, size_t *length,
                            struct error *err)
{
    size_t first = 0;
    enum status status = json_field_text(component, field, text, length, err);
    if (status)
        return status;
    if (*length > 0)
        utf8_get(*text, &first);
    return *length > 0 && first == *length ? STATUS_OK : bad(component, field, "one character", err);
}

enum status json_field_bool(const json_t *component, const char *field, bool fallback, bool *out,
                            struct error *err)
{
    const json_t *value = json_object_get(component, field);
    *out = value && !json_is_null(value) ? json_is_true(value) : fallback;
    if (value && !json_is_null(value) && !json_is_boolean(value))
        return bad(component, field, "true or false", err);
    return STATUS_OK;
}

enum status json_field_count(const json_t *component, const char *field, size_t most, size_t *out,
                             struct error *err)
{
    const json_t *value = json_object_get(component, field);
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 0 || (uint64_t)n > most)
        return bad(component, field, "a small whole number", err);
    *out = (size_t)n;
    return STATUS_OK;
}

enum status json_field_array(const json_t *component, const char *field, const json_t **out,
                             struct error *err)
{
    *out = json_object_get(component, field);
    return json_is_array(*out) ? STATUS_OK : bad(component, field, "a list", err);
}

enum status json_unsupported(const json_t *component, const char *part, struct error *err)
{
    return error_set(err, STATUS_BAD_FILE, "%s: component \"%.60s\" is not supported", part,
                     json_component(component));
}
