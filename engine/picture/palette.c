#include "engine/picture/palette.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { BITS = 5, LEVELS = 1 << BITS, BINS = LEVELS * LEVELS * LEVELS, UNKNOWN = -1 };

/* Colours that share their upper bits. */
struct bin {
    uint32_t count;
    uint32_t sum[3];
    uint8_t level[3];
};

/* Bins begin..end-1 of the array. */
struct box {
    int begin, end;
    int axis; /* the longest */
    uint64_t weight;
};

struct work {
    struct bin bin[BINS];
    int n_bins;
    struct box box[PALETTE_MOST];
    int n_boxes;
    int16_t nearest[BINS]; /* the palette's colour for a bin, or UNKNOWN */
};

static int bin_of(int r, int g, int b)
{
    return (r >> (8 - BITS)) << (2 * BITS) | (g >> (8 - BITS)) << BITS | b >> (8 - BITS);
}

static void count_colours(struct work *w, const struct picture *p)
{
    size_t n = (size_t)p->width * (size_t)p->height;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *c = p->rgb + 3 * i;
        struct bin *bin = &w->bin[bin_of(c[0], c[1], c[2])];
        bin->count++;
        for (int k = 0; k < 3; k++)
            bin->sum[k] += c[k] & 7u; /* the rest is the bin's place */
    }
    for (int i = 0; i < BINS; i++) {
        if (w->bin[i].count == 0)
            continue;
        struct bin bin = w->bin[i];
        bin.level[0] = (uint8_t)(i >> (2 * BITS));
        bin.level[1] = (uint8_t)(i >> BITS & (LEVELS - 1));
        bin.level[2] = (uint8_t)(i & (LEVELS - 1));
        w->bin[w->n_bins++] = bin;
    }
}

/* Which side is the longest, and how much a cut would gain. */
static void measure(const struct work *w, struct box *box)
{
    int low[3] = {LEVELS, LEVELS, LEVELS}, high[3] = {0, 0, 0};
    uint64_t count = 0;
    for (int i = box->begin; i < box->end; i++) {
        count += w->bin[i].count;
        for (int k = 0; k < 3; k++) {
            int level = w->bin[i].level[k];
            low[k] = level < low[k] ? level : low[k];
            high[k] = level > high[k] ? level : high[k];
        }
    }
    box->axis = 0;
    for (int k = 1; k < 3; k++)
        if (high[k] - low[k] > high[box->axis] - low[box->axis])
            box->axis = k;
    int length = high[box->axis] - low[box->axis];
    box->weight = box->end - box->begin < 2 ? 0 : count * (uint64_t)(length * length);
}

static int compare_along(const void *a, const void *b, void *context)
{
    const struct bin *x = a, *y = b;
    int axis = *(const int *)context;
    for (int k = 0; k < 3; k++) {
        int along = (axis + k) % 3, d = x->level[along] - y->level[along];
        if (d)
            return d;
    }
    return 0;
}

/* Cuts the box at the median of its pixels; the second half is a new box. */
static void cut(struct work *w, struct box *box)
{
    uint64_t total = 0, before = 0;
    qsort_r(w->bin + box->begin, (size_t)(box->end - box->begin), sizeof w->bin[0], compare_along,
            &box->axis);
    for (int i = box->begin; i < box->end; i++)
        total += w->bin[i].count;
    int middle = box->begin;
    while (middle < box->end - 1 && 2 * before < total)
        before += w->bin[middle++].count;
    struct box *second = &w->box[w->n_boxes++];
    *second = (struct box){.begin = middle, .end = box->end};
    box->end = middle;
    measure(w, box);
    measure(w, second);
}

static void choose_boxes(struct work *w)
{
    w->box[0] = (struct box){.begin = 0, .end = w->n_bins};
    w->n_boxes = 1;
    measure(w, &w->box[0]);
    while (w->n_boxes < PALETTE_MOST) {
        struct box *best = &w->box[0];
        for (int i = 1; i < w->n_boxes; i++)
            if (w->box[i].weight > best->weight)
                best = &w->box[i];
        if (best->weight == 0)
            return;
        cut(w, best);
    }
}

