/* The first frame of a GIF (89a), as Pillow shows it: transparency is only a colour of the palette, and what
 * the frame leaves bare is that colour, or the palette's first. */
#include "engine/picture/formats.h"

#include <stdlib.h>
#include <string.h>

enum { LZW_CODES = 4096 };

struct gif {
    const uint8_t *p, *end;
    int64_t width, height; /* of the canvas: the screen, grown to hold the frame */
    int left, top, frame_width, frame_height;
    bool interlaced;
    int transparent; /* -1 = none */
    uint8_t palette[256][3];
};

static enum status damaged(struct error *err, const char *what)
{
    return error_set(err, STATUS_BAD_REQUEST, "the GIF is damaged: %s", what);
}

static const uint8_t *take(struct gif *g, size_t n)
{
    if ((size_t)(g->end - g->p) < n)
        return NULL;
    g->p += n;
    return g->p - n;
}

static void make_ramp(uint8_t palette[256][3])
{
    for (int i = 0; i < 256; i++)
        memset(palette[i], i, 3);
}

/* flags say how large the palette that follows is; the rest of the 256 entries is black, or goes on where the
 * palette is the ramp of grays that stands for having none. */
static bool read_palette(struct gif *g, int flags)
{
    size_t n = (size_t)3 << ((flags & 7) + 1);
    const uint8_t *p = take(g, n);
    if (!p)
        return false;
    make_ramp(g->palette);
    if (memcmp(g->palette, p, n) != 0) {
        memset(g->palette, 0, sizeof g->palette);
        memcpy(g->palette, p, n);
    }
    return true;
}

static bool skip_blocks(struct gif *g)
{
    const uint8_t *size;
    while ((size = take(g, 1)) && *size)
        if (!take(g, *size))
            return false;
    return size != NULL;
}

static bool read_extension(struct gif *g)
{
    enum { GRAPHIC_CONTROL = 0xf9 };
    const uint8_t *label = take(g, 1);
    if (!label)
        return false;
    if (*label == GRAPHIC_CONTROL && g->end - g->p >= 5 && g->p[0] >= 4 && g->p[1] & 1)
        g->transparent = g->p[4];
    return skip_blocks(g);
}

static bool read_frame_header(struct gif *g)
{
    const uint8_t *p = take(g, 9);
    if (!p)
        return false;
    g->left = read_u16le(p);
    g->top = read_u16le(p + 2);
    g->frame_width = read_u16le(p + 4);
    g->frame_height = read_u16le(p + 6);
    g->interlaced = p[8] & 64;
    if (g->left + g->frame_width > g->width)
        g->width = g->left + g->frame_width;
    if (g->top + g->frame_height > g->height)
        g->height = g->top + g->frame_height;
    return !(p[8] & 128) || read_palette(g, p[8]);
}

/* From the screen's header to the first frame's pixels. */
static bool read_headers(struct gif *g)
{
    const uint8_t *p = take(g, 13);
    if (!p)
        return false;
    g->width = read_u16le(p + 6);
    g->height = read_u16le(p + 8);
    make_ramp(g->palette);
    if (p[10] & 128 && !read_palette(g, p[10]))
        return false;
    const uint8_t *kind;
    while ((kind = take(g, 1)) && *kind != ';') {
        if (*kind == ',')
            return read_frame_header(g);
        if (*kind == '!' && !read_extension(g))
            return false;
    }
    return false;
}

/* Variable-length codes from blocks of up to 255 bytes. */
struct bits {
    struct gif *gif;
    size_t block; /* bytes left of the block */
    uint32_t held;
    int n_held;
};

static int next_code(struct bits *b, int size)
{
    while (b->n_held < size) {
        const uint8_t *p = take(b->gif, 1);
        if (!p)
            return -1;
        if (b->block) {
            b->block--;
            b->held |= (uint32_t)*p << b->n_held;
            b->n_held += 8;
        } else if (!(b->block = *p)) {
            return -1;
        }
    }
    int code = (int)(b->held & ((1u << size) - 1));
    b->held >>= size;
    b->n_held -= size;
    return code;
}

struct canvas {
    const struct gif *gif;
    struct picture *picture;
    int x, y, step, pass;
};

/* Writes one pixel and moves on; false once the frame is full. */
static bool put_pixel(struct canvas *c, uint8_t index)
{
    const struct gif *g = c->gif;
    size_t at = (size_t)(g->top + c->y) * (size_t)c->picture->width + (size_t)(g->left + c->x);
    memcpy(c->picture->rgb + 3 * at, g->palette[index], 3);
    if (++c->x < g->frame_width)
        return true;
    c->x = 0;
    c->y += c->step;
    while (g->interlaced && c->y >= g->frame_height && c->pass < 3) {
        static const int start[4] = {0, 4, 2, 1}, step[4] = {8, 8, 4, 2};
        c->pass++;
        c->y = start[c->pass];
        c->step = step[c->pass];
    }
    return c->y < g->frame_height;
}

/* LZW strings: each code is another code's string and one byte more. */
struct lzw {
    uint16_t prefix[LZW_CODES];
    uint8_t last[LZW_CODES];
    uint8_t string[LZW_CODES + 1]; /* the one just decoded, from its end backwards */
};

/* Fills the frame; false when the codes end early or make no sense. */
static bool decode_pixels(struct gif *g, struct picture *out)
{
    const uint8_t *p = take(g, 1);
    if (!p || *p < 1 || *p > 8)
        return false;
    const int clear = 1 << *p, end = clear + 1, first_size = *p + 1;
    struct bits bits = {.gif = g};
    struct canvas canvas = {.gif = g, .picture = out, .step = g->interlaced ? 8 : 1};
    struct lzw lzw;
    int next = end + 1, size = first_size, previous = -1, first = 0;
    for (;;) {
        int code = next_code(&bits, size);
        if (code < 0 || code == end)
            return false;
        if (code == clear) {
            next = end + 1;
            size = first_size;
            previous = -1;
            continue;
        }
        if (previous < 0 ? code > clear : code > next)
            return false;
        int n = 0, walk = code;
        if (previous >= 0 && code == next) { /* defined right now: the previous one and its first byte */
            lzw.string[n++] = (uint8_t)first;
            walk = previous;
        }
        for (; walk > end; walk = lzw.prefix[walk])
            lzw.string[n++] = lzw.last[walk];
        first = walk;
        lzw.string[n++] = (uint8_t)first;
        if (previous >= 0 && next < LZW_CODES) {
            lzw.prefix[next] = (uint16_t)previous;
            lzw.last[next] = (uint8_t)first;
            if (++next == 1 << size && size < 12)
                size++;
        }
        previous = code;
        while (n)
            if (!put_pixel(&canvas, lzw.string[--n]))
                return true;
    }
}

enum status gif_decode(struct picture *out, const uint8_t *bytes, size_t length, int64_t max_pixels,
                       struct error *err)
{
    struct gif g = {.p = bytes, .end = bytes + length, .transparent = -1};
    if (!read_headers(&g))
        return damaged(err, "it has no picture in it");
    enum status status = picture_allocate(out, g.width, g.height, max_pixels, err);
    if (status)
        return status;
    if (g.frame_width == 0 || g.frame_height == 0)
        return damaged(err, "its first frame is empty");
    const uint8_t *bare = g.palette[g.transparent < 0 ? 0 : g.transparent];
    for (size_t i = 0; i < (size_t)(g.width * g.height); i++)
        memcpy(out->rgb + 3 * i, bare, 3);
    if (!decode_pixels(&g, out))
        return damaged(err, "its first frame ends early or cannot be unpacked");
    return STATUS_OK;
}
