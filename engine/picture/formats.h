/* Inside engine/picture only: one decoder for each file format, and what they share. */
#ifndef VARGPT_ENGINE_PICTURE_FORMATS_H
#define VARGPT_ENGINE_PICTURE_FORMATS_H

#include "engine/picture/codec.h"

/* No format needs more, and no arithmetic on one side can then overflow an int. */
enum { PICTURE_MAX_SIDE = 65535 };

/* Bytes in a file; every read is preceded by a check of what is left. */
static inline uint16_t read_u16be(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint16_t read_u16le(const uint8_t *p)
{
    return (uint16_t)(p[1] << 8 | p[0]);
}
static inline uint32_t read_u32be(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint32_t read_u32le(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* Is width x height a picture we take? STATUS_BAD_REQUEST when empty, STATUS_TOO_LARGE naming the limit. */
enum status picture_check_size(int64_t width, int64_t height, int64_t max_pixels, struct error *);

/* The same, then memory for the pixels, all zero. *out is untouched on failure. */
enum status picture_allocate(struct picture *out, int64_t width, int64_t height, int64_t max_pixels,
                             struct error *);

/* Decoders. *out is a zeroed picture and stays releasable on failure; *orientation (EXIF's 1..8) is set where
 * the file says one. */
enum status png_decode(struct picture *out, int *orientation, const uint8_t *bytes, size_t length,
                       int64_t max_pixels, struct error *);
enum status jpeg_decode(struct picture *out, int *orientation, const uint8_t *bytes, size_t length,
                        int64_t max_pixels, struct error *);
enum status webp_decode(struct picture *out, int *orientation, const uint8_t *bytes, size_t length,
                        int64_t max_pixels, struct error *);
enum status gif_decode(struct picture *out, const uint8_t *bytes, size_t length, int64_t max_pixels,
                       struct error *);
enum status bmp_decode(struct picture *out, const uint8_t *bytes, size_t length, int64_t max_pixels,
                       struct error *);

/* Encoders, as picture_encode. */
enum status png_encode(const struct picture *, const struct picture_origin *, struct buffer *out,
                       struct error *);
enum status jpeg_encode(const struct picture *, int quality, struct buffer *out, struct error *);
enum status webp_encode(const struct picture *, int quality, struct buffer *out, struct error *);

#endif
