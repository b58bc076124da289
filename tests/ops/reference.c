#include "reference.h"

#include "base/memory.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* --- weights --- */

static double value_f16(unsigned h)
{
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double v = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
    return h & 0x8000 ? -v : v;
}

static double value_at(const uint8_t *data, enum dtype type, size_t i)
{
    if (type == DTYPE_F32)
        return ((const float *)(const void *)data)[i];
    if (type == DTYPE_F16)
        return value_f16(((const uint16_t *)(const void *)data)[i]);
    if (type == DTYPE_BF16) {
        uint32_t bits = (uint32_t)((const uint16_t *)(const void *)data)[i] << 16;
        float f;
        memcpy(&f, &bits, sizeof f);
        return f;
    }
    size_t at = i % 32;
    const uint8_t *block = data + i / 32 * dtype_bytes(type, 32);
    double d = value_f16(block[0] | (unsigned)block[1] << 8);
    if (type == DTYPE_Q8_0)
        return d * (int8_t)block[2 + at];
    const uint8_t *q = block + (type == DTYPE_Q4_0 ? 2 : 4);
    int nibble = at < 16 ? q[at] & 15 : q[at - 16] >> 4;
    return type == DTYPE_Q4_0 ? d * (nibble - 8) : d * nibble + value_f16(block[2] | (unsigned)block[3] << 8);
}

void reference_values(double *out, const void *data, enum dtype type, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = value_at(data, type, i);
}

/* --- rows
 * ---------------------------------------------------------------------------------------------------------
 */

double reference_activation(double x, enum activation activation)
{
    switch (activation) {
    case ACT_NONE: return x;
    case ACT_GELU: return 0.5 * x * erfc(-x / sqrt(2));
    case ACT_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case ACT_QUICK_GELU: return x / (1 + exp(-1.702 * x));
    case ACT_SILU: return x / (1 + exp(-x));
    }
    return x;
}

/* A sum of n products in float32, whatever its order of the kind we use, is off by a few times the unit
 * roundoff of the summed magnitudes; activations have slopes of at most 1.13 and add a few roundings of their
 * own. */
static const double ROUNDING = 0x1p-24;

static double product_bound(double sum, double size, double rounding)
{
    return 1.2 * size * (10 * ROUNDING + rounding) + 6 * ROUNDING * fabs(sum);
}

void reference_linear(double *out, double *bound, struct tensor x, const double *w, int outputs,
                      const float *bias, enum activation activation, double weight_error)
{
    for (int r = 0; r < x.rows; r++) {
        for (int o = 0; o < outputs; o++) {
            double sum = bias ? bias[o] : 0, size = fabs(sum);
            for (int i = 0; i < x.cols; i++) {
                double product = (double)tensor_row(x, r)[i] * w[(size_t)o * (size_t)x.cols + (size_t)i];
                sum += product;
                size += fabs(product);
            }
            size_t at = (size_t)r * (size_t)outputs + (size_t)o;
            out[at] = reference_activation(sum, activation);
            bound[at] = product_bound(sum, size, weight_error);
        }
    }
}

void reference_rms_norm(double *out, double *bound, struct tensor x, const float *weight, double eps)
{
    for (int r = 0; r < x.rows; r++) {
        const float *row = tensor_row(x, r);
        double sum = 0;
        for (int i = 0; i < x.cols; i++)
            sum += (double)row[i] * row[i];
        for (int i = 0; i < x.cols; i++) {
            double *o = &out[(size_t)r * (size_t)x.cols + (size_t)i];
            *o = row[i] / sqrt(sum / x.cols + eps) * weight[i];
            bound[o - out] = 4 * ROUNDING * fabs(*o);
        }
    }
}

void reference_layer_norm(double *out, double *bound, struct tensor x, const float *weight, const float *bias,
                          double eps)
{
    for (int r = 0; r < x.rows; r++) {
        const float *row = tensor_row(x, r);
        double sum = 0, square = 0;
        for (int i = 0; i < x.cols; i++)
            sum += row[i];
        double mean = sum / x.cols;
        for (int i = 0; i < x.cols; i++)
            square += (row[i] - mean) * (row[i] - mean);
        double inverse = 1 / sqrt(square / x.cols + eps);
        for (int i = 0; i < x.cols; i++) {
            size_t at = (size_t)r * (size_t)x.cols + (size_t)i;
            out[at] = (row[i] - mean) * inverse * weight[i] + bias[i];
            bound[at] =
                4 * ROUNDING * ((fabs(row[i]) + fabs(mean)) * inverse * fabs(weight[i]) + fabs(bias[i]));
        }
    }
}

