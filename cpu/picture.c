#include "cpu/backend_state.h"

#include "base/memory.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* Group norm: column sums over fixed chunks of rows, in double, added up chunk after chunk; then one pass
 * that scales. */
enum { NORM_ROWS = 512 };

struct norm_job {
    struct tensor out, x;
    double *sums; /* [chunks][2][cols]: of x, of x^2 */
    float *scale, *bias;
    enum activation activation;
};

static void sum_chunks(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)thread;
    const struct norm_job *j = context;
    int cols = j->x.cols;
    for (int chunk = first; chunk < first + n; chunk++) {
        double *sum = j->sums + (size_t)chunk * 2 * (size_t)cols, *square = sum + cols;
        for (int i = 0; i < cols; i++)
            sum[i] = square[i] = 0;
        int from = chunk * NORM_ROWS, rows = j->x.rows - from < NORM_ROWS ? j->x.rows - from : NORM_ROWS;
        c->k->column_sums(sum, square, tensor_row(j->x, from), (size_t)j->x.stride, rows, cols);
    }
}

static void scale_rows(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)thread;
    const struct norm_job *j = context;
    for (int r = first; r < first + n; r++)
        c->k->scale_bias_act(tensor_row(j->out, r), tensor_row(j->x, r), j->x.cols, j->scale, j->bias,
                             j->activation);
}

static void find_scales(struct norm_job *j, int chunks, int groups, const float *weight, const float *bias,
                        float eps)
{
    int cols = j->x.cols, width = cols / groups;
    for (int g = 0; g < groups; g++) {
        double sum = 0, square = 0, count = (double)width * j->x.rows;
        for (int chunk = 0; chunk < chunks; chunk++) {
            const double *s = j->sums + (size_t)chunk * 2 * (size_t)cols;
            for (int i = g * width; i < (g + 1) * width; i++) {
                sum += s[i];
                square += s[cols + i];
            }
        }
        double mean = sum / count, variance = square / count - mean * mean;
        double inverse = 1 / sqrt((variance > 0 ? variance : 0) + eps);
        for (int i = g * width; i < (g + 1) * width; i++) {
            j->scale[i] = (float)(weight[i] * inverse);
            j->bias[i] = (float)(bias[i] - mean * inverse * weight[i]);
        }
    }
}

void cpu_group_norm(struct backend *be, struct tensor out, struct tensor x, int groups, const float *weight,
                    const float *bias, float eps, enum activation activation)
{
    struct cpu_backend *c = cpu_state(be);
    assert(groups > 0 && x.cols % groups == 0);
    if (x.rows <= 0)
        return;
    int chunks = (x.rows + NORM_ROWS - 1) / NORM_ROWS;
    size_t cols = (size_t)x.cols,
           bytes = (size_t)chunks * 2 * cols * sizeof(double) + 2 * cols * sizeof(float);
    if (!cpu_scratch_reserve(c, bytes))
        return;
    double *sums = c->scratch[0]; /* the caller's; neither pass uses its own */
    float *scale = (float *)(sums + (size_t)chunks * 2 * cols);
    struct norm_job j = {out, x, sums, scale, scale + cols, activation};
    cpu_for_ranges(c, chunks, 0.5 * x.cols * (x.rows < NORM_ROWS ? x.rows : NORM_ROWS), sum_chunks, &j);
    find_scales(&j, chunks, groups, weight, bias, eps);
    cpu_for_ranges(c, x.rows, x.cols * (activation == ACT_NONE ? 0.3 : 1.0), scale_rows, &j);
}

struct resize_job {
    struct tensor out, x;
    int from, to;
};

/* PyTorch's cubic weights for the distances 1 + t, t, 1 - t, 2 - t, in float32 as it computes them. */
static void cubic_weights(float w[4], float t)
{
    const float a = -0.75f;
    float near[2] = {t, 1 - t}, far[2] = {t + 1, (1 - t) + 1};
    float far_w[2], near_w[2];
    for (int i = 0; i < 2; i++) {
        far_w[i] = ((a * far[i] - 5 * a) * far[i] + 8 * a) * far[i] - 4 * a;
        near_w[i] = ((a + 2) * near[i] - (a + 3)) * near[i] * near[i] + 1;
    }
    w[0] = far_w[0];
    w[1] = near_w[0];
    w[2] = near_w[1];
    w[3] = far_w[1];
}

struct taps {
    int index[4];
    float weight[4];
};

static struct taps cubic_taps(int i, int from, int to)
{
    struct taps taps;
    float at = ((float)from / (float)to) * ((float)i + 0.5f) - 0.5f, low = floorf(at);
    cubic_weights(taps.weight, at - low);
    for (int k = 0; k < 4; k++) {
        int index = (int)low - 1 + k;
        taps.index[k] = index < 0 ? 0 : index >= from ? from - 1 : index;
    }
    return taps;
}

static void bicubic_pixels(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)c;
    (void)thread;
    const struct resize_job *j = context;
    for (int p = first; p < first + n; p++) {
        struct taps y = cubic_taps(p / j->to, j->from, j->to), x = cubic_taps(p % j->to, j->from, j->to);
        float *out = tensor_row(j->out, p);
        for (int channel = 0; channel < j->x.cols; channel++) {
            float sum = 0;
            for (int ky = 0; ky < 4; ky++) {
                float line = 0;
                for (int kx = 0; kx < 4; kx++)
                    line += tensor_row(j->x, y.index[ky] * j->from + x.index[kx])[channel] * x.weight[kx];
                sum += line * y.weight[ky];
            }
            out[channel] = sum;
        }
    }
}

static void area_pixels(struct cpu_backend *c, void *context, int first, int n, int thread)
{
    (void)c;
    (void)thread;
    const struct resize_job *j = context;
    for (int p = first; p < first + n; p++) {
        int y0 = p / j->to * j->from / j->to, y1 = ((p / j->to + 1) * j->from + j->to - 1) / j->to;
        int x0 = p % j->to * j->from / j->to, x1 = ((p % j->to + 1) * j->from + j->to - 1) / j->to;
        float *out = tensor_row(j->out, p), count = (float)((y1 - y0) * (x1 - x0));
        for (int channel = 0; channel < j->x.cols; channel++) {
            float sum = 0;
            for (int y = y0; y < y1; y++) {
                for (int x = x0; x < x1; x++)
                    sum += tensor_row(j->x, y * j->from + x)[channel];
            }
            out[channel] = sum / count;
        }
    }
}

void cpu_resize(struct backend *be, struct tensor out, struct tensor x, int from, int to, enum resize how)
{
    assert(x.rows == from * from && out.rows == to * to && out.cols == x.cols);
    struct resize_job j = {out, x, from, to};
    cpu_for_ranges(cpu_state(be), out.rows, x.cols * 20.0, how == RESIZE_AREA ? area_pixels : bicubic_pixels,
                   &j);
}
