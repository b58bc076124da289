/* The chunks of a PNG file: length, type, data, CRC. Nothing in them is believed before it is checked. */
#ifndef VARGPT_ENGINE_PICTURE_PNG_CHUNKS_H
#define VARGPT_ENGINE_PICTURE_PNG_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PNG_SIGNATURE "\x89PNG\r\n\x1a\n"
enum { PNG_SIGNATURE_BYTES = 8, PNG_CHUNK_OVERHEAD = 12 };

/* A chunk's type as a number, from its four letters. */
#define PNG_TYPE(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

struct png_chunk {
    uint32_t type;
    const uint8_t *data; /* in the file; [length], then four bytes of CRC */
    size_t length;
};

/* The chunk at *offset, which moves behind it (begin at PNG_SIGNATURE_BYTES); false when no whole chunk is
 * left. */
bool png_next_chunk(const uint8_t *file, size_t length, size_t *offset, struct png_chunk *);

/* Does the chunk's CRC fit? */
bool png_chunk_intact(const struct png_chunk *);

/* CRC-32 as PNG and zlib define it; start with 0, feed the result back to go on. */
uint32_t png_crc(uint32_t crc, const uint8_t *bytes, size_t n);

#endif
