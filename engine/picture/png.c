/* Reading PNG (ISO/IEC 15948), every colour type, depth and interlace, into 8-bit RGB. The inflater is stb's;
 * the rest is here because stb's reader takes four times the memory, skips the CRCs and reads past short
 * palettes. */
#include "engine/picture/png_chunks.h"

#include "base/memory.h"
#include "engine/picture/exif.h"
#include "engine/picture/formats.h"
#include "engine/picture/stb.h"

#include <stdlib.h>
#include <string.h>

enum color_type { GRAY = 0, RGB = 2, PALETTE = 3, GRAY_ALPHA = 4, RGB_ALPHA = 6 };

struct png {
    int64_t width, height;
    int depth, color, channels;
    bool interlaced;
    uint8_t palette[256][3]; /* black where the file has no entry, as in Pillow */
    bool has_palette;
    int exif, xmp; /* orientations, 0 = none */
    const uint8_t *idat;
    uint8_t *joined; /* idat, when it was in several chunks */
    size_t idat_length;
};

static enum status damaged(struct error *err, const char *what)
{
    return error_set(err, STATUS_BAD_REQUEST, "the PNG is damaged: %s", what);
}

static bool read_header(struct png *png, const struct png_chunk *chunk)
{
    if (chunk->type != PNG_TYPE('I', 'H', 'D', 'R') || chunk->length != 13 || !png_chunk_intact(chunk))
        return false;
    const uint8_t *p = chunk->data;
    png->width = read_u32be(p);
    png->height = read_u32be(p + 4);
    png->depth = p[8];
    png->color = p[9];
    png->interlaced = p[12] == 1;
    static const uint8_t channels[7] = {
        [GRAY] = 1, [RGB] = 3, [PALETTE] = 1, [GRAY_ALPHA] = 2, [RGB_ALPHA] = 4};
    png->channels = png->color <= RGB_ALPHA ? channels[png->color] : 0;
    bool depth_fits = png->depth == 8 || (png->depth == 16 && png->color != PALETTE) ||
                      ((png->depth == 1 || png->depth == 2 || png->depth == 4) &&
                       (png->color == GRAY || png->color == PALETTE));
    return png->channels && depth_fits && p[10] == 0 && p[11] == 0 && p[12] <= 1;
}

/* XMP lies in an iTXt chunk: keyword NUL, compressed?, method, language NUL, translated keyword NUL, text. */
static int itxt_orientation(const struct png_chunk *chunk)
{
    static const char keyword[] = "XML:com.adobe.xmp"; /* compared with its NUL */
    if (chunk->length < sizeof keyword + 2 || memcmp(chunk->data, keyword, sizeof keyword) != 0 ||
        chunk->data[sizeof keyword] != 0)
        return 0;
    return xmp_orientation(chunk->data + sizeof keyword + 2, chunk->length - sizeof keyword - 2);
}

static void read_palette(struct png *png, const struct png_chunk *chunk)
{
    size_t n = chunk->length < sizeof png->palette ? chunk->length : sizeof png->palette;
    memcpy(png->palette, chunk->data, n / 3 * 3);
    png->has_palette = true;
}

/* Joins the run of IDAT chunks that begins with `first`; *offset moves behind it. */
static enum status join_idat(struct png *png, const uint8_t *file, size_t length, struct png_chunk first,
                             size_t *offset, struct error *err)
{
    png->idat = first.data;
    struct png_chunk chunk = first;
    size_t end = *offset;
    bool several = false;
    do {
        if (!png_chunk_intact(&chunk))
            return damaged(err, "its image data fails the check sum");
        png->idat_length += chunk.length;
        several |= chunk.data != first.data;
        *offset = end;
    } while (png_next_chunk(file, length, &end, &chunk) && chunk.type == first.type);
    if (!several)
        return STATUS_OK;
    png->joined = try_malloc(png->idat_length, 1);
    if (!png->joined)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the PNG's image data");
    size_t at = (size_t)(first.data - file) - 8, filled = 0;
    while (filled < png->idat_length && png_next_chunk(file, length, &at, &chunk)) {
        memcpy(png->joined + filled, chunk.data, chunk.length);
        filled += chunk.length;
    }
    png->idat = png->joined;
    return STATUS_OK;
}