void reference_head_norm(double *out, double *bound, struct tensor x, int head_dim, const float *scale)
{
    for (int r = 0; r < x.rows; r++) {
        for (int head = 0; head < x.cols / head_dim; head++) {
            const float *v = tensor_row(x, r) + head * head_dim;
            double sum = 0;
            for (int i = 0; i < head_dim; i++)
                sum += (double)v[i] * v[i];
            for (int i = 0; i < head_dim; i++) {
                double *o = &out[(size_t)r * (size_t)x.cols + (size_t)(head * head_dim + i)];
                *o = v[i] / fmax(sqrt(sum), 1e-12) * (scale ? scale[head] : 1);
                bound[o - out] = 4 * ROUNDING * fabs(*o);
            }
        }
    }
}

void reference_rope(double *out, double *bound, struct tensor x, int head_dim, const int32_t *position,
                    const float *inv_freq)
{
    int half = head_dim / 2;
    for (int r = 0; r < x.rows; r++) {
        for (int c = 0; c < x.cols; c++) {
            int d = c % head_dim, pair = d < half ? c + half : c - half;
            float angle = (float)position[r] * inv_freq[d % half]; /* in float32, as the definition says */
            double here = tensor_row(x, r)[c], there = tensor_row(x, r)[pair];
            size_t at = (size_t)r * (size_t)x.cols + (size_t)c;
            out[at] = here * cos(angle) + (d < half ? -there : there) * sin(angle);
            bound[at] = 4 * ROUNDING * (fabs(here) + fabs(there));
        }
    }
}

void reference_silu_mul(double *out, double *bound, struct tensor gate, struct tensor up)
{
    for (int r = 0; r < gate.rows; r++) {
        for (int i = 0; i < gate.cols; i++) {
            size_t at = (size_t)r * (size_t)gate.cols + (size_t)i;
            out[at] = reference_activation(tensor_row(gate, r)[i], ACT_SILU) * tensor_row(up, r)[i];
            bound[at] = 8 * ROUNDING * fabs(out[at]) + 1e-36;
        }
    }
}

/* --- attention --- */

static uint16_t nearest_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t low = bits & 0xffff, up = low > 0x8000 || (low == 0x8000 && (bits >> 16 & 1));
    return (uint16_t)((bits >> 16) + up);
}

void reference_cache_put(struct kv_layer kv, void *memory, float *scale, size_t at, const float *x)
{
    size_t width = (size_t)kv.head_dim, first = at * width;
    double most = 0;
    for (size_t d = 0; d < width; d++)
        most = fmax(most, fabs((double)x[d]));
    if (kv.type == DTYPE_I8)
        scale[at] = (float)(most / 127);
    for (size_t d = 0; d < width; d++) {
        if (kv.type == DTYPE_F32)
            ((float *)memory)[first + d] = x[d];
        else if (kv.type == DTYPE_BF16)
            ((uint16_t *)memory)[first + d] = nearest_bf16(x[d]);
        else
            ((int8_t *)memory)[first + d] = (int8_t)(most > 0 ? nearbyint(x[d] * 127 / most) : 0);
    }
}

void reference_cache_get(double *out, struct kv_layer kv, const void *memory, const float *scale, size_t at)
{
    size_t width = (size_t)kv.head_dim, first = at * width;
    const char *from = (const char *)memory + dtype_bytes(kv.type, first);
    if (kv.type != DTYPE_I8)
        reference_values(out, from, kv.type, width);
    for (size_t d = 0; d < width && kv.type == DTYPE_I8; d++)
        out[d] = (double)((const int8_t *)from)[d] * scale[at];
}

static void cache_row(double *out, bool values, struct kv_layer kv, const struct row_batch *b,
                      const struct span *s, int position, int head)
{
    size_t slot = (size_t)b->page[s->first_page + position / PAGE_TOKENS] * PAGE_TOKENS +
                  (size_t)(position % PAGE_TOKENS);
    reference_cache_get(out, kv, values ? kv.value : kv.key, values ? kv.value_scale : kv.key_scale,
                        slot * (size_t)kv.heads + (size_t)head);
}

