#include "engine/model/arena.h"

#include <assert.h>

enum { ALIGNMENT = 64 };

size_t arena_bytes(size_t count)
{
    return (count * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

enum status arena_open(struct arena *a, struct backend *be, size_t bytes, struct error *err)
{
    *a = (struct arena){.be = be, .size = bytes};
    a->memory = be->op->alloc(be, bytes);
    if (!a->memory)
        return error_set(err, STATUS_NO_MEMORY,
                         "no memory for %zu MiB of working memory: fewer rows a step need less", bytes >> 20);
    return STATUS_OK;
}

void arena_release(struct arena *a)
{
    if (a->be)
        a->be->op->free(a->be, a->memory);
    *a = (struct arena){0};
}

float *arena_floats(struct arena *a, size_t count)
{
    size_t bytes = arena_bytes(count);
    assert(bytes <= a->size - a->used);
    float *taken = (float *)(a->memory + a->used);
    a->used += bytes;
    return taken;
}

struct tensor arena_tensor(struct arena *a, int rows, int cols)
{
    float *data = arena_floats(a, (size_t)rows * (size_t)cols);
    return (struct tensor){data, DTYPE_F32, rows, cols, cols};
}
