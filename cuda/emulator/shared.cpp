/* Shared memory: one heap object an array, so that AddressSanitizer stands behind each, with guards for
 * builds without it. */
#include "cuda/emulator/internal.h"

extern "C" {
#include "base/memory.h"
}

#include <stdlib.h>

enum { GUARD = 64, MOST_ARRAYS = 16 };

struct array {
    const char *name;
    int line;
    size_t bytes;
    char *memory; /* bytes, then the guard */
    bool used;    /* by the running block */
};

static thread_local struct array arrays[MOST_ARRAYS];
static thread_local int n_arrays;

static const unsigned NAN_WORD = 0x7fc5a5a5;

static void fill(char *memory, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        memory[i] = (char)(NAN_WORD >> 8 * (i % 4));
}

void shared_begin_block()
{
    for (int i = 0; i < n_arrays; i++)
        arrays[i].used = false;
}

static size_t used_bytes()
{
    size_t sum = 0;
    for (int i = 0; i < n_arrays; i++)
        sum += arrays[i].used ? (arrays[i].bytes + 15) / 16 * 16 : 0;
    return sum;
}

void *emulated_shared(size_t bytes, const char *name, int line)
{
    struct array *a = arrays;
    while (a < arrays + n_arrays && !(a->line == line && a->bytes == bytes && strcmp(a->name, name) == 0))
        a++;
    if (a == arrays + n_arrays) {
        if (n_arrays == MOST_ARRAYS)
            emulated_fail("more than %d shared arrays", MOST_ARRAYS);
        char *memory = (char *)xmalloc(bytes + GUARD);
        *a = array{name, line, bytes, memory, false};
        fill(memory + bytes, GUARD);
        n_arrays++;
    }
    if (!a->used) {
        a->used = true;
        if (used_bytes() > MOST_SHARED)
            emulated_fail("%zu bytes of shared memory, a block has %d", used_bytes(), MOST_SHARED);
        fill(a->memory, bytes);
    }
    return a->memory;
}

void shared_end_block()
{
    char guard[GUARD];
    fill(guard, GUARD);
    for (int i = 0; i < n_arrays; i++) {
        if (memcmp(arrays[i].memory + arrays[i].bytes, guard, GUARD) != 0)
            emulated_fail("writes behind the shared array %s", arrays[i].name);
    }
}

void shared_release()
{
    for (int i = 0; i < n_arrays; i++)
        free(arrays[i].memory);
    n_arrays = 0;
}
