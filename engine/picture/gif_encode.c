#include "engine/picture/gif_encode.h"

#include "base/memory.h"
#include "engine/picture/palette.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 255, /* bytes of data at once */
    DEPTH = 8,   /* bits of a colour */
    CLEAR = 1 << DEPTH,
    END = CLEAR + 1,
    MAX_CODES = 4096,
    SLOTS = 16384, /* of the table of strings, a power of two */
};

static void append_u16(struct buffer *out, int n)
{
    buffer_append_char(out, (char)(n & 0xFF));
    buffer_append_char(out, (char)(n >> 8));
}

void gif_begin(struct buffer *out, int width, int height)
{
    assert(width > 0 && width <= GIF_MAX_SIDE && height > 0 && height <= GIF_MAX_SIDE);
    buffer_append(out, "GIF89a", 6);
    append_u16(out, width);
    append_u16(out, height);
    buffer_append(out, "\x70\0\0", 3); /* no colours common to all frames */
}

void gif_end(struct buffer *out)
{
    buffer_append_char(out, ';');
}

/* Codes of growing width, least significant bit first, in blocks. */
struct code_writer {
    struct buffer *out;
    uint32_t bits;
    int n_bits, width;
    uint8_t block[BLOCK];
    int n_block;
    /* strings so far: prefix << 8 | colour, + 1, and their codes */
    uint32_t key[SLOTS];
    uint16_t code[SLOTS];
    int next;
};

static void end_block(struct code_writer *w)
{
    if (w->n_block == 0)
        return;
    buffer_append_char(w->out, (char)w->n_block);
    buffer_append(w->out, w->block, (size_t)w->n_block);
    w->n_block = 0;
}

static void put_byte(struct code_writer *w, uint8_t byte)
{
    w->block[w->n_block++] = byte;
    if (w->n_block == BLOCK)
        end_block(w);
}

static void put_code(struct code_writer *w, int code)
{
    w->bits |= (uint32_t)code << w->n_bits;
    w->n_bits += w->width;
    for (; w->n_bits >= 8; w->n_bits -= 8, w->bits >>= 8)
        put_byte(w, (uint8_t)w->bits);
}

static void start_over(struct code_writer *w)
{
    put_code(w, CLEAR);
    memset(w->key, 0, sizeof w->key);
    w->next = END + 1;
    w->width = DEPTH + 1;
}

/* Where the string is in the table, or the free place where it belongs. */
static unsigned find(const struct code_writer *w, uint32_t key)
{
    unsigned at = (key * 2654435761u) >> 18;
    while (w->key[at] && w->key[at] != key)
        at = (at + 1) & (SLOTS - 1);
    return at;
}

/* Lempel, Ziv and Welch's coding as GIF has it. */
static void compress(struct code_writer *w, const uint8_t *index, size_t n)
{
    w->width = DEPTH + 1;
    start_over(w);
    int prefix = index[0];
    for (size_t i = 1; i < n; i++) {
        uint32_t key = ((uint32_t)prefix << 8 | index[i]) + 1;
        unsigned at = find(w, key);
        if (w->key[at]) {
            prefix = w->code[at];
            continue;
        }
        put_code(w, prefix);
        prefix = index[i];
        if (w->next == MAX_CODES) {
            start_over(w);
            continue;
        }
        w->key[at] = key;
        w->code[at] = (uint16_t)w->next;
        w->width += w->next == 1 << w->width;
        w->next++;
    }
    put_code(w, prefix);
    w->width += w->next == 1 << w->width && w->width < 12; /* what a reader expects by now */
    put_code(w, END);
    if (w->n_bits)
        put_byte(w, (uint8_t)w->bits);
    end_block(w);
}

static void append_frame(struct buffer *out, const struct picture *p, const struct palette *palette,
                         int hundredths)
{
    buffer_append(out, "!\xF9\x04\x04", 4); /* stays when the next one comes */
    append_u16(out, hundredths);
    buffer_append(out, "\0\0,\0\0\0\0", 7);
    append_u16(out, p->width);
    append_u16(out, p->height);
    buffer_append_char(out, (char)0x87); /* 256 colours follow */
    buffer_append(out, palette->rgb, sizeof palette->rgb);
    buffer_append_char(out, DEPTH);
}

enum status gif_add_frame(struct buffer *out, const struct picture *p, int hundredths, struct error *err)
{
    size_t n = (size_t)p->width * (size_t)p->height;
    struct palette palette = {0};
    uint8_t *index = try_malloc(n, 1);
    struct code_writer *w = try_calloc(1, sizeof *w);
    if (!index || !w) {
        error_set(err, STATUS_NO_MEMORY, "no memory for a GIF");
        goto done;
    }
    if (palette_make(p, &palette, index, err))
        goto done;
    append_frame(out, p, &palette, hundredths);
    w->out = out;
    compress(w, index, n);
    buffer_append_char(out, 0);
    if (buffer_failed(out))
        error_set(err, STATUS_NO_MEMORY, "no memory for a GIF");
done:
    free(index);
    free(w);
    return err->status;
}
