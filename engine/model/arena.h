/* The working memory of forward passes: one block of a backend's memory, handed out from the bottom and given back in
 * reverse order. Its size is settled when the engine opens, so nothing in a step can fail for lack of memory. */
#ifndef VARGPT_ENGINE_MODEL_ARENA_H
#define VARGPT_ENGINE_MODEL_ARENA_H

#include "engine/backend.h"

struct arena {
    struct backend *be;
    char *memory;
    size_t size, used;
};

enum status arena_open(struct arena *, struct backend *, size_t bytes, struct error *);
void arena_release(struct arena *);

/* Bytes that `count` values of 4 bytes take in an arena: what *_arena functions add up. */
size_t arena_bytes(size_t count);

/* Uninitialised; asserts that there is room. */
float *arena_floats(struct arena *, size_t count);
struct tensor arena_tensor(struct arena *, int rows, int cols);
static inline int32_t *arena_ints(struct arena *a, size_t count)
{
    return (int32_t *)arena_floats(a, count);
}

/* What is taken after arena_mark goes with arena_reset. */
static inline size_t arena_mark(const struct arena *a)
{
    return a->used;
}
static inline void arena_reset(struct arena *a, size_t mark)
{
    a->used = mark;
}

#endif
