#include "cuda/arena.h"

#include "base/memory.h"

#include <assert.h>
#include <cuda_runtime.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifdef CUDA_IS_EMULATED
#include "cuda/emulator/emulator.h"
#else /* a card takes a piece for what it is: memory */
static void emulator_cut(void *block)
{
    (void)block;
}
static size_t emulator_part_bytes(size_t bytes)
{
    enum { ALIGNMENT = 256 };
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}
static bool emulator_part_taken(void *part, size_t bytes)
{
    (void)part;
    (void)bytes;
    return true;
}
static void emulator_part_given_back(void *part)
{
    (void)part;
}
#endif

/* A piece's place: bytes from the arena's front. */
struct place {
    size_t at, bytes;
};

struct card_arena {
    char *memory;
    size_t bytes;
    struct place *taken; /* [n] in order, not overlapping */
    size_t n, capacity;
};

enum status card_arena_open(struct card_arena **out, size_t bytes, struct error *err)
{
    size_t left = 0, all = 0;
    cudaError_t error = cudaMemGetInfo(&left, &all);
    bytes = bytes ? bytes : left / 10 * 9;
    struct card_arena *a = xcalloc(1, sizeof *a);
    a->bytes = bytes;
    if (error == cudaSuccess)
        error = cudaMalloc((void **)&a->memory, bytes);
    if (error == cudaSuccess) {
        emulator_cut(a->memory);
        *out = a;
        return STATUS_OK;
    }
    cudaGetLastError(); /* not to be taken for a launch's */
    free(a);
    return error_set(err, STATUS_DEVICE,
                     "cuda: no %zu MiB of device memory (%s), %zu MiB of %zu are free: see --device-memory",
                     bytes >> 20, cudaGetErrorString(error), left >> 20, all >> 20);
}

void card_arena_close(struct card_arena *a)
{
    if (!a)
        return;
    cudaFree(a->memory);
    free(a->taken);
    free(a);
}

/* The bytes between piece i - 1 and piece i. */
static struct place gap_before(const struct card_arena *a, size_t i)
{
    size_t at = i > 0 ? a->taken[i - 1].at + a->taken[i - 1].bytes : 0;
    return (struct place){at, (i < a->n ? a->taken[i].at : a->bytes) - at};
}

static void insert(struct card_arena *a, size_t i, struct place place)
{
    if (a->n == a->capacity) {
        a->capacity = a->capacity ? 2 * a->capacity : 64;
        a->taken = xrealloc(a->taken, a->capacity * sizeof *a->taken);
    }
    memmove(a->taken + i + 1, a->taken + i, (a->n++ - i) * sizeof *a->taken);
    a->taken[i] = place;
}

void *card_arena_take(struct card_arena *a, size_t bytes)
{
    if (bytes > a->bytes)
        return NULL;
    bytes = bytes ? bytes : 1;
    size_t need = emulator_part_bytes(bytes);
    for (size_t i = 0; i <= a->n; i++) {
        struct place gap = gap_before(a, i);
        if (gap.bytes < need)
            continue;
        if (!emulator_part_taken(a->memory + gap.at, bytes))
            return NULL;
        insert(a, i, (struct place){gap.at, need});
        return a->memory + gap.at;
    }
    return NULL;
}

void card_arena_give_back(struct card_arena *a, void *piece)
{
    if (!piece)
        return;
    size_t at = (size_t)((char *)piece - a->memory), low = 0, high = a->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (a->taken[middle].at < at)
            low = middle + 1;
        else
            high = middle;
    }
    assert(low < a->n && a->taken[low].at == at);
    emulator_part_given_back(piece);
    memmove(a->taken + low, a->taken + low + 1, (--a->n - low) * sizeof *a->taken);
}

size_t card_arena_left(const struct card_arena *a)
{
    size_t most = 0, edges = emulator_part_bytes(1);
    for (size_t i = 0; i <= a->n; i++) {
        size_t gap = gap_before(a, i).bytes;
        most = gap > most ? gap : most;
    }
    return most > edges ? most - edges : 0;
}

size_t card_arena_size(const struct card_arena *a)
{
    return a->bytes;
}
