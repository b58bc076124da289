/* Pieces and their ids, both ways. Filled once, then immutable. Ids may have gaps. */
#ifndef VARGPT_ENGINE_TEXT_VOCABULARY_H
#define VARGPT_ENGINE_TEXT_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest id a file may use is VOCABULARY_MAX_IDS - 1; known vocabularies end below 300,000. */
#define VOCABULARY_MAX_IDS (1 << 22)

struct vocabulary {
    char *bytes; /* all pieces, one after the other */
    size_t bytes_used, bytes_held;
    struct vocabulary_piece {
        uint32_t offset, length;
        bool present;
    } * piece;      /* [size] by id */
    int32_t size;   /* one more than the largest id present */
    int32_t *slot;  /* [slots] id, or -1 */
    uint32_t slots; /* a power of two */
    uint64_t seed;  /* so that a file cannot choose its collisions */
    size_t count;
};

/* Makes room for count pieces of together bytes bytes with ids below ids (checked by the caller against the
 * maximum). False when memory is short; release in any case. */
bool vocabulary_init(struct vocabulary *, size_t count, size_t bytes, size_t ids);
void vocabulary_release(struct vocabulary *);

/* Adds a piece within that room; false when the id is taken. Of two equal pieces the later one is found. */
bool vocabulary_add(struct vocabulary *, int32_t id, const char *piece, size_t length);

/* The id of a piece, or -1. */
int32_t vocabulary_find(const struct vocabulary *, const char *piece, size_t length);

/* The piece of an id, or NULL (ids out of range too). Not NUL-terminated. */
const char *vocabulary_piece(const struct vocabulary *, int32_t id, size_t *length);

#endif
