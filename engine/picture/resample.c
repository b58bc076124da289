#include "engine/picture/resample.h"

#include "base/memory.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3") /* the loops over pixels are plain sums: let them become vectors */
#endif

/* Weights are integers of this many fractional bits; 8 bits more for the pixel, 2 for sums outside 0..1. */
enum { WEIGHT_BITS = 32 - 8 - 2 };

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Keys' cubic convolution with a = -0.5. */
static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double sinc(double x)
{
    if (x == 0.0)
        return 1.0;
    x *= M_PI;
    return sin(x) / x;
}

static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

struct filter {
    double (*weight)(double);
    double support; /* weight is 0 beyond it */
};
static const struct filter filters[] = {[RESAMPLE_LANCZOS] = {lanczos, 3.0},
                                        [RESAMPLE_BILINEAR] = {bilinear, 1.0},
                                        [RESAMPLE_BICUBIC] = {bicubic, 2.0}};

/* Which inputs make up each of n neighbouring outputs. */
struct taps {
    int n, most; /* outputs; weights kept for each */
    int *first, *count;
    int32_t *weights; /* [n][most] */
};

static void taps_release(struct taps *t)
{
    free(t->first);
    free(t->count);
    free(t->weights);
}

/* The taps of outputs [from, from + n) when in_size is resized to out_size; false without memory. The order
 * of the operations is Pillow's, since the last bit of a weight depends on it. */
static bool taps_init(struct taps *t, const struct filter *filter, int in_size, int out_size, int from, int n)
{
    double scale = (double)(float)in_size / out_size, filter_scale = scale < 1.0 ? 1.0 : scale;
    double support = filter->support * filter_scale, inverse = 1.0 / filter_scale;
    *t = (struct taps){.n = n, .most = (int)ceil(support) * 2 + 1};
    t->first = try_malloc((size_t)n, sizeof *t->first);
    t->count = try_malloc((size_t)n, sizeof *t->count);
    size_t total = 0;
    bool fits = size_mul((size_t)n, (size_t)t->most, &total);
    t->weights = fits ? try_malloc(total, sizeof *t->weights) : NULL;
    double *w = try_malloc((size_t)t->most, sizeof *w);
    bool ok = t->first && t->count && t->weights && w;
    for (int i = 0; i < n && ok; i++) {
        double center = ((double)(from + i) + 0.5) * scale, sum = 0.0;
        int lo = (int)(center - support + 0.5), hi = (int)(center + support + 0.5);
        lo = lo < 0 ? 0 : lo;
        hi = (hi > in_size ? in_size : hi) - lo;
        for (int x = 0; x < hi; x++) {
            w[x] = filter->weight((x + lo - center + 0.5) * inverse);
            sum += w[x];
        }
        for (int x = 0; x < hi; x++) {
            double k = sum != 0.0 ? w[x] / sum : w[x];
            t->weights[(size_t)i * (size_t)t->most + (size_t)x] =
                (int32_t)((k < 0 ? -0.5 : 0.5) + k * (1 << WEIGHT_BITS));
        }
        t->first[i] = lo;
        t->count[i] = hi;
    }
    free(w);
    return ok;
}

