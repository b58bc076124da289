/* Operations on one row; part of kernels_body.h. */

/* Sum of (x - mean)^2 (or of x: see below) in double, in an order that n alone fixes. */
enum { SUM_LANES = 16 };

INLINE double fold_sums(double *s)
{
    for (int width = SUM_LANES / 2; width > 0; width /= 2) {
        for (int j = 0; j < width; j++)
            s[j] += s[j + width];
    }
    return s[0];
}

static double sum_of(const float *x, int n)
{
    double s[SUM_LANES] = {0};
    int i = 0;
    for (; i + SUM_LANES <= n; i += SUM_LANES) {
        for (int j = 0; j < SUM_LANES; j++)
            s[j] += x[i + j];
    }
    for (int j = 0; i < n; i++, j++)
        s[j] += x[i];
    return fold_sums(s);
}

static double sum_of_squares(const float *x, int n, double mean)
{
    double s[SUM_LANES] = {0};
    int i = 0;
    for (; i + SUM_LANES <= n; i += SUM_LANES) {
        for (int j = 0; j < SUM_LANES; j++)
            s[j] += (x[i + j] - mean) * (x[i + j] - mean);
    }
    for (int j = 0; i < n; i++, j++)
        s[j] += (x[i] - mean) * (x[i] - mean);
    return fold_sums(s);
}

static void rms_norm(float *out, const float *x, int n, const float *weight, float eps)
{
    float scale = (float)(1 / sqrt(sum_of_squares(x, n, 0) / n + eps));
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(out + i, vf_load(x + i) * scale * vf_load(weight + i));
    if (i < n)
        vf_store_part(out + i, vf_load_part(x + i, n - i) * scale * vf_load_part(weight + i, n - i), n - i);
}

static void layer_norm(float *out, const float *x, int n, const float *weight, const float *bias, float eps)
{
    double mean = sum_of(x, n) / n;
    float scale = (float)(1 / sqrt(sum_of_squares(x, n, mean) / n + eps)), centre = (float)mean;
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf v = (vf_load(x + i) - centre) * scale;
        vf_store(out + i, vf_fma(v, vf_load(weight + i), vf_load(bias + i)));
    }
    if (i < n) {
        vf v = (vf_load_part(x + i, n - i) - centre) * scale;
        vf_store_part(out + i, vf_fma(v, vf_load_part(weight + i, n - i), vf_load_part(bias + i, n - i)),
                      n - i);
    }
}

static void column_sums(double *restrict sum, double *restrict square, const float *x, size_t stride,
                        int rows, int n)
{
    int r = 0;
    for (; r + 4 <= rows; r += 4, x += 4 * stride) {
        const float *y = x + stride, *z = y + stride, *w = z + stride;
        for (int i = 0; i < n; i++) {
            double a = x[i], b = y[i], c = z[i], d = w[i];
            sum[i] += (a + b) + (c + d);
            square[i] += (a * a + b * b) + (c * c + d * d);
        }
    }
    for (; r < rows; r++, x += stride) {
        for (int i = 0; i < n; i++) {
            sum[i] += x[i];
            square[i] += (double)x[i] * x[i];
        }
    }
}

static void multiply(float *x, float by, int n)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(x + i, vf_load(x + i) * by);
    if (i < n)
        vf_store_part(x + i, vf_load_part(x + i, n - i) * by, n - i);
}

static void head_norm(float *x, int n, float scale)
{
    double length = sqrt(sum_of_squares(x, n, 0));
    multiply(x, (float)(scale / (length > 1e-12 ? length : 1e-12)), n);
}

INLINE void rotate(vf *a, vf *b, vf c, vf s)
{
    vf first = *a * c - *b * s;
    *b = *b * c + *a * s;
    *a = first;
}

static void rope(float *x, int half, const float *c, const float *s)
{
    float *y = x + half;
    int i = 0;
    for (; i + LANES <= half; i += LANES) {
        vf a = vf_load(x + i), b = vf_load(y + i);
        rotate(&a, &b, vf_load(c + i), vf_load(s + i));
        vf_store(x + i, a);
        vf_store(y + i, b);
    }
    if (i < half) {
        int n = half - i;
        vf a = vf_load_part(x + i, n), b = vf_load_part(y + i, n);
        rotate(&a, &b, vf_load_part(c + i, n), vf_load_part(s + i, n));
        vf_store_part(x + i, a, n);
        vf_store_part(y + i, b, n);
    }
}

static void add(float *x, const float *y, const float *scale, int n)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf v = vf_load(y + i);
        vf_store(x + i, vf_load(x + i) + (scale ? v * vf_load(scale + i) : v));
    }
    if (i < n) {
        vf v = vf_load_part(y + i, n - i);
        vf_store_part(x + i, vf_load_part(x + i, n - i) + (scale ? v * vf_load_part(scale + i, n - i) : v),
                      n - i);
    }
}

static void guide(float *out, const float *cond, const float *uncond, float t, int n)
{
    float more = 1 + t;
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(out + i, vf_load(cond + i) * more - vf_load(uncond + i) * t);
    if (i < n)
        vf_store_part(out + i, vf_load_part(cond + i, n - i) * more - vf_load_part(uncond + i, n - i) * t,
                      n - i);
}

static int nearest(const float *x, const float *table, int rows, int n)
{
    int best = 0;
    float best_distance = INFINITY;
    for (int row = 0; row < rows; row++) {
        const float *e = table + (size_t)row * (size_t)n;
        vf sum = {0};
        int i = 0;
        for (; i + LANES <= n; i += LANES) {
            vf d = vf_load(x + i) - vf_load(e + i);
            sum = vf_fma(d, d, sum);
        }
        if (i < n) {
            vf d = vf_load_part(x + i, n - i) - vf_load_part(e + i, n - i);
            sum = vf_fma(d, d, sum);
        }
        float distance = vf_sum(sum);
        if (distance < best_distance) {
            best_distance = distance;
            best = row;
        }
    }
    return best;
}
