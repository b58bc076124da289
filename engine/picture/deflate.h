/* Compresses bytes into a zlib stream (RFC 1950, 1951): LZ77 over 32 KiB with lazy matching, dynamic Huffman
 * codes. */
#ifndef VARGPT_ENGINE_PICTURE_DEFLATE_H
#define VARGPT_ENGINE_PICTURE_DEFLATE_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

/* Appends the stream; false without memory, or when out is full. */
bool deflate_zlib(struct buffer *out, const uint8_t *bytes, size_t length);

#endif