static uint8_t to_byte(int32_t sum)
{
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* One row, t->n pixels of it. */
static void resample_row(const uint8_t *restrict in, const struct taps *t, uint8_t *restrict out)
{
    const int32_t half = 1 << (WEIGHT_BITS - 1);
    for (int i = 0; i < t->n; i++, out += 3) {
        const uint8_t *p = in + 3 * (size_t)t->first[i];
        const int32_t *w = t->weights + (size_t)i * (size_t)t->most;
        int32_t r = half, g = half, b = half;
        for (int k = 0; k < t->count[i]; k++, p += 3) {
            r += p[0] * w[k];
            g += p[1] * w[k];
            b += p[2] * w[k];
        }
        out[0] = to_byte(r);
        out[1] = to_byte(g);
        out[2] = to_byte(b);
    }
}

static void add_row(int32_t *restrict sums, const uint8_t *restrict row, int32_t weight, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sums[i] += row[i] * weight;
}

/* The rows of the picture after the horizontal pass, made when they are first asked for (in ascending order)
 * and kept in a ring as long as a vertical window can reach them. */
struct rows {
    const struct picture *picture;
    const struct taps *across; /* NULL: the width stays, only the window's columns are cut out */
    size_t left, n;            /* bytes: where the window begins in an unresized row; its width */
    uint8_t *ring;             /* [held][n]; unused without `across` */
    int held, made;            /* rows in the ring; rows made so far, as a row number */
};

static const uint8_t *get_row(struct rows *r, int y)
{
    const uint8_t *stored = r->picture->rgb + 3 * (size_t)r->picture->width * (size_t)y;
    if (!r->across)
        return stored + r->left;
    uint8_t *row = r->ring + r->n * (size_t)(y % r->held);
    if (y >= r->made) {
        resample_row(stored, r->across, row);
        r->made = y + 1;
    }
    return row;
}

static void resample_columns(struct rows *rows, const struct taps *down, int32_t *sums, uint8_t *out)
{
    size_t n = rows->n;
    for (int i = 0; i < down->n; i++, out += n) {
        for (size_t x = 0; x < n; x++)
            sums[x] = 1 << (WEIGHT_BITS - 1);
        for (int k = 0; k < down->count[i]; k++)
            add_row(sums, get_row(rows, down->first[i] + k),
                    down->weights[(size_t)i * (size_t)down->most + (size_t)k], n);
        for (size_t x = 0; x < n; x++)
            out[x] = to_byte(sums[x]);
    }
}

/* Pillow adds the step up instead of multiplying, and so must this. */
static void nearest_positions(int *at, int in_size, int out_size, int from, int n)
{
    double step = (double)(float)in_size / out_size, x = step * 0.5;
    for (int i = 0; i < from + n; i++, x += step)
        if (i >= from)
            at[i - from] = x < in_size ? (int)x : -1;
}

static enum status resample_nearest(const struct picture *p, const struct resample_window *w, uint8_t *out,
                                    struct error *err)
{
    int *column = try_malloc((size_t)w->width, sizeof *column),
        *row = try_malloc((size_t)w->height, sizeof *row);
    enum status status = STATUS_OK;
    if (!column || !row)
        status = error_set(err, STATUS_NO_MEMORY, "no memory to resize a picture");
    if (!status) {
        nearest_positions(column, p->width, w->full_width, w->left, w->width);
        nearest_positions(row, p->height, w->full_height, w->top, w->height);
    }
    for (int y = 0; y < w->height && !status; y++) {
        for (int x = 0; x < w->width; x++, out += 3) {
            if (column[x] < 0 || row[y] < 0)
                memset(out, 0, 3);
            else
                memcpy(out, p->rgb + 3 * ((size_t)row[y] * (size_t)p->width + (size_t)column[x]), 3);
        }
    }
    free(column);
    free(row);
    return status;
}

static enum status resample_filtered(const struct picture *p, const struct filter *filter,
                                     const struct resample_window *w, uint8_t *out, struct error *err)
{
    struct taps across = {0}, down = {0};
    int32_t *sums = NULL;
    struct rows rows = {.picture = p, .left = 3 * (size_t)w->left, .n = 3 * (size_t)w->width};
    bool wide = w->full_width != p->width, high = w->full_height != p->height, ok = true;
    if (wide) {
        ok = taps_init(&across, filter, p->width, w->full_width, w->left, w->width);
        rows.across = &across;
    }
    if (ok && high) {
        ok = taps_init(&down, filter, p->height, w->full_height, w->top, w->height);
        sums = try_malloc(rows.n, sizeof *sums);
        ok = ok && sums;
    }
    rows.held = high ? down.most : 1;
    if (ok && wide) {
        rows.ring = try_malloc(rows.n, (size_t)rows.held);
        ok = rows.ring;
    }
    if (ok && high)
        resample_columns(&rows, &down, sums, out);
    for (int y = 0; ok && !high && y < w->height; y++)
        memcpy(out + rows.n * (size_t)y, get_row(&rows, w->top + y), rows.n);
    free(rows.ring);
    free(sums);
    taps_release(&down);
    taps_release(&across);
    return ok ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "no memory to resize a picture");
}

enum status resample_picture(const struct picture *p, enum resample method, const struct resample_window *w,
                             uint8_t *out, struct error *err)
{
    assert(method >= RESAMPLE_NEAREST && method <= RESAMPLE_BICUBIC);
    assert(w->left >= 0 && w->top >= 0 && w->width > 0 && w->height > 0);
    assert(w->width <= w->full_width - w->left && w->height <= w->full_height - w->top);
    if (method == RESAMPLE_NEAREST && (w->full_width != p->width || w->full_height != p->height))
        return resample_nearest(p, w, out, err);
    return resample_filtered(p, &filters[method == RESAMPLE_NEAREST ? RESAMPLE_BILINEAR : method], w, out,
                             err);
}