/* Everything up to the end of the file: palette, orientation, the image data. */
static enum status read_chunks(struct png *png, const uint8_t *file, size_t length, int64_t max_pixels,
                               struct error *err)
{
    size_t offset = PNG_SIGNATURE_BYTES;
    struct png_chunk chunk;
    if (!png_next_chunk(file, length, &offset, &chunk) || !read_header(png, &chunk))
        return damaged(err, "its header is wrong or missing");
    enum status status = picture_check_size(png->width, png->height, max_pixels, err);
    while (!status && png_next_chunk(file, length, &offset, &chunk)) {
        switch (chunk.type) {
        case PNG_TYPE('P', 'L', 'T', 'E'):
            if (!png_chunk_intact(&chunk))
                return damaged(err, "its palette fails the check sum");
            read_palette(png, &chunk);
            break;
        case PNG_TYPE('I', 'D', 'A', 'T'):
            if (!png->idat)
                status = join_idat(png, file, length, chunk, &offset, err);
            break;
        case PNG_TYPE('e', 'X', 'I', 'f'): png->exif = exif_orientation(chunk.data, chunk.length); break;
        case PNG_TYPE('i', 'T', 'X', 't'): png->xmp = png->xmp ? png->xmp : itxt_orientation(&chunk); break;
        case PNG_TYPE('I', 'E', 'N', 'D'): offset = length; break;
        }
    }
    if (status)
        return status;
    if (!png->idat)
        return damaged(err, "it has no image data");
    if (png->color == PALETTE && !png->has_palette)
        return damaged(err, "it has no palette");
    return STATUS_OK;
}

