#include "engine/picture/codec.h"

#include "base/memory.h"
#include "engine/picture/exif.h"
#include "engine/picture/formats.h"
#include "engine/picture/resample.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const struct picture_limits picture_default_limits = {.max_bytes = 20000000, .max_pixels = 50000000};

void picture_release(struct picture *p)
{
    free(p->rgb);
    *p = (struct picture){0};
}

enum status picture_check_size(int64_t width, int64_t height, int64_t max_pixels, struct error *err)
{
    if (width <= 0 || height <= 0)
        return error_set(err, STATUS_BAD_REQUEST, "the picture is empty: it has no width or no height");
    if (width > PICTURE_MAX_SIDE || height > PICTURE_MAX_SIDE)
        return error_set(err, STATUS_TOO_LARGE, "the picture is %lld x %lld pixels; the limit is %d a side",
                         (long long)width, (long long)height, PICTURE_MAX_SIDE);
    if (width * height > max_pixels)
        return error_set(err, STATUS_TOO_LARGE, "the picture is %lld x %lld pixels; the limit is %lld in all",
                         (long long)width, (long long)height, (long long)max_pixels);
    return STATUS_OK;
}

enum status picture_allocate(struct picture *out, int64_t width, int64_t height, int64_t max_pixels,
                             struct error *err)
{
    enum status status = picture_check_size(width, height, max_pixels, err);
    if (status)
        return status;
    uint8_t *rgb = try_calloc((size_t)(width * height), 3);
    if (!rgb)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a picture of %lld x %lld pixels",
                         (long long)width, (long long)height);
    *out = (struct picture){.width = (int)width, .height = (int)height, .rgb = rgb};
    return STATUS_OK;
}

static bool starts_with(const uint8_t *bytes, size_t length, const char *magic, size_t n)
{
    return length >= n && memcmp(bytes, magic, n) == 0;
}

static enum status decode_by_content(struct picture *out, int *orientation, const uint8_t *bytes,
                                     size_t length, int64_t max_pixels, struct error *err)
{
    if (starts_with(bytes, length, "\x89PNG\r\n\x1a\n", 8))
        return png_decode(out, orientation, bytes, length, max_pixels, err);
    if (starts_with(bytes, length, "\xff\xd8\xff", 3))
        return jpeg_decode(out, orientation, bytes, length, max_pixels, err);
    if (length >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0)
        return webp_decode(out, orientation, bytes, length, max_pixels, err);
    if (starts_with(bytes, length, "GIF87a", 6) || starts_with(bytes, length, "GIF89a", 6))
        return gif_decode(out, bytes, length, max_pixels, err);
    if (starts_with(bytes, length, "BM", 2))
        return bmp_decode(out, bytes, length, max_pixels, err);
    return error_set(err, STATUS_BAD_REQUEST, "the picture is not a PNG, JPEG, WebP, GIF or BMP file");
}

enum status picture_decode(struct picture *out, const void *bytes, size_t length,
                           const struct picture_limits *limits, struct error *err)
{
    if (length > limits->max_bytes)
        return error_set(err, STATUS_TOO_LARGE, "the picture has %zu bytes; the limit is %zu", length,
                         limits->max_bytes);
    struct picture decoded = {0};
    int orientation = 1;
    enum status status = decode_by_content(&decoded, &orientation, bytes, length, limits->max_pixels, err);
    if (!status)
        status = orientation_apply(&decoded, orientation, err);
    if (status) {
        picture_release(&decoded);
        return status;
    }
    *out = decoded;
    return STATUS_OK;
}

static const char *const format_names[] = {
    [PICTURE_PNG] = "png", [PICTURE_JPEG] = "jpeg", [PICTURE_WEBP] = "webp"};

const char *picture_format_name(enum picture_format format)
{
    return format_names[format];
}

bool picture_format_parse(const char *name, enum picture_format *out)
{
    for (int i = 0; i < 3; i++) {
        if (strcmp(name, format_names[i]) == 0) {
            *out = (enum picture_format)i;
            return true;
        }
    }
    if (strcmp(name, "jpg") != 0)
        return false;
    *out = PICTURE_JPEG;
    return true;
}

enum status picture_encode(const struct picture *p, enum picture_format format, int quality,
                           const struct picture_origin *origin, struct buffer *out, struct error *err)
{
    assert(p->width > 0 && p->height > 0 && p->width <= PICTURE_MAX_SIDE && p->height <= PICTURE_MAX_SIDE);
    quality = quality < 0 ? 0 : quality > 100 ? 100 : quality;
    switch (format) {
    case PICTURE_PNG: return png_encode(p, origin, out, err);
    case PICTURE_JPEG: return jpeg_encode(p, quality, out, err);
    case PICTURE_WEBP: return webp_encode(p, quality, out, err);
    }
    return error_set(err, STATUS_BAD_REQUEST, "unknown picture format");
}

enum status picture_resize(const struct picture *p, int width, int height, struct picture *out,
                           struct error *err)
{
    struct picture resized = {0};
    enum status status = picture_allocate(&resized, width, height, INT64_MAX, err);
    if (status)
        return status;
    struct resample_window all = {
        .full_width = width, .full_height = height, .width = width, .height = height};
    status = resample_picture(p, RESAMPLE_BICUBIC, &all, resized.rgb, err);
    if (status) {
        picture_release(&resized);
        return status;
    }
    *out = resized;
    return STATUS_OK;
}
