/* One request run to its end on an engine, with all that it showed kept: for programs that look at what the
 * engine computed (`vargpt verify`) or when (`vargpt bench`). */
#ifndef VARGPT_CLI_TRACED_RUN_H
#define VARGPT_CLI_TRACED_RUN_H

#include "engine/engine.h"

#include <pthread.h>

/* Rows that a trace point showed. */
struct run_rows {
    enum trace_point point;
    int index, rows, cols;
    float *values; /* [rows][cols]; NULL where only times are kept */
    int64_t at_ns; /* clock_ns() */
    struct run_rows *older;
};

struct run_token {
    int32_t id;
    float logprob;
    int64_t at_ns;
};

struct traced_run {
    pthread_mutex_t mutex; /* guards all below until the run has ended */
    pthread_cond_t changed;
    struct trace trace;
    bool keep_rows, ended;
    int64_t submitted_ns, ended_ns;
    struct run_rows *newest; /* all rows shown, newest first */
    struct run_token *token; /* [n_tokens] */
    size_t n_tokens, token_capacity;
    struct picture picture; /* the last one drawn */
    int64_t picture_ns;
    int32_t *codes; /* [n_codes] of it */
    size_t n_codes;
    uint32_t ordinal;
    enum finish_reason finish;
    struct usage usage;
    struct error error; /* status STATUS_OK when the request was done */
};

enum run_look {
    RUN_UNTRACED, /* events only */
    RUN_TIMES,    /* and when each trace point came */
    RUN_ROWS,     /* and a copy of its rows */
};

/* Hands the request to the engine, which owns it whatever happens (it is closed where it is refused;
 * run->error then tells why, and the run has ended). The run must stay where it is until it has ended. */
void traced_run_start(struct traced_run *, struct engine *, struct request *, enum run_look);
/* Waits for the end. True when the request was done, false when it failed: run->error. */
bool traced_run_wait(struct traced_run *);
void traced_run_release(struct traced_run *); /* of a run that has ended */

/* The newest rows of a point with that index; NULL when it was never shown. */
const struct run_rows *traced_run_find(const struct traced_run *, enum trace_point, int index);
/* One row of a point whose index is the position of its first row; NULL when it was never shown. */
const float *traced_run_row(const struct traced_run *, enum trace_point, int position, int *cols);

#endif
