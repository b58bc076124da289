/* Fields of the components of a tokenizer.json. Each function reports a field that is missing or of another
 * type as STATUS_BAD_FILE, naming component and field. */
#ifndef VARGPT_ENGINE_TEXT_JSON_FIELD_H
#define VARGPT_ENGINE_TEXT_JSON_FIELD_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* The "type" of a component, or "?" where it has none. */
const char *json_component(const json_t *component);

/* A string of valid UTF-8, owned by the JSON; NUL characters may be inside. */
enum status json_field_text(const json_t *component, const char *field, const char **text, size_t *length,
                            struct error *err);

/* A string of exactly one character. */
enum status json_field_char(const json_t *component, const char *field, const char **text, size_t *length,
                            struct error *err);

/* Absent or null gives the default. */
enum status json_field_bool(const json_t *component, const char *field, bool fallback, bool *out,
                            struct error *err);

/* An integer in 0..most. */
enum status json_field_count(const json_t *component, const char *field, size_t most, size_t *out,
                             struct error *err);

/* An array. */
enum status json_field_array(const json_t *component, const char *field, const json_t **out,
                             struct error *err);

/* "part: component X is not supported". */
enum status json_unsupported(const json_t *component, const char *part, struct error *err);

#endif