/* The mean colour of each box. */
static void take_means(const struct work *w, struct palette *palette)
{
    palette->count = w->n_boxes;
    for (int i = 0; i < w->n_boxes; i++) {
        uint64_t sum[3] = {0}, count = 0;
        for (int k = w->box[i].begin; k < w->box[i].end; k++) {
            const struct bin *bin = &w->bin[k];
            count += bin->count;
            for (int c = 0; c < 3; c++)
                sum[c] += bin->sum[c] + ((uint64_t)bin->level[c] << (8 - BITS)) * bin->count;
        }
        for (int c = 0; c < 3; c++)
            palette->rgb[i][c] = (uint8_t)((sum[c] + count / 2) / count);
    }
}

static int find_nearest(struct work *w, const struct palette *palette, int r, int g, int b)
{
    int place = bin_of(r, g, b), best = 0, least = 1 << 30;
    if (w->nearest[place] != UNKNOWN)
        return w->nearest[place];
    r = (r & ~7) + 3, g = (g & ~7) + 3, b = (b & ~7) + 3;
    for (int i = 0; i < palette->count; i++) {
        int dr = palette->rgb[i][0] - r, dg = palette->rgb[i][1] - g, db = palette->rgb[i][2] - b;
        int d = 2 * dr * dr + 4 * dg * dg + db * db;
        if (d < least) {
            least = d;
            best = i;
        }
    }
    w->nearest[place] = (int16_t)best;
    return best;
}

static int clamp(int x)
{
    return x < 0 ? 0 : x > 255 ? 255 : x;
}

/* One row; here and below: errors carried into this row and the next, in sixteenths, a pixel of margin each
 * side. */
static void spread_row(struct work *w, const struct palette *palette, const uint8_t *rgb, int width,
                       const int *here, int *below, int *right, uint8_t *index)
{
    memset(right, 0, 3 * sizeof right[0]);
    for (int x = 0; x < width; x++) {
        int c[3], *next = below + 3 * (x + 1);
        for (int k = 0; k < 3; k++)
            c[k] = clamp(rgb[3 * x + k] + (here[3 * (x + 1) + k] + right[k]) / 16);
        index[x] = (uint8_t)find_nearest(w, palette, c[0], c[1], c[2]);
        for (int k = 0; k < 3; k++) {
            int error = c[k] - palette->rgb[index[x]][k];
            right[k] = 7 * error;
            next[k - 3] += 3 * error;
            next[k] += 5 * error;
            next[k + 3] += error;
        }
    }
}

static enum status spread(struct work *w, const struct picture *p, const struct palette *palette,
                          uint8_t *index, struct error *err)
{
    size_t row = 3 * ((size_t)p->width + 2);
    int *carried = try_calloc(2 * row, sizeof carried[0]), right[3];
    if (!carried)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a picture's colours");
    memset(w->nearest, 0xFF, sizeof w->nearest);
    for (int y = 0; y < p->height; y++) {
        int *here = carried + (y & 1 ? row : 0), *below = carried + (y & 1 ? 0 : row);
        memset(below, 0, row * sizeof below[0]);
        spread_row(w, palette, p->rgb + 3 * (size_t)y * (size_t)p->width, p->width, here, below, right,
                   index + (size_t)y * (size_t)p->width);
    }
    free(carried);
    return STATUS_OK;
}

enum status palette_make(const struct picture *p, struct palette *palette, uint8_t *index, struct error *err)
{
    struct work *w = try_calloc(1, sizeof *w);
    if (!w)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a picture's colours");
    count_colours(w, p);
    choose_boxes(w);
    take_means(w, palette);
    enum status status = spread(w, p, palette, index, err);
    free(w);
    return status;
}
