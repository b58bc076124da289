/* Pictures as files: PNG, JPEG, WebP, GIF (first frame), BMP in; PNG, JPEG, WebP out. Pure functions, any
 * thread. Every limit is checked from the header, before memory for pixels is taken. Errors carry no library
 * text. */
#ifndef VARGPT_ENGINE_PICTURE_CODEC_H
#define VARGPT_ENGINE_PICTURE_CODEC_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 8-bit RGB, rows first, no padding. */
struct picture {
    int width, height;
    uint8_t *rgb; /* [height * width * 3]; free with picture_release */
};
void picture_release(struct picture *); /* accepts a zeroed picture */

struct picture_limits {
    size_t max_bytes;   /* of the file */
    int64_t max_pixels; /* width * height */
};
extern const struct picture_limits picture_default_limits; /* 20 MB, 50 megapixels */

/* Decodes as Pillow's open + exif_transpose + convert("RGB") does: alpha dropped, palettes looked up, 16 bits
 * to 8 (the high byte; gray is clipped at 255, as Pillow does), the first frame of an animation, EXIF
 * orientation applied. JPEG pixels differ from Pillow's by a level or two, being decoded by other code. The
 * bytes decide the format, not any label. No side may be over 65535. Failure: STATUS_TOO_LARGE naming the
 * limit, STATUS_BAD_REQUEST or STATUS_NO_MEMORY; *out is then untouched. */
enum status picture_decode(struct picture *out, const void *bytes, size_t length,
                           const struct picture_limits *, struct error *err);

enum picture_format { PICTURE_PNG, PICTURE_JPEG, PICTURE_WEBP };
const char *picture_format_name(enum picture_format);                  /* "png", ... */
bool picture_format_parse(const char *name, enum picture_format *out); /* "png", "jpeg", "jpg", "webp" */

/* How a picture was drawn; kept in a PNG text chunk so that it re-enters a conversation exactly as it was
 * made. */
struct picture_origin {
    const int32_t *codes; /* [n_codes] scale after scale, rows first; NULL = none */
    size_t n_codes;
    uint64_t seed;
    uint32_t ordinal;
};

/* Encodes. quality 0..100 (JPEG, WebP, which is lossy even at 100; ignored for PNG). origin (may be NULL) is
 * written into PNGs, with a digest of the pixels. Appends to out; fails with STATUS_NO_MEMORY, or with
 * STATUS_TOO_LARGE for a WebP of over 16383 pixels a side. */
enum status picture_encode(const struct picture *, enum picture_format, int quality,
                           const struct picture_origin *origin, struct buffer *out, struct error *err);

/* The codes in a PNG made by picture_encode, if there are any and the digest fits the pixels: true, with
 * *codes (malloc'ed, caller frees), *n_codes, *seed and *ordinal set. They are a client's input: range-check
 * them. */
bool picture_read_origin(const void *bytes, size_t length, const struct picture *decoded, int32_t **codes,
                         size_t *n_codes, uint64_t *seed, uint32_t *ordinal);

/* out: a new picture of width x height (Pillow's antialiased bicubic, horizontally first). */
enum status picture_resize(const struct picture *, int width, int height, struct picture *out,
                           struct error *err);

#endif
