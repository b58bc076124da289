/* vargpt bench: how fast, and how near to what the machine can do. */
#ifndef VARGPT_CLI_BENCH_H
#define VARGPT_CLI_BENCH_H

#include "config/config.h"
#include "engine/engine.h"

#include <jansson.h>

/* What the machine can do, a second. */
struct bench_limits {
    double flops, bandwidth;
};

struct bench_figure {
    const char *key, *unit; /* "time_ms", "ms" */
    double value;
};

/* Where figures go: lines as they come, or one JSON object at the end. */
struct bench_report {
    bool as_json;
    json_t *root;          /* {section: [{"name": ..., key: value, ...}]} */
    struct backend *meter; /* measures limits, beside the engine's own backend */
    struct bench_limits limit;
};

/* Measures the limits anew, for `seconds` each: on a machine with other users they change from one moment to
 * the next. */
void bench_measure_limits(struct bench_report *, double seconds);

/* One line: a section's next entry. */
void bench_tell(struct bench_report *, const char *section, const char *name, const struct bench_figure *,
                size_t n);

/* The stages of the checkpoint of the settings, through the engine's public functions. */
enum status bench_model(struct bench_report *, const struct config *, struct error *);

/* How long two chats wait for a token while others read a long prompt and draw: beside the scheduler's bound. */
enum status bench_fairness(struct bench_report *, struct engine *, const struct config *, struct error *);

#endif