static void attend(double *out, double *bound, const float *q, struct kv_layer kv, const struct row_batch *b,
                   const struct span *s, int keys, int head, double scale, double rounding)
{
    double *score = xcalloc((size_t)keys, sizeof *score), top = -INFINITY, total = 0, slack = 0;
    double *k = xcalloc((size_t)kv.head_dim, sizeof *k);
    for (int p = 0; p < keys; p++) {
        cache_row(k, false, kv, b, s, p, head);
        double size = 0;
        for (int d = 0; d < kv.head_dim; d++) {
            score[p] += (double)q[d] * k[d] * scale;
            size += fabs((double)q[d] * k[d] * scale);
        }
        top = fmax(top, score[p]);
        slack = fmax(slack, size);
    }
    for (int p = 0; p < keys; p++)
        total += score[p] = exp(score[p] - top);
    for (int d = 0; d < kv.head_dim; d++)
        out[d] = bound[d] = 0;
    for (int p = 0; p < keys; p++) {
        cache_row(k, true, kv, b, s, p, head);
        for (int d = 0; d < kv.head_dim; d++) {
            out[d] += score[p] / total * k[d];
            bound[d] += fabs(score[p] / total * k[d]);
        }
    }
    for (int d = 0; d < kv.head_dim; d++)
        bound[d] = bound[d] * (ROUNDING * (10 + 10 * slack) + expm1(4 * rounding * slack) + 3 * rounding) +
                   1e-36; /* an error in a score is a relative error in its weight */
    free(k);
    free(score);
}

void reference_attention(double *out, double *bound, struct tensor q, struct kv_layer kv,
                         const struct row_batch *b, enum mask mask, double scale, double rounding)
{
    int heads = q.cols / kv.head_dim, group = heads / kv.heads;
    for (int i = 0; i < b->n_spans; i++) {
        const struct span *s = &b->span[i];
        for (int r = 0; r < s->n_rows; r++) {
            int keys = s->first_position + (mask == MASK_CAUSAL ? r + 1 : s->n_rows);
            for (int h = 0; h < heads; h++) {
                size_t at = (size_t)(s->first_row + r) * (size_t)q.cols + (size_t)(h * kv.head_dim);
                attend(out + at, bound + at, tensor_row(q, s->first_row + r) + h * kv.head_dim, kv, b, s,
                       keys, h / group, scale, rounding);
            }
        }
    }
}

/* --- pictures --- */

void reference_conv(double *out, double *bound, struct tensor x, const struct conv *v, const double *w,
                    int outputs, const float *bias, double rounding)
{
    int height = v->height * v->upsample, width = v->width * v->upsample;
    int before = v->kernel == 3 && !v->pad_end_only ? 1 : 0, out_width = conv_out(v, v->width);
    for (int p = 0; p < conv_out(v, v->height) * out_width; p++) {
        for (int o = 0; o < outputs; o++) {
            double sum = bias ? bias[o] : 0, size = fabs(sum);
            for (int ky = 0; ky < v->kernel; ky++) {
                for (int kx = 0; kx < v->kernel; kx++) {
                    int y = p / out_width * v->stride + ky - before,
                        xx = p % out_width * v->stride + kx - before;
                    if (y < 0 || y >= height || xx < 0 || xx >= width)
                        continue;
                    const float *pixel = tensor_row(x, y / v->upsample * v->width + xx / v->upsample);
                    const double *weight =
                        w + ((size_t)(o * v->kernel + ky) * (size_t)v->kernel + (size_t)kx) * (size_t)x.cols;
                    for (int c = 0; c < x.cols; c++) {
                        sum += pixel[c] * weight[c];
                        size += fabs(pixel[c] * weight[c]);
                    }
                }
            }
            out[(size_t)p * (size_t)outputs + (size_t)o] = sum;
            bound[(size_t)p * (size_t)outputs + (size_t)o] = product_bound(sum, size, rounding);
        }
    }
}

