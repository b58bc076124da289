#include "base/choice.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

/* Everything below works on the logits divided by the temperature, as float32; NaN counts as -inf. The
 * filters come down to one cut: keep what is above it, and of the values equal to it all but the first
 * `skip`, ids ascending. */
struct cut {
    float value;
    int skip;
};

static float scaled(const float *logits, int i, float temperature)
{
    float v = logits[i] / temperature;
    return v == v ? v : -INFINITY;
}

static int32_t find_largest(const float *logits, int n)
{
    int best = 0;
    float value = -INFINITY;
    for (int i = 0; i < n; i++) {
        if (logits[i] > value) {
            value = logits[i];
            best = i;
        }
    }
    return best;
}

static void swap(float *a, float *b)
{
    float t = *a;
    *a = *b;
    *b = t;
}

/* A value of v[0..n-1] near the middle: the median of three, at places that no simple input makes the worst.
 */
static float choose_pivot(const float *v, int n)
{
    float a = v[n / 7], b = v[n / 2], c = v[n - 1 - n / 5];
    float low = a < b ? a : b, high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}

/* Reorders v into: below the pivot, equal to it, above it. */
static void partition(float *v, int n, float pivot, int *below, int *not_above)
{
    int low = 0, i = 0, high = n;
    while (i < high) {
        if (v[i] < pivot)
            swap(&v[low++], &v[i++]);
        else if (v[i] > pivot)
            swap(&v[i], &v[--high]);
        else
            i++;
    }
    *below = low;
    *not_above = high;
}

/* The k-th largest of v[0..n-1], 1 <= k <= n; reorders v so that nothing before the place it returns is
 * larger than it and all that are larger come after. */
static float select_largest(float *v, int n, int k)
{
    int first = 0, last = n, want = n - k;
    for (;;) {
        int below, not_above;
        float pivot = choose_pivot(v + first, last - first);
        partition(v + first, last - first, pivot, &below, &not_above);
        if (want < first + below)
            last = first + below;
        else if (want < first + not_above)
            return pivot;
        else
            first += not_above;
    }
}

static double weight_sum(const float *v, int n, float largest)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp((double)v[i] - largest);
    return sum;
}

/* Where the ascending cumulative weight of v[0..n-1] first passes `limit`: what lies before it is dropped. A
 * selection by weight instead of by count: each round halves what is still open. */
static struct cut cut_mass(float *v, int n, double limit, float largest)
{
    double dropped = 0;
    struct cut otherwise = {largest, 0};
    bool holds_largest = true;
    while (n > 0) {
        int below, not_above;
        float pivot = choose_pivot(v, n);
        partition(v, n, pivot, &below, &not_above);
        double low = weight_sum(v, below, largest);
        if (dropped + low > limit) {
            otherwise = (struct cut){pivot, 0}; /* reached only when the sums below round another way */
            holds_largest = false;
            n = below;
            continue;
        }
        dropped += low;
        double each = exp((double)pivot - largest);
        for (int skip = 0; skip < not_above - below; skip++) {
            bool last = holds_largest && not_above == n && skip == not_above - below - 1;
            if (dropped + each > limit || last)
                return (struct cut){pivot, skip};
            dropped += each;
        }
        v += not_above;
        n -= not_above;
    }
    return otherwise;
}

/* Drops from v[0..n-1] what top-p surely drops, however the rest lies: n values of weight (1 - top_p) / n at
 * most weigh no more than 1 - top_p together, and the whole weighs at least 1. Saves the selection most of
 * its exponentials. */
static struct cut cut_top_p(float *v, int n, float top_p, float largest)
{
    double share = 1.0 - (double)top_p, total = 0, sure = 0;
    double floor_value = largest + log(share / n) - 1e-6;
    int kept = 0;
    for (int i = 0; i < n; i++) {
        double weight = exp((double)v[i] - largest);
        total += weight;
        if (v[i] < floor_value)
            sure += weight;
        else
            v[kept++] = v[i];
    }
    return cut_mass(v, kept, share * total - sure, largest);
}

static struct cut find_cut(const float *logits, int n, const struct choice_filter *f, float largest, float *v)
{
    struct cut cut = {-INFINITY, 0};
    bool by_rank = f->top_k > 0 && f->top_k<n, by_mass = f->top_p> 0 && f->top_p < 1;
    if (!by_rank && !by_mass)
        return cut;
    int kept = n;
    for (int i = 0; i < n; i++)
        v[i] = scaled(logits, i, f->temperature);
    if (by_rank) {
        cut.value = select_largest(v, n, f->top_k);
        kept = 0;
        for (int i = 0; i < n; i++) {
            if (v[i] >= cut.value)
                v[kept++] = v[i];
        }
    }
    return by_mass ? cut_top_p(v, kept, f->top_p, largest) : cut;
}

/* The weight of id i after the filters; *seen counts the values equal to the cut. */
static double weight_of(float v, float largest, const struct cut *cut, double least, int *seen)
{
    if (v < cut->value || (v == cut->value && (*seen)++ < cut->skip))
        return 0;
    double weight = exp((double)v - largest);
    return weight < least ? 0 : weight;
}

int32_t choice_draw(const float *logits, int n, const struct choice_filter *f, double u, float *scratch)
{
    int32_t best = find_largest(logits, n);
    float t = f->temperature;
    if (!(t > 0) || n <= 0)
        return best;
    float largest = scaled(logits, best, t);
    if (isinf(largest)) /* nothing finite to weigh against: all -inf, or a +inf that outweighs all */
        return best;
    struct cut cut = find_cut(logits, n, f, largest, scratch);
    double total = 0, sum = 0;
    int seen = 0;
    for (int i = 0; i < n; i++)
        total += weight_of(scaled(logits, i, t), largest, &cut, f->min_p, &seen);
    seen = 0;
    for (int i = 0; i < n; i++) {
        sum += weight_of(scaled(logits, i, t), largest, &cut, f->min_p, &seen);
        if (sum > u * total)
            return i;
    }
    return best; /* u within rounding of 1 */
}
