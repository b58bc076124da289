#include "engine/text/vocabulary.h"

#include "base/clock.h"
#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0x9E3779B97F4A7C15u;
    h ^= h >> 29;
    h *= 0xD6E8FEB86659FD93u;
    return h ^ h >> 32;
}

static uint64_t hash_of(uint64_t seed, const char *bytes, size_t length)
{
    uint64_t h = seed ^ length;
    while (length >= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        h = mix(h ^ word);
        bytes += 8;
        length -= 8;
    }
    uint64_t word = 0;
    memcpy(&word, bytes, length);
    return mix(h ^ word);
}

bool vocabulary_init(struct vocabulary *v, size_t count, size_t bytes, size_t ids)
{
    assert(ids <= VOCABULARY_MAX_IDS);
    *v = (struct vocabulary){.bytes_held = bytes, .slots = 16};
    v->seed = mix((uint64_t)clock_ns() ^ (uint64_t)(uintptr_t)v);
    if (bytes > UINT32_MAX || count > VOCABULARY_MAX_IDS)
        return false;
    while (v->slots < 2 * count)
        v->slots *= 2;
    v->bytes = try_malloc(bytes, 1);
    v->piece = try_calloc(ids, sizeof *v->piece);
    v->slot = try_malloc(v->slots, sizeof *v->slot);
    if (!v->bytes || !v->piece || !v->slot)
        return false;
    memset(v->slot, -1, v->slots * sizeof *v->slot);
    return true;
}

void vocabulary_release(struct vocabulary *v)
{
    free(v->bytes);
    free(v->piece);
    free(v->slot);
    *v = (struct vocabulary){0};
}

/* The slot that holds this piece, or the empty one where it would go. */
static int32_t *find_slot(const struct vocabulary *v, const char *piece, size_t length)
{
    uint32_t i = (uint32_t)hash_of(v->seed, piece, length) & (v->slots - 1);
    for (;; i = (i + 1) & (v->slots - 1)) {
        int32_t id = v->slot[i];
        if (id < 0 ||
            (v->piece[id].length == length && memcmp(v->bytes + v->piece[id].offset, piece, length) == 0))
            return &v->slot[i];
    }
}

bool vocabulary_add(struct vocabulary *v, int32_t id, const char *piece, size_t length)
{
    if (v->piece[id].present)
        return false;
    assert(length <= v->bytes_held - v->bytes_used && 2 * v->count < v->slots);
    memcpy(v->bytes + v->bytes_used, piece, length);
    v->piece[id] = (struct vocabulary_piece){(uint32_t)v->bytes_used, (uint32_t)length, true};
    v->bytes_used += length;
    v->count++;
    if (id >= v->size)
        v->size = id + 1;
    *find_slot(v, piece, length) = id;
    return true;
}

int32_t vocabulary_find(const struct vocabulary *v, const char *piece, size_t length)
{
    return v->slot ? *find_slot(v, piece, length) : -1;
}

const char *vocabulary_piece(const struct vocabulary *v, int32_t id, size_t *length)
{
    if (id < 0 || id >= v->size || !v->piece[id].present)
        return NULL;
    *length = v->piece[id].length;
    return v->bytes + v->piece[id].offset;
}
