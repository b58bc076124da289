/* A progress bar on standard error; nothing at all where that is not a terminal. One thread. */
#ifndef VARGPT_CLI_PROGRESS_H
#define VARGPT_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *label;
    int64_t begin_ns, drawn_ns;
    double wait_seconds;
    bool terminal, visible;
};

/* label must outlive it. Nothing is drawn in the first wait_seconds. */
void progress_init(struct progress *, const char *label, double wait_seconds);
/* fraction 0..1; draws ten times a second at most. */
void progress_set(struct progress *, double fraction);
/* Wipes the bar. */
void progress_end(struct progress *);

#endif
