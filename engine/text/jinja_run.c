#include "engine/text/jinja_run.h"

#include "base/memory.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct jinja_chunk {
    struct jinja_chunk *older;
    size_t used, capacity;
    alignas(max_align_t) char bytes[];
};

enum { CHUNK_SIZE = 32 * 1024, ALIGNMENT = alignof(max_align_t) };

void run_init(struct jinja_run *run, size_t maximum_memory, uint64_t maximum_work, enum status bad_input)
{
    memset(run, 0, sizeof *run);
    run->arena.maximum = maximum_memory;
    run->work_left = maximum_work;
    run->bad_input = bad_input;
}

void run_release(struct jinja_run *run)
{
    struct jinja_chunk *chunk = run->arena.newest;
    while (chunk) {
        struct jinja_chunk *older = chunk->older;
        free(chunk);
        chunk = older;
    }
    run->arena.newest = NULL;
    run->arena.held = 0;
}

/* A message that was cut must not end within a character: it goes into JSON. */
static void drop_cut_character(char *text)
{
    size_t end = strlen(text), begin = end;
    while (begin > 0 && end - begin < 3 && ((unsigned char)text[begin - 1] & 0xC0) == 0x80)
        begin--;
    unsigned char lead = begin > 0 ? (unsigned char)text[begin - 1] : 0;
    size_t needed = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (lead >= 0xC0 && end - begin < needed)
        text[begin - 1] = 0;
}

static void fail_once(struct jinja_run *run, enum status status, const char *message)
{
    if (run->failed)
        return;
    run->failed = true;
    error_set(&run->error, status, "%s", message);
}

static struct jinja_chunk *add_chunk(struct jinja_run *run, size_t bytes)
{
    struct jinja_arena *arena = &run->arena;
    size_t capacity = bytes > CHUNK_SIZE / 4 ? bytes : CHUNK_SIZE, total;
    if (!size_add(capacity, sizeof(struct jinja_chunk), &total) || total > arena->maximum - arena->held) {
        fail_once(run, STATUS_TOO_LARGE, "the chat template needs more memory than it may have");
        return NULL;
    }
    struct jinja_chunk *chunk = try_malloc(1, total);
    if (!chunk) {
        fail_once(run, STATUS_NO_MEMORY, "out of memory in the chat template");
        return NULL;
    }
    chunk->used = 0;
    chunk->capacity = capacity;
    arena->held += total;
    if (bytes > CHUNK_SIZE / 4 &&
        arena->newest) { /* a big block goes behind, so that the small ones' chunk stays in use */
        chunk->older = arena->newest->older;
        arena->newest->older = chunk;
    } else {
        chunk->older = arena->newest;
        arena->newest = chunk;
    }
    return chunk;
}

static bool rounded_size(size_t count, size_t size, size_t *out)
{
    size_t bytes;
    if (!size_mul(count, size, &bytes) || !size_add(bytes, ALIGNMENT - 1, &bytes))
        return false;
    *out = bytes / ALIGNMENT * ALIGNMENT;
    return true;
}

void *run_alloc(struct jinja_run *run, size_t count, size_t size)
{
    size_t bytes;
    if (run->failed)
        return NULL;
    if (!rounded_size(count, size, &bytes)) {
        fail_once(run, STATUS_TOO_LARGE, "a value in the chat template is too large");
        return NULL;
    }
    struct jinja_chunk *chunk = run->arena.newest;
    if (!chunk || bytes > chunk->capacity - chunk->used) {
        chunk = add_chunk(run, bytes);
        if (!chunk)
            return NULL;
    }
    void *p = chunk->bytes + chunk->used;
    chunk->used += bytes;
    return p;
}

void *run_grow(struct jinja_run *run, void *old, size_t old_count, size_t new_count, size_t size)
{
    size_t had, wanted;
    struct jinja_chunk *chunk = run->arena.newest;
    if (run->failed)
        return NULL;
    if (old && rounded_size(old_count, size, &had) && rounded_size(new_count, size, &wanted) &&
        wanted >= had && (char *)old + had == chunk->bytes + chunk->used &&
        wanted - had <= chunk->capacity - chunk->used) {
        chunk->used += wanted - had; /* the last block of its chunk: grow where it lies */
        return old;
    }
    void *p = run_alloc(run, new_count, size);
    if (p && old_count)
        memcpy(p, old, (old_count < new_count ? old_count : new_count) * size);
    return p;
}

bool run_work(struct jinja_run *run, uint64_t n)
{
    if (run->failed)
        return false;
    if (n > run->work_left) {
        fail_once(run, STATUS_TOO_LARGE, "the chat template takes too long for this conversation");
        return false;
    }
    run->work_left -= n;
    return true;
}

bool run_enter(struct jinja_run *run)
{
    if (run->depth >= JINJA_MAX_DEPTH) {
        run_fail(run, "nested too deeply");
        return false;
    }
    run->depth++;
    return true;
}

void run_leave(struct jinja_run *run)
{
    run->depth--;
}

void run_fail(struct jinja_run *run, const char *format, ...)
{
    if (run->failed)
        return;
    char words[sizeof run->error.message];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    run->failed = true;
    if (run->line)
        error_set(&run->error, run->bad_input, "chat template, line %d: %.200s", run->line, words);
    else
        error_set(&run->error, run->bad_input, "chat template: %.200s", words);
    drop_cut_character(run->error.message);
}

void run_raise(struct jinja_run *run, const char *words, size_t length)
{
    if (run->failed)
        return;
    run->failed = true;
    int n = length < sizeof run->error.message ? (int)length : (int)sizeof run->error.message - 1;
    error_set(&run->error, run->bad_input, "%.*s", n, words);
    drop_cut_character(run->error.message);
}
