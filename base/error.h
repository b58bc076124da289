/* Errors are values: a function that can fail returns an enum status and explains itself in the caller's struct error.
 * Broken invariants of our own are asserts, never statuses. */
#ifndef VARGPT_BASE_ERROR_H
#define VARGPT_BASE_ERROR_H

enum status {
    STATUS_OK = 0,
    STATUS_BAD_REQUEST, /* the caller's input is wrong; the message says which and what would be right */
    STATUS_TOO_LARGE,   /* over a stated limit */
    STATUS_BUSY,        /* no room now; the same call may succeed later */
    STATUS_CANCELLED,   /* given up by its owner, or by shutdown */
    STATUS_TIMEOUT,     /* its own deadline has passed */
    STATUS_NO_MEMORY,   /* a size decided by a peer or a file could not be had */
    STATUS_BAD_FILE,    /* a model file is missing, damaged or not of a kind we read */
    STATUS_DEVICE,      /* the backend failed; nothing it computed may be used */
};

struct error {
    enum status status;
    char message[240]; /* lower case, no full stop, NUL-terminated; quotes at most what fits */
};

/* Writes `format` (as printf) into err and returns status, so that `return error_set(...)` reads as one thought.
 * err may be NULL. Over-long messages are cut. */
enum status error_set(struct error *err, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "path: message": puts a prefix in front of what is already in err; cut to fit. Returns err->status. err may not be NULL. */
enum status error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
