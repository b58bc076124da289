/* BMP: 1, 4, 8 bits with a palette (plain or run-length coded), 16, 24, 32 bits, as Pillow reads them. */
#include "engine/picture/formats.h"

#include <stdlib.h>
#include <string.h>

enum compression { PLAIN = 0, RLE8 = 1, RLE4 = 2, BITFIELDS = 3 };
enum { FILE_HEADER = 14, CORE_HEADER = 12, INFO_HEADER = 40 };

struct bmp {
    const uint8_t *bytes;
    size_t length, pixels_at;
    int64_t width, height;
    bool top_down;
    int depth;
    uint32_t compression;
    uint32_t mask[3]; /* red, green, blue, of 16- and 32-bit pixels */
    uint8_t palette[256][3];
};

static enum status damaged(struct error *err, const char *what)
{
    return error_set(err, STATUS_BAD_REQUEST, "the BMP is damaged: %s", what);
}

static bool read_masks(struct bmp *b, size_t header_size)
{
    static const uint32_t plain16[3] = {0x7c00, 0x3e0, 0x1f}, plain32[3] = {0xff0000, 0xff00, 0xff};
    memcpy(b->mask, b->depth == 16 ? plain16 : plain32, sizeof b->mask);
    if (b->compression != BITFIELDS)
        return true;
    size_t at = FILE_HEADER + INFO_HEADER; /* inside the longer headers, behind the shortest */
    if (header_size < INFO_HEADER || b->length < at + 12)
        return false;
    uint32_t all = 0;
    for (int i = 0; i < 3; i++)
        all |= read_u32le(b->bytes + at + 4 * (size_t)i);
    for (int i = 0; i < 3 && all; i++)
        b->mask[i] = read_u32le(b->bytes + at + 4 * (size_t)i);
    if (header_size == INFO_HEADER && b->pixels_at < at + 12)
        b->pixels_at = at + 12;
    return true;
}

static void read_palette(struct bmp *b, size_t at, size_t colors, size_t entry)
{
    for (size_t i = 0; i < colors && i < 256 && at + entry <= b->length; i++, at += entry)
        for (int c = 0; c < 3; c++)
            b->palette[i][c] = b->bytes[at + 2 - (size_t)c];
}

static enum status read_headers(struct bmp *b, struct error *err)
{
    if (b->length < FILE_HEADER + CORE_HEADER)
        return damaged(err, "it ends inside its header");
    const uint8_t *p = b->bytes + FILE_HEADER;
    size_t header_size = read_u32le(p), colors = 0;
    b->pixels_at = read_u32le(b->bytes + 10);
    if (header_size == CORE_HEADER) {
        b->width = read_u16le(p + 4);
        b->height = read_u16le(p + 6);
        b->depth = read_u16le(p + 10);
    } else if (header_size >= INFO_HEADER && header_size <= 124 && b->length - FILE_HEADER >= header_size) {
        b->width = (int32_t)read_u32le(p + 4);
        b->height = (int32_t)read_u32le(p + 8);
        b->top_down = b->height < 0;
        b->height = b->top_down ? -b->height : b->height;
        b->depth = read_u16le(p + 14);
        b->compression = read_u32le(p + 16);
        colors = read_u32le(p + 32);
    } else {
        return damaged(err, "its header has an unknown size");
    }
    bool fits = (b->compression == PLAIN && (b->depth == 1 || b->depth == 4 || b->depth == 8 ||
                                             b->depth == 16 || b->depth == 24 || b->depth == 32)) ||
                (b->compression == RLE8 && b->depth == 8) || (b->compression == RLE4 && b->depth == 4) ||
                (b->compression == BITFIELDS && (b->depth == 16 || b->depth == 24 || b->depth == 32));
    if (!fits)
        return error_set(err, STATUS_BAD_REQUEST,
                         "a BMP of this depth or compression is not supported; use PNG");
    if (!read_masks(b, header_size))
        return damaged(err, "it ends inside its header");
    size_t entry = header_size == CORE_HEADER ? 3 : 4, palette_at = FILE_HEADER + header_size;
    if (!colors || colors > (size_t)1 << (b->depth < 8 ? b->depth : 8))
        colors = (size_t)1 << (b->depth < 8 ? b->depth : 8);
    if (b->depth <= 8) {
        read_palette(b, palette_at, colors, entry);
        if (b->pixels_at <= palette_at) /* some writers leave the palette out of the offset */
            b->pixels_at = palette_at + entry * colors;
    } else if (!b->pixels_at) {
        b->pixels_at = palette_at;
    }
    return b->pixels_at <= b->length ? STATUS_OK : damaged(err, "its pixels lie behind its end");
}