void reference_group_norm(double *out, double *bound, struct tensor x, int groups, const float *weight,
                          const float *bias, double eps, enum activation activation)
{
    int width = x.cols / groups;
    for (int g = 0; g < groups; g++) {
        double sum = 0, square = 0, n = (double)width * x.rows;
        for (int r = 0; r < x.rows; r++) {
            for (int i = g * width; i < (g + 1) * width; i++)
                sum += tensor_row(x, r)[i];
        }
        double mean = sum / n;
        for (int r = 0; r < x.rows; r++) {
            for (int i = g * width; i < (g + 1) * width; i++)
                square += (tensor_row(x, r)[i] - mean) * (tensor_row(x, r)[i] - mean);
        }
        double inverse = 1 / sqrt(square / n + eps);
        for (int r = 0; r < x.rows; r++) {
            for (int i = g * width; i < (g + 1) * width; i++) {
                double v = tensor_row(x, r)[i], norm = (v - mean) * inverse * weight[i] + bias[i];
                size_t at = (size_t)r * (size_t)x.cols + (size_t)i;
                out[at] = reference_activation(norm, activation);
                bound[at] =
                    8 * ROUNDING * ((fabs(v) + fabs(mean)) * inverse * fabs(weight[i]) + fabs(bias[i]));
            }
        }
    }
}

static double cubic(double t)
{
    const double a = -0.75;
    t = fabs(t);
    return t <= 1  ? ((a + 2) * t - (a + 3)) * t * t + 1
           : t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
                   : 0;
}

static int clamped(int i, int n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

void reference_resize(double *out, double *bound, struct tensor x, int from, int to, enum resize how)
{
    for (int p = 0; p < to * to; p++) {
        for (int c = 0; c < x.cols; c++) {
            double sum = 0, size = 0, count = 0;
            if (how == RESIZE_BICUBIC) {
                double y = (p / to + 0.5) * from / to - 0.5, xx = (p % to + 0.5) * from / to - 0.5;
                for (int ky = (int)floor(y) - 1; ky <= (int)floor(y) + 2; ky++) {
                    for (int kx = (int)floor(xx) - 1; kx <= (int)floor(xx) + 2; kx++) {
                        double v = tensor_row(x, clamped(ky, from) * from + clamped(kx, from))[c];
                        sum += v * cubic(y - ky) * cubic(xx - kx);
                        size += fabs(v); /* the weights themselves are off by some roundings */
                    }
                }
                count = 1;
            } else {
                int y0 = p / to * from / to, y1 = (int)ceil((double)(p / to + 1) * from / to - 1e-9);
                int x0 = p % to * from / to, x1 = (int)ceil((double)(p % to + 1) * from / to - 1e-9);
                for (int y = y0; y < y1; y++) {
                    for (int xx = x0; xx < x1; xx++, count++) {
                        sum += tensor_row(x, y * from + xx)[c];
                        size += fabs(tensor_row(x, y * from + xx)[c]);
                    }
                }
            }
            size_t at = (size_t)p * (size_t)x.cols + (size_t)c;
            out[at] = sum / count;
            bound[at] = size / count * ROUNDING * 2 * (how == RESIZE_BICUBIC ? from + 8 : 4);
        }
    }
}

/* --- choosing --- */

struct entry {
    float value;
    int id;
};

static int by_value(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->value != y->value ? (x->value < y->value ? -1 : 1) : x->id - y->id;
}

/* Sorts everything, and follows the definition word by word. */
int32_t reference_choice(const float *logits, int n, const struct choice_filter *f, double u)
{
    struct entry *e = xcalloc((size_t)n, sizeof *e);
    double *weight = xcalloc((size_t)n, sizeof *weight), total = 0, sum = 0;
    int32_t best = 0, chosen = -1;
    for (int i = 0; i < n; i++) {
        if (logits[i] > logits[best])
            best = i;
        e[i] = (struct entry){f->temperature > 0 ? logits[i] / f->temperature : 0, i};
    }
    if (f->temperature <= 0 || isinf(logits[best])) {
        chosen = best;
        goto out;
    }
    qsort(e, (size_t)n, sizeof *e, by_value);
    float top = e[n - 1].value, least = f->top_k > 0 && f->top_k < n ? e[n - f->top_k].value : -INFINITY;
    for (int i = 0; i < n; i++)
        total += e[i].value >= least ? exp((double)e[i].value - top) : 0;
    for (int i = 0; i < n; i++) {
        double w = e[i].value >= least ? exp((double)e[i].value - top) : 0;
        sum += w;
        bool tail = f->top_p > 0 && f->top_p < 1 && sum / total <= 1 - (double)f->top_p && i < n - 1;
        weight[e[i].id] = tail || w < f->min_p ? 0 : w;
    }
    total = sum = 0;
    for (int i = 0; i < n; i++)
        total += weight[i];
    for (int i = 0; i < n && chosen < 0; i++) {
        sum += weight[i];
        if (sum > u * total)
            chosen = i;
    }
out:
    free(e);
    free(weight);
    return chosen;
}
