/* vargpt bench: how fast, and how near to what the machine can do. */
#ifndef VARGPT_CLI_BENCH_H
#define VARGPT_CLI_BENCH_H

#include "config/config.h"
#include "engine/engine.h"

#include <jansson.h>

/* Measured in the same run as what they are compared with. */
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
    json_t *root; /* {section: [{"name": ..., key: value, ...}]} */
    struct bench_limits limit;
};

/* One line: a section's next entry. */
void bench_tell(struct bench_report *, const char *section, const char *name, const struct bench_figure *,
                size_t n);

/* The stages of the checkpoint of the settings, through the engine's public functions. */
enum status bench_model(struct bench_report *, const struct config *, struct error *);

#endif
