/* Reading a request's JSON: parse with limits, then typed fields. A field that is absent or null leaves the
 * caller's default; one of the wrong type or range puts a 400 that names it into the shared http_error. The
 * first problem stays and later reads do nothing, so a caller reads all fields and checks once. */
#ifndef VARGPT_SERVER_JSON_READ_H
#define VARGPT_SERVER_JSON_READ_H

#include "server/http_error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The object in a body: at most 64 levels deep and 262,144 values (so that a body cannot grow a hundredfold
 * in memory), no name twice. NULL with the problem set. Caller: json_decref. */
json_t *json_read_body(const char *body, size_t length, struct http_error *);

struct params {
    json_t *object;
    const char *prefix; /* of the names in messages: "" or "image_config." */
    struct http_error *error;
};

/* The value, or NULL where it is absent, null, or there was a problem before. */
json_t *param_find(const struct params *, const char *name);
/* Sets a PROBLEM_INVALID (or another) that names prefix + name. */
void param_fail(const struct params *, enum problem, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

void param_bool(const struct params *, const char *name, bool *out);
/* Both ends inclusive. Integers may be written 1.0. */
void param_integer(const struct params *, const char *name, int64_t low, int64_t high, int64_t *out);
void param_int(const struct params *, const char *name, int low, int high, int *out);
void param_number(const struct params *, const char *name, double low, double high, float *out);
/* A number over 0 and at most high. */
void param_positive(const struct params *, const char *name, double high, float *out);
/* *out: valid as long as the object is. */
void param_string(const struct params *, const char *name, const char **out, size_t *length);
/* One of a NULL-terminated list; *out: its index. */
void param_choice(const struct params *, const char *name, const char *const *names, int *out);
/* An object or array, or NULL. */
json_t *param_object(const struct params *, const char *name);
json_t *param_array(const struct params *, const char *name);

#endif
