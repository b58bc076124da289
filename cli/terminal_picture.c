/* Pictures in the terminals' own ways: kitty's graphics protocol, iTerm2's inline files, sixel, and half
 * blocks. */
#include "cli/terminal.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static void append_base64(struct buffer *out, const unsigned char *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t word = (uint32_t)bytes[i] << 16;
        word |= i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0;
        word |= i + 2 < n ? bytes[i + 2] : 0;
        char four[4] = {digits[word >> 18], digits[word >> 12 & 63], digits[word >> 6 & 63],
                        digits[word & 63]};
        if (i + 1 >= n)
            four[2] = '=';
        if (i + 2 >= n)
            four[3] = '=';
        buffer_append(out, four, 4);
    }
}

/* A PNG in chunks of 4096 characters; q=2: the terminal is to answer nothing. */
static void append_kitty(struct buffer *out, const struct buffer *png)
{
    enum { CHUNK = 4096 / 4 * 3 };
    for (size_t i = 0; i < png->length; i += CHUNK) {
        size_t n = png->length - i < CHUNK ? png->length - i : CHUNK;
        buffer_printf(out, "\033_G%sm=%d;", i == 0 ? "a=T,f=100,q=2," : "q=2,", i + n < png->length);
        append_base64(out, (const unsigned char *)png->data + i, n);
        buffer_append_text(out, "\033\\");
    }
    buffer_append_char(out, '\n');
}

static void append_iterm2(struct buffer *out, const struct buffer *png)
{
    buffer_printf(out, "\033]1337;File=inline=1;size=%zu:", png->length);
    append_base64(out, (const unsigned char *)png->data, png->length);
    buffer_append_text(out, "\a\n");
}

/* Sixel has 256 colours at most: six steps of each of red, green and blue, with an ordered dither. */
static int sixel_colour(const struct picture *p, int x, int y)
{
    static const int dither[4][4] = {{0, 8, 2, 10}, {12, 4, 14, 6}, {3, 11, 1, 9}, {15, 7, 13, 5}};
    const uint8_t *rgb = p->rgb + ((size_t)y * (size_t)p->width + (size_t)x) * 3;
    int colour = 0;
    for (int i = 0; i < 3; i++)
        colour = colour * 6 + (rgb[i] * 5 * 16 + dither[y & 3][x & 3] * 255 + 127) / (255 * 16);
    return colour;
}

static void append_run(struct buffer *out, char c, int n)
{
    if (n > 3) {
        buffer_printf(out, "!%d%c", n, c);
        return;
    }
    for (int i = 0; i < n; i++)
        buffer_append_char(out, c);
}

/* One colour of the band of six rows from y on: a character for each column, its bits the rows. */
static void append_band_colour(struct buffer *out, const uint8_t *band, int width, int rows, int colour)
{
    int run = 0;
    char last = 0;
    buffer_printf(out, "#%d", colour);
    for (int x = 0; x < width; x++) {
        int bits = 0;
        for (int y = 0; y < rows; y++)
            bits |= (band[y * width + x] == colour) << y;
        if (run && 63 + bits != last) {
            append_run(out, last, run);
            run = 0;
        }
        last = (char)(63 + bits);
        run++;
    }
    append_run(out, last, run);
    buffer_append_char(out, '$');
}

static void append_band(struct buffer *out, const struct picture *p, int top, uint8_t *band)
{
    bool used[216] = {false};
    int rows = p->height - top < 6 ? p->height - top : 6;
    for (int y = 0; y < rows; y++) {
        for (int x = 0; x < p->width; x++) {
            int colour = sixel_colour(p, x, top + y);
            band[y * p->width + x] = (uint8_t)colour;
            used[colour] = true;
        }
    }
    for (int colour = 0; colour < 216; colour++) {
        if (used[colour])
            append_band_colour(out, band, p->width, rows, colour);
    }
    buffer_append_char(out, '-');
}

static enum status append_sixel(struct buffer *out, const struct picture *p, struct error *err)
{
    uint8_t *band = try_malloc((size_t)p->width, 6);
    if (!band)
        return error_set(err, STATUS_NO_MEMORY, "no memory to show a picture");
    buffer_printf(out, "\033P0;1q\"1;1;%d;%d", p->width, p->height);
    for (int c = 0; c < 216; c++)
        buffer_printf(out, "#%d;2;%d;%d;%d", c, c / 36 * 20, c / 6 % 6 * 20, c % 6 * 20);
    for (int top = 0; top < p->height; top += 6)
        append_band(out, p, top, band);
    buffer_append_text(out, "\033\\\n");
    free(band);
    return STATUS_OK;
}

/* Colour as an escape sequence's parameter, in 24 bits or, where the terminal does not promise them, in 256
 * colours. */
static void append_colour(struct buffer *out, int layer, const uint8_t *rgb, bool full)
{
    if (full)
        buffer_printf(out, "\033[%d;2;%d;%d;%dm", layer, rgb[0], rgb[1], rgb[2]);
    else
        buffer_printf(out, "\033[%d;5;%dm", layer,
                      16 + (rgb[0] * 5 + 127) / 255 * 36 + (rgb[1] * 5 + 127) / 255 * 6 +
                          (rgb[2] * 5 + 127) / 255);
}

/* A character is two pixels, one above the other: the upper half block in front of a background. */
static enum status append_blocks(struct buffer *out, const struct picture *p, int columns, struct error *err)
{
    const char *depth = getenv("COLORTERM");
    bool full = depth && (strstr(depth, "truecolor") || strstr(depth, "24bit"));
    int width = columns - 1 < 48 ? columns - 1 : 48;
    width = width < 2 ? 2 : width > p->width ? p->width : width;
    int64_t height = ((int64_t)width * p->height / p->width + 1) / 2 * 2;
    height = height < 2 ? 2 : height > 200 ? 200 : height;
    struct picture small;
    enum status status = picture_resize(p, width, (int)height, &small, err);
    if (status != STATUS_OK)
        return status;
    for (int y = 0; y < height; y += 2) {
        for (int x = 0; x < width; x++) {
            const uint8_t *upper = small.rgb + (y * width + x) * 3;
            append_colour(out, 38, upper, full);
            append_colour(out, 48, upper + width * 3, full);
            buffer_append_text(out, "\xE2\x96\x80");
        }
        buffer_append_text(out, "\033[0m\n");
    }
    picture_release(&small);
    return STATUS_OK;
}

enum status terminal_picture(const struct picture *p, enum show_setting how, int columns, struct buffer *out,
                             struct error *err)
{
    if (how == SHOW_BLOCKS)
        return append_blocks(out, p, columns, err);
    if (how == SHOW_SIXEL)
        return append_sixel(out, p, err);
    struct buffer png;
    buffer_init(&png, BUFFER_NO_LIMIT);
    enum status status = picture_encode(p, PICTURE_PNG, 0, NULL, &png, err);
    if (status == STATUS_OK && how == SHOW_KITTY)
        append_kitty(out, &png);
    else if (status == STATUS_OK)
        append_iterm2(out, &png);
    buffer_release(&png);
    return status;
}
