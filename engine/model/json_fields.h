/* Typed reading of a JSON object's members, with defaults, ranges and messages that name file and key. The first problem
 * sticks: later reads return the default, and the caller looks at err->status once. */
#ifndef VARGPT_ENGINE_MODEL_JSON_FIELDS_H
#define VARGPT_ENGINE_MODEL_JSON_FIELDS_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct json_fields {
    const json_t *object; /* may be NULL: everything absent */
    const char *file;     /* for messages: "config.json: text_config" */
    struct error *err;    /* status STATUS_OK until something is wrong */
};

/* A member that is there and not null, or NULL. */
const json_t *field_get(const struct json_fields *, const char *key);
/* An integer within low..high. */
int64_t field_int(const struct json_fields *, const char *key, int64_t fallback, int64_t low, int64_t high);
/* A finite number within low..high. */
double field_real(const struct json_fields *, const char *key, double fallback, double low, double high);
bool field_bool(const struct json_fields *, const char *key, bool fallback);
/* A string, owned by the object. */
const char *field_text(const struct json_fields *, const char *key, const char *fallback);
/* A nested object; .object is NULL when absent. name: what messages call it. */
struct json_fields field_object(const struct json_fields *, const char *key, const char *name);
/* Notes a problem with a key (the first one counts). */
void field_fail(const struct json_fields *, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
