/* A card's memory: one block, taken at start, from which everything is cut that this program ever has on the
 * card: weights, caches, working memory, what comes and goes with requests. Nothing else asks the driver for
 * device memory, so serving never does.
 *
 * A piece gets the first place, from the front, that is large enough, and neighbours that were given back are
 * one place again; the same calls give the same places. Giving back waits for nothing: work under way may
 * still use the piece, and whoever gets its place next must come after it, by the order of a stream or by an
 * event. */
#ifndef VARGPT_CUDA_ARENA_H
#define VARGPT_CUDA_ARENA_H

#include "base/error.h"

#include <stddef.h>

struct card_arena;

/* bytes: 0 is nine tenths of what the current device has free. Failure: STATUS_DEVICE, nothing is left
 * open. */
enum status card_arena_open(struct card_arena **out, size_t bytes, struct error *err);
/* Accepts NULL. Nothing may use its pieces any more. */
void card_arena_close(struct card_arena *);

/* Uninitialised, aligned to 256 bytes; NULL when no place is large enough. */
void *card_arena_take(struct card_arena *, size_t bytes);
/* Accepts NULL. */
void card_arena_give_back(struct card_arena *, void *piece);

/* The largest piece that could be taken. */
size_t card_arena_left(const struct card_arena *);
size_t card_arena_size(const struct card_arena *);

#endif
