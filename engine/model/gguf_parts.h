/* What the two halves of the GGUF reader share: a cursor over the file, and the metadata. */
#ifndef VARGPT_ENGINE_MODEL_GGUF_PARTS_H
#define VARGPT_ENGINE_MODEL_GGUF_PARTS_H

#include "engine/model/gguf.h"

/* A place in the file. Every read is checked; the first failure is told in err and sticks in `status`. */
struct gguf_cursor {
    const struct mapped_file *file;
    size_t at;
    enum status status;
    struct error *err;
};

/* Little-endian numbers; 0 once the cursor has failed. */
uint32_t gguf_take_u32(struct gguf_cursor *);
uint64_t gguf_take_u64(struct gguf_cursor *);
/* n bytes in the map, or NULL. */
const unsigned char *gguf_take_bytes(struct gguf_cursor *, uint64_t n);
/* A string: its bytes in the map (not terminated), or NULL. */
const char *gguf_take_string(struct gguf_cursor *, size_t *length);
static inline size_t gguf_bytes_left(const struct gguf_cursor *c)
{
    return c->file->size - c->at;
}

/* Reads `count` key-value pairs. On failure *out is NULL. */
enum status gguf_metadata_read(struct gguf_cursor *, uint64_t count, struct gguf_metadata **out);

#endif
