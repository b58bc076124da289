/* The only door to stb: the zlib inflater of stb_image, its JPEG decoder, and stb_image_write's JPEG encoder.
 * Everything handed in has been checked by the caller (png.c, jpeg.c) against what these are known to
 * believe. */
#ifndef VARGPT_ENGINE_PICTURE_STB_H
#define VARGPT_ENGINE_PICTURE_STB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A match may run this far past what was asked for: inflate into that much more than you need. */
enum { STB_INFLATE_SLACK = 258 };

/* Inflates a zlib stream until it ends, is damaged, or out[capacity] is full; returns the bytes written whole
 * blocks at a time. Fill out with zeros first: a damaged stream may copy bytes that were not written yet. */
size_t stb_inflate(uint8_t *out, size_t capacity, const uint8_t *in, size_t length);

/* The pixels of a JPEG as RGB, [height * width * 3] (free with free()), or NULL. All it allocates on the way
 * stays within memory_limit bytes. */
uint8_t *stb_jpeg_decode(const uint8_t *bytes, size_t length, int *width, int *height, size_t memory_limit);

/* Writes a JPEG through `write`, a few bytes at a time. quality 1..100. */
typedef void stb_write(void *context, void *bytes, int n);
bool stb_jpeg_encode(stb_write *write, void *context, int width, int height, const uint8_t *rgb, int quality);

#endif
