/* From settings to a request's options: how text and pictures are chosen. */
#ifndef VARGPT_CLI_ASKED_H
#define VARGPT_CLI_ASKED_H

#include "cli/cli.h"

/* A request with the options of the settings and no prompt. Where temperature, top_p and top_k were not given
 * they are the checkpoint's own. */
struct request *asked_request(const struct config *, const struct engine *, uint64_t seed);

/* The seed given, or one chosen now (which fits 53 bits, so that any JSON reader keeps it). */
uint64_t asked_seed(const struct config *);

/* How much of a picture is drawn once the codes of that scale are chosen, 0..1. */
double asked_fraction(const struct engine *, int scale);

#endif
