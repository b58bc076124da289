/* What can go wrong with a call, and how HTTP says it: one table from a problem to status code, type, code
 * and whether a retry may help. Every error body has the same shape. */
#ifndef VARGPT_SERVER_HTTP_ERROR_H
#define VARGPT_SERVER_HTTP_ERROR_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum problem {
    PROBLEM_NONE = 0,
    PROBLEM_INVALID,     /* a field is wrong */
    PROBLEM_JSON,        /* the body is not JSON */
    PROBLEM_UNSUPPORTED, /* a field that would change the result and is not offered */
    PROBLEM_OPERATION,   /* an endpoint that is not offered */
    PROBLEM_CONTEXT,     /* longer than the model's context */
    PROBLEM_IMAGE,       /* a picture that cannot be used */
    PROBLEM_HTTP,        /* framing that two parties could read differently */
    PROBLEM_KEY,         /* no key, or none that we know */
    PROBLEM_FORBIDDEN,
    PROBLEM_PATH,
    PROBLEM_MODEL,
    PROBLEM_METHOD,
    PROBLEM_BODY_SIZE,
    PROBLEM_MEDIA_TYPE,
    PROBLEM_BUSY,
    PROBLEM_SERVER,
    PROBLEM_MEMORY,
    PROBLEM_LOADING,
    PROBLEM_DRAINING,
    PROBLEM_STUCK,   /* the engine has stopped moving */
    PROBLEM_DEVICE,  /* the engine's device is lost */
    PROBLEM_TIMEOUT, /* the request's own deadline */
    N_PROBLEMS,
};

struct http_error {
    enum problem problem;
    char param[128]; /* the field that is meant; "" = null */
    char message[400];
    int retry_after; /* seconds; 0 = as usual for the problem */
};

/* Writes a problem down; the first one stays, so that readers may go on and check once. param may be NULL. */
enum problem http_error_set(struct http_error *, enum problem, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same from an engine's error. Failures of our own are logged and told without details. param may be
 * NULL. */
enum problem http_error_from(struct http_error *, const struct error *, const char *param);

/* What `retry-after` says of a time to wait: whole seconds, 1 to an hour. */
int http_retry_seconds(double wait);
int http_error_status(const struct http_error *);      /* 400, ... */
int http_error_retry_after(const struct http_error *); /* seconds; 0 = no such header */

/* {"error": {"message", "type", "param", "code"}}, malloc'ed, caller frees. */
char *http_error_body(const struct http_error *, size_t *length);

#endif
