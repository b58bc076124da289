/* What parsing or rendering one template spends: memory, work, nesting depth, and the first error.
 * Everything that is made while parsing or rendering lies in one arena and goes at once. The first failure
 * sticks: after it allocations return NULL, run_work() returns false and later failures are ignored, so
 * callers check where they would loop or write, and once at the end. One thread. */
#ifndef VARGPT_ENGINE_TEXT_JINJA_RUN_H
#define VARGPT_ENGINE_TEXT_JINJA_RUN_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jinja_chunk;

/* Bump-allocated memory; nothing is freed before the whole. */
struct jinja_arena {
    struct jinja_chunk *newest;
    size_t held, maximum; /* bytes had from the system; most bytes it may have */
};

struct jinja_run {
    struct jinja_arena arena;
    uint64_t work_left; /* see run_work */
    int depth;          /* nested evaluations, see run_enter */
    int line;           /* of the statement being parsed or rendered, for messages; 0 = none */
    bool failed;
    struct error error;    /* the first failure */
    enum status bad_input; /* the status of run_fail: STATUS_BAD_FILE while parsing, STATUS_BAD_REQUEST while
                              rendering */
    int64_t now;           /* for strftime_now */
};

enum {
    JINJA_MAX_DEPTH = 200, /* nested brackets, blocks, macro calls and values; real templates stay under 30 */
    JINJA_MAX_VALUE_DEPTH = 200, /* lists in lists, when they are compared or printed */
};

void run_init(struct jinja_run *, size_t maximum_memory, uint64_t maximum_work, enum status bad_input);
void run_release(struct jinja_run *);

/* count * size bytes, aligned for any type, uninitialised; NULL when the run has failed or now fails for lack
 * of memory. */
void *run_alloc(struct jinja_run *, size_t count, size_t size);
/* The same memory grown to new_count items, moved if need be; `old` holds old_count items (NULL with 0). */
void *run_grow(struct jinja_run *, void *old, size_t old_count, size_t new_count, size_t size);

/* Spends n units of work (a unit is about one evaluated node, or 16 bytes copied). False when the run has
 * failed, or fails now because the work is used up: every loop asks. */
bool run_work(struct jinja_run *, uint64_t n);

/* Enters one level of evaluation; false (and failed) when too deep. Pair with run_leave when true was
 * returned. */
bool run_enter(struct jinja_run *);
void run_leave(struct jinja_run *);

/* A mistake in the template, or the template's refusal: "line N: ..." unless the line is 0. */
void run_fail(struct jinja_run *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same without the line, for raise_exception: the template's own words. */
void run_raise(struct jinja_run *, const char *words, size_t length);

#endif
