#include "engine/picture/exif.h"

#include "base/memory.h"
#include "engine/picture/formats.h"

#include <stdlib.h>
#include <string.h>

enum { TAG_ORIENTATION = 0x0112, ENTRY_BYTES = 12 };

struct tiff {
    const uint8_t *bytes;
    size_t length;
    bool big_endian;
};

static uint16_t tiff_u16(const struct tiff *t, size_t at)
{
    return t->big_endian ? read_u16be(t->bytes + at) : read_u16le(t->bytes + at);
}

static uint32_t tiff_u32(const struct tiff *t, size_t at)
{
    return t->big_endian ? read_u32be(t->bytes + at) : read_u32le(t->bytes + at);
}

/* The value of a directory entry that is one small integer; 0 for anything else. */
static int entry_integer(const struct tiff *t, size_t entry)
{
    enum { BYTE = 1, SHORT = 3, LONG = 4, SBYTE = 6, SSHORT = 8, SLONG = 9 };
    if (tiff_u32(t, entry + 4) != 1)
        return 0;
    uint32_t value = 0;
    switch (tiff_u16(t, entry + 2)) {
    case BYTE:
    case SBYTE: value = t->bytes[entry + 8]; break;
    case SHORT:
    case SSHORT: value = tiff_u16(t, entry + 8); break;
    case LONG:
    case SLONG: value = tiff_u32(t, entry + 8); break;
    }
    return value <= 8 ? (int)value : 0;
}

int exif_orientation(const uint8_t *bytes, size_t length)
{
    static const uint8_t prefix[6] = "Exif\0";
    for (int i = 0; i < 2 && length >= sizeof prefix && memcmp(bytes, prefix, sizeof prefix) == 0; i++) {
        bytes += sizeof prefix;
        length -= sizeof prefix;
    }
    if (length < 8 || (memcmp(bytes, "II\x2a\0", 4) != 0 && memcmp(bytes, "MM\0\x2a", 4) != 0))
        return 0;
    struct tiff t = {.bytes = bytes, .length = length, .big_endian = bytes[0] == 'M'};
    size_t directory = tiff_u32(&t, 4);
    if (directory > length || length - directory < 2)
        return 0;
    size_t entries = tiff_u16(&t, directory), orientation = 0;
    for (size_t i = 0, at = directory + 2; i < entries && length - at >= ENTRY_BYTES; i++, at += ENTRY_BYTES)
        if (tiff_u16(&t, at) == TAG_ORIENTATION)
            orientation = (size_t)entry_integer(&t, at);
    return (int)orientation;
}

int xmp_orientation(const uint8_t *bytes, size_t length)
{
    static const char name[] = "tiff:Orientation";
    const uint8_t *end = bytes + length, *p = bytes;
    while ((p = memmem(p, (size_t)(end - p), name, sizeof name - 1)) != NULL) {
        p += sizeof name - 1;
        size_t skip = end - p >= 2 && p[0] == '=' && p[1] == '"' ? 2 : end - p >= 1 && p[0] == '>' ? 1 : 0;
        if (skip && (size_t)(end - p) > skip && p[skip] >= '0' && p[skip] <= '9')
            return p[skip] - '0';
    }
    return 0;
}

/* n pixels, from places step pixels apart. */
static void copy_pixels(uint8_t *to, const uint8_t *from, ptrdiff_t step, int n)
{
    for (int i = 0; i < n; i++, to += 3, from += 3 * step) {
        to[0] = from[0];
        to[1] = from[1];
        to[2] = from[2];
    }
}

enum status orientation_apply(struct picture *p, int orientation, struct error *err)
{
    if (orientation < 2 || orientation > 8)
        return STATUS_OK;
    /* the upright picture is the stored one with its axes mirrored, then (5..8) swapped */
    bool swap = orientation >= 5;
    bool mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    int width = swap ? p->height : p->width, height = swap ? p->width : p->height;
    uint8_t *upright = try_malloc((size_t)width * (size_t)height, 3);
    if (!upright)
        return error_set(err, STATUS_NO_MEMORY, "no memory to turn a picture of %d x %d", width, height);
    ptrdiff_t step_x = swap ? (ptrdiff_t)p->width : 1, step_y = swap ? 1 : (ptrdiff_t)p->width;
    ptrdiff_t start = 0;
    if (swap ? mirror_y : mirror_x) {
        start += step_x * (width - 1);
        step_x = -step_x;
    }
    if (swap ? mirror_x : mirror_y) {
        start += step_y * (height - 1);
        step_y = -step_y;
    }
    enum { STRIP = 32 }; /* columns turned at a time, so that the rows they come from stay in the cache */
    for (int x = 0; x < width; x += STRIP)
        for (int y = 0; y < height; y++)
            copy_pixels(upright + 3 * ((size_t)y * (size_t)width + (size_t)x),
                        p->rgb + 3 * (start + step_y * y + step_x * x), step_x,
                        width - x < STRIP ? width - x : STRIP);
    free(p->rgb);
    *p = (struct picture){.width = width, .height = height, .rgb = upright};
    return STATUS_OK;
}
