/* Writing PNG: 8-bit RGB, each row filtered the way that leaves the smallest differences. */
#include "base/memory.h"
#include "engine/picture/deflate.h"
#include "engine/picture/formats.h"
#include "engine/picture/png_chunks.h"
#include "engine/picture/png_text.h"

#include <stdlib.h>

enum { N_FILTERS = 5, BPP = 3 };

static void append_u32be(struct buffer *out, uint32_t v)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        buffer_append_char(out, (char)(v >> shift & 255));
}

/* Begins a chunk whose length is not known yet; chunk_end fills it in. Returns where it begins. */
static size_t chunk_begin(struct buffer *out, uint32_t type)
{
    size_t start = out->length;
    append_u32be(out, 0);
    append_u32be(out, type);
    return start;
}

static void chunk_end(struct buffer *out, size_t start)
{
    if (buffer_failed(out))
        return;
    uint8_t *chunk = (uint8_t *)out->data + start;
    size_t n = out->length - start - 8;
    for (int i = 0; i < 4; i++)
        chunk[i] = (uint8_t)(n >> (24 - 8 * i));
    append_u32be(out, png_crc(0, chunk + 4, n + 4));
}

static uint8_t predict(int filter, int a, int b, int c)
{
    switch (filter) {
    case 1: return (uint8_t)a;
    case 2: return (uint8_t)b;
    case 3: return (uint8_t)((a + b) / 2);
    case 4: {
        int pa = abs(b - c), pb = abs(a - c), pc = abs(a + b - 2 * c);
        return (uint8_t)(pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
    }
    }
    return 0;
}

/* row and above are n bytes (above: NULL for the first row); out: the filter's number, then n bytes. Returns
 * the sum of the differences' sizes, the usual guess at what compresses best. */
static long filter_row(int filter, const uint8_t *row, const uint8_t *above, size_t n, uint8_t *out)
{
    long sum = 0;
    *out++ = (uint8_t)filter;
    for (size_t i = 0; i < n; i++) {
        int a = i < BPP ? 0 : row[i - BPP], b = above ? above[i] : 0,
            c = i < BPP || !above ? 0 : above[i - BPP];
        out[i] = (uint8_t)(row[i] - predict(filter, a, b, c));
        sum += abs((int8_t)out[i]);
    }
    return sum;
}

/* All rows filtered, [height][1 + 3 * width]; trial: room for one row more. */
static void filter_picture(const struct picture *p, uint8_t *out, uint8_t *trial)
{
    size_t n = BPP * (size_t)p->width;
    for (int y = 0; y < p->height; y++, out += 1 + n) {
        const uint8_t *row = p->rgb + n * (size_t)y, *above = y ? row - n : NULL;
        int best = 0;
        long least = -1;
        for (int filter = 0; filter < N_FILTERS; filter++) {
            long sum = filter_row(filter, row, above, n, trial);
            if (least < 0 || sum < least) {
                least = sum;
                best = filter;
            }
        }
        filter_row(best, row, above, n, out);
    }
}

enum status png_encode(const struct picture *p, const struct picture_origin *origin, struct buffer *out,
                       struct error *err)
{
    size_t row = 1 + BPP * (size_t)p->width, n = row * (size_t)p->height;
    uint8_t *filtered = try_malloc(n, 1), *trial = try_malloc(row, 1);
    bool ok = filtered && trial;
    if (ok) {
        filter_picture(p, filtered, trial);
        buffer_append(out, PNG_SIGNATURE, PNG_SIGNATURE_BYTES);
        size_t start = chunk_begin(out, PNG_TYPE('I', 'H', 'D', 'R'));
        append_u32be(out, (uint32_t)p->width);
        append_u32be(out, (uint32_t)p->height);
        buffer_append(out, "\x08\x02\0\0\0", 5); /* 8 bits, RGB, deflate, the five filters, not interlaced */
        chunk_end(out, start);
        if (origin && origin->codes) {
            start = chunk_begin(out, PNG_TYPE('t', 'E', 'X', 't'));
            origin_write(origin, p, out);
            chunk_end(out, start);
        }
        start = chunk_begin(out, PNG_TYPE('I', 'D', 'A', 'T'));
        ok = deflate_zlib(out, filtered, n);
        chunk_end(out, start);
        chunk_end(out, chunk_begin(out, PNG_TYPE('I', 'E', 'N', 'D')));
    }
    free(trial);
    free(filtered);
    if (!ok || buffer_failed(out))
        return error_set(err, STATUS_NO_MEMORY, "no memory to write a PNG of %d x %d", p->width, p->height);
    return STATUS_OK;
}