static int paeth(int a, int b, int c)
{
    int pa = abs(b - c), pb = abs(a - c), pc = abs(a + b - 2 * c);
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

/* Undoes a row's filter. prior: the row above, unfiltered; n bytes each, bpp of them a pixel. */
static bool unfilter(int filter, uint8_t *row, const uint8_t *prior, size_t n, size_t bpp)
{
    switch (filter) {
    case 0: return true;
    case 1:
        for (size_t i = bpp; i < n; i++)
            row[i] = (uint8_t)(row[i] + row[i - bpp]);
        return true;
    case 2:
        for (size_t i = 0; i < n; i++)
            row[i] = (uint8_t)(row[i] + prior[i]);
        return true;
    case 3:
        for (size_t i = 0; i < bpp; i++)
            row[i] = (uint8_t)(row[i] + prior[i] / 2);
        for (size_t i = bpp; i < n; i++)
            row[i] = (uint8_t)(row[i] + (row[i - bpp] + prior[i]) / 2);
        return true;
    case 4:
        for (size_t i = 0; i < bpp; i++)
            row[i] = (uint8_t)(row[i] + prior[i]);
        for (size_t i = bpp; i < n; i++)
            row[i] = (uint8_t)(row[i] + paeth(row[i - bpp], prior[i], prior[i - bpp]));
        return true;
    }
    return false;
}

/* Pixels of an unfiltered row as RGB, `step` pixels apart. */
static void write_row(const struct png *png, const uint8_t *row, size_t pixels, uint8_t *rgb, size_t step)
{
    int depth = png->depth, bytes = depth / 8 ? depth / 8 : 1;
    unsigned most = (1u << (depth < 8 ? depth : 8)) - 1;
    if (png->color == RGB && depth == 8 && step == 1) {
        memcpy(rgb, row, 3 * pixels);
        return;
    }
    for (size_t x = 0; x < pixels; x++, rgb += 3 * step) {
        const uint8_t *p = row + x * (size_t)(png->channels * bytes);
        unsigned v = *p;
        if (depth < 8) {
            size_t bit = x * (size_t)depth;
            v = row[bit / 8] >> (8 - (unsigned)depth - bit % 8) & most;
        }
        switch (png->color) {
        case RGB:
        case RGB_ALPHA:
            rgb[0] = p[0];
            rgb[1] = p[bytes];
            rgb[2] = p[2 * bytes];
            break;
        case PALETTE: memcpy(rgb, png->palette[v], 3); break;
        case GRAY:
            if (depth == 16 && v)
                v = 255; /* Pillow's I;16 to RGB clips instead of scaling, and so do the model's inputs */
            else if (depth == 16)
                v = p[1];
            else
                v = v * 255 / most;
            memset(rgb, (int)v, 3);
            break;
        case GRAY_ALPHA: memset(rgb, (int)v, 3); break;
        }
    }
}

/* One of Adam7's seven passes: where it begins and how far apart its pixels are. */
struct pass {
    uint8_t x, y, dx, dy;
};
static const struct pass whole = {0, 0, 1, 1};
static const struct pass adam7[7] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                     {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

static size_t pass_width(const struct png *png, const struct pass *pass)
{
    return (size_t)((png->width - pass->x + pass->dx - 1) / pass->dx);
}

static size_t pass_height(const struct png *png, const struct pass *pass)
{
    return (size_t)((png->height - pass->y + pass->dy - 1) / pass->dy);
}

static size_t row_bytes(const struct png *png, size_t pixels)
{
    return (pixels * (size_t)(png->channels * png->depth) + 7) / 8;
}

/* Bytes of a pass after inflating: a filter byte before each row; nothing at all when no pixel falls into it.
 */
static size_t pass_bytes(const struct png *png, const struct pass *pass)
{
    size_t pixels = pass_width(png, pass);
    return pixels ? pass_height(png, pass) * (1 + row_bytes(png, pixels)) : 0;
}

static bool write_pass(const struct png *png, const struct pass *pass, uint8_t *raw, const uint8_t *zeros,
                       struct picture *out)
{
    size_t pixels = pass_width(png, pass), n = row_bytes(png, pixels),
           rows = pixels ? pass_height(png, pass) : 0;
    size_t bpp = (size_t)(png->channels * png->depth + 7) / 8;
    const uint8_t *prior = zeros;
    for (size_t row = 0; row < rows; row++, raw += 1 + n) {
        if (!unfilter(raw[0], raw + 1, prior, n, bpp))
            return false;
        prior = raw + 1;
        size_t y = pass->y + row * pass->dy;
        write_row(png, raw + 1, pixels, out->rgb + 3 * (y * (size_t)png->width + pass->x), pass->dx);
    }
    return true;
}

static enum status inflate_and_write(const struct png *png, struct picture *out, struct error *err)
{
    const struct pass *passes = png->interlaced ? adam7 : &whole;
    int n_passes = png->interlaced ? 7 : 1;
    size_t total = 0;
    for (int i = 0; i < n_passes; i++)
        total += pass_bytes(png, &passes[i]);
    enum {
        MOST_PER_BYTE = 1032
    }; /* deflate packs no tighter: before memory is taken, the file must be able to fill it */
    if (png->idat_length < total / MOST_PER_BYTE)
        return damaged(err, "it is too short for its size");
    enum status status = STATUS_OK;
    uint8_t *raw = try_calloc(total + STB_INFLATE_SLACK, 1);
    uint8_t *zeros = try_calloc(row_bytes(png, (size_t)png->width), 1);
    if (!raw || !zeros)
        status = error_set(err, STATUS_NO_MEMORY, "no memory to unpack the PNG");
    else if (stb_inflate(raw, total + STB_INFLATE_SLACK, png->idat, png->idat_length) < total)
        status = damaged(err, "its image data ends early or cannot be unpacked");
    uint8_t *at = raw;
    for (int i = 0; i < n_passes && !status; i++) {
        if (!write_pass(png, &passes[i], at, zeros, out))
            status = damaged(err, "a row has an unknown filter");
        at += pass_bytes(png, &passes[i]);
    }
    free(zeros);
    free(raw);
    return status;
}

enum status png_decode(struct picture *out, int *orientation, const uint8_t *bytes, size_t length,
                       int64_t max_pixels, struct error *err)
{
    struct png png = {0};
    enum status status = read_chunks(&png, bytes, length, max_pixels, err);
    if (status)
        goto out;
    status = picture_allocate(out, png.width, png.height, max_pixels, err);
    if (status)
        goto out;
    status = inflate_and_write(&png, out, err);
    *orientation = png.exif ? png.exif : png.xmp;
out:
    free(png.joined);
    return status;
}