/* The bits under a mask, scaled to 0..255 by truncation. */
static uint8_t masked(uint32_t v, uint32_t mask)
{
    if (!mask)
        return 0;
    int shift = __builtin_ctz(mask);
    uint64_t most = mask >> shift;
    return (uint8_t)((uint64_t)((v & mask) >> shift) * 255 / most);
}

static void write_row(const struct bmp *b, const uint8_t *row, uint8_t *rgb)
{
    for (size_t x = 0; x < (size_t)b->width; x++, rgb += 3) {
        if (b->depth <= 8) {
            size_t bit = x * (size_t)b->depth;
            unsigned index = row[bit / 8] >> (8 - (unsigned)b->depth - bit % 8) & ((1u << b->depth) - 1);
            memcpy(rgb, b->palette[index], 3);
        } else if (b->depth == 24) {
            rgb[0] = row[3 * x + 2];
            rgb[1] = row[3 * x + 1];
            rgb[2] = row[3 * x];
        } else {
            uint32_t v = b->depth == 16 ? read_u16le(row + 2 * x) : read_u32le(row + 4 * x);
            for (int c = 0; c < 3; c++)
                rgb[c] = masked(v, b->mask[c]);
        }
    }
}

static uint8_t *row_of(const struct bmp *b, const struct picture *out, int64_t y)
{
    return out->rgb + 3 * (size_t)((b->top_down ? y : b->height - 1 - y) * b->width);
}

static enum status read_plain(const struct bmp *b, struct picture *out, struct error *err)
{
    size_t stride = ((size_t)b->width * (size_t)b->depth + 31) / 32 * 4, left = b->length - b->pixels_at;
    size_t last = ((size_t)b->width * (size_t)b->depth + 7) / 8; /* the last row may lack its padding */
    if (left < last || (left - last) / stride < (size_t)b->height - 1)
        return damaged(err, "it ends before its last pixel");
    for (int64_t y = 0; y < b->height; y++)
        write_row(b, b->bytes + b->pixels_at + stride * (size_t)y, row_of(b, out, y));
    return STATUS_OK;
}

struct pen {
    const struct bmp *bmp;
    struct picture *out;
    int64_t x, y;
};

static void put(struct pen *pen, unsigned index)
{
    if (pen->x < pen->bmp->width && pen->y < pen->bmp->height)
        memcpy(row_of(pen->bmp, pen->out, pen->y) + 3 * pen->x, pen->bmp->palette[index], 3);
    pen->x++;
}

/* n pixels from bytes as they stand: one a byte, or two in RLE4. */
static void put_literal(struct pen *pen, const uint8_t *p, int n)
{
    bool four = pen->bmp->compression == RLE4;
    for (int i = 0; i < n; i++)
        put(pen, four ? p[i / 2] >> (i % 2 ? 0 : 4) & 15 : p[i]);
}

static void put_run(struct pen *pen, uint8_t byte, int n)
{
    bool four = pen->bmp->compression == RLE4;
    for (int i = 0; i < n; i++)
        put(pen, four ? byte >> (i % 2 ? 0 : 4) & 15 : byte);
}

/* Runs, literal stretches and jumps; pixels never written keep the palette's first colour. */
static enum status read_runs(const struct bmp *b, struct picture *out, struct error *err)
{
    struct pen pen = {.bmp = b, .out = out};
    for (int64_t i = 0; i < b->width * b->height; i++)
        memcpy(out->rgb + 3 * i, b->palette[0], 3);
    const uint8_t *p = b->bytes + b->pixels_at, *end = b->bytes + b->length;
    while (pen.y < b->height && end - p >= 2) {
        int count = p[0], value = p[1];
        p += 2;
        if (count) {
            put_run(&pen, (uint8_t)value, count);
        } else if (value == 0) {
            pen.x = 0;
            pen.y++;
        } else if (value == 1) {
            return STATUS_OK;
        } else if (value == 2) {
            if (end - p < 2)
                break;
            pen.x += p[0];
            pen.y += p[1];
            p += 2;
        } else {
            ptrdiff_t n = b->compression == RLE4 ? (value + 1) / 2 : value;
            if (end - p < n)
                break;
            put_literal(&pen, p, value);
            p += end - p > n ? n + n % 2 : n;
        }
    }
    return pen.y >= b->height - 1 ? STATUS_OK : damaged(err, "it ends before its last pixel");
}

enum status bmp_decode(struct picture *out, const uint8_t *bytes, size_t length, int64_t max_pixels,
                       struct error *err)
{
    struct bmp b = {.bytes = bytes, .length = length};
    enum status status = read_headers(&b, err);
    if (!status)
        status = picture_allocate(out, b.width, b.height, max_pixels, err);
    if (status)
        return status;
    return b.compression == RLE8 || b.compression == RLE4 ? read_runs(&b, out, err)
                                                          : read_plain(&b, out, err);
}
