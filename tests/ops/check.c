#include "check.h"

#include "base/memory.h"
#include "reference.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t PATTERN = 0x7fc5a5a5; /* a quiet NaN */

void check_begin(struct check *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->name, sizeof c->name, format, args);
    va_end(args);
    c->cases++;
}

void check_fail(struct check *c, const char *format, ...)
{
    if (++c->failures > 20)
        return;
    va_list args;
    va_start(args, format);
    printf("FAILED %s: %s: ", c->level, c->name);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

uint32_t random_next(struct check *c)
{
    uint64_t z = c->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

int random_int(struct check *c, int low, int high)
{
    return low + (int)(random_next(c) % (uint32_t)(high - low + 1));
}

double random_real(struct check *c, double low, double high)
{
    return low + (high - low) * (random_next(c) / 4294967296.0);
}

static float random_value(struct check *c)
{
    double v = random_real(c, -1, 1) + random_real(c, -1, 1) + random_real(c, -1, 1);
    return (float)(random_next(c) % 100 == 0 ? 20 * v : v);
}

void random_floats(struct check *c, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = random_value(c);
}

static void fill_pattern(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        memcpy(&x[i], &PATTERN, sizeof PATTERN);
}

struct matrix matrix_new(int rows, int cols, int stride)
{
    struct matrix m = {.t = {NULL, DTYPE_F32, rows, cols, stride}, .floats = (size_t)rows * (size_t)stride};
    /* the last row ends the memory where there is no gap after it, so that AddressSanitizer stands right
     * behind */
    m.memory = xmalloc(m.floats * sizeof(float));
    fill_pattern(m.memory, m.floats);
    m.t.data = m.memory + (stride - cols) / 2;
    return m;
}

struct matrix matrix_like(struct matrix m)
{
    return matrix_new(m.t.rows, m.t.cols, m.t.stride);
}

struct matrix matrix_random(struct check *c, int rows, int cols, int stride)
{
    struct matrix m = matrix_new(rows, cols, stride);
    for (int r = 0; r < rows; r++)
        random_floats(c, tensor_row(m.t, r), (size_t)cols);
    return m;
}

void matrix_release(struct matrix *m)
{
    free(m->memory);
    m->memory = NULL;
}

bool matrix_guards_whole(struct matrix m)
{
    size_t before = (size_t)((float *)m.t.data - m.memory);
    for (size_t i = 0; i < m.floats; i++) {
        size_t column = i % (size_t)m.t.stride;
        bool inside = column >= before && column < before + (size_t)m.t.cols;
        if (!inside && memcmp(&m.memory[i], &PATTERN, sizeof PATTERN) != 0)
            return false;
    }
    return true;
}

void matrix_copy(struct matrix to, struct matrix from, int first, int n)
{
    for (int r = 0; r < n; r++)
        memcpy(tensor_row(to.t, r), tensor_row(from.t, first + r), (size_t)to.t.cols * sizeof(float));
}

void check_close(struct check *c, struct matrix got, const double *want, const double *bound)
{
    for (int r = 0; r < got.t.rows; r++) {
        for (int i = 0; i < got.t.cols; i++) {
            size_t at = (size_t)r * (size_t)got.t.cols + (size_t)i;
            double g = tensor_row(got.t, r)[i], error = fabs(g - want[at]);
            if (!(error <= bound[at])) {
                check_fail(c, "row %d column %d is %.9g, should be %.9g within %.3g", r, i, g, want[at],
                           bound[at]);
                return;
            }
            if (bound[at] > 0 && error / bound[at] > c->worst)
                c->worst = error / bound[at];
        }
    }
}

void check_same_rows(struct check *c, const char *what, struct matrix a, int a_row, struct matrix b,
                     int b_row, int n)
{
    for (int r = 0; r < n; r++) {
        if (a.t.cols && memcmp(tensor_row(a.t, a_row + r), tensor_row(b.t, b_row + r),
                               (size_t)a.t.cols * sizeof(float))) {
            check_fail(c, "row %d is not the same bytes %s", a_row + r, what);
            return;
        }
    }
}

static void run_guarded(struct check *c, struct backend *be, struct matrix out, case_run *run, void *context,
                        int first, int n)
{
    struct error err = {0};
    run(be, context, first, n, out.t);
    if (be->op->finish(be, &err) != STATUS_OK)
        check_fail(c, "finish: %s", err.message);
    if (!matrix_guards_whole(out))
        check_fail(c, "wrote outside its result (rows %d..%d)", first, first + n - 1);
}

void check_rows(struct check *c, struct matrix out, const double *want, const double *bound, case_run *run,
                void *context)
{
    int rows = out.t.rows;
    run_guarded(c, c->backend[0], out, run, context, 0, rows);
    check_close(c, out, want, bound);
    for (int i = 1; i < CHECK_BACKENDS; i++) {
        struct matrix again = matrix_like(out);
        run_guarded(c, c->backend[i], again, run, context, 0, rows);
        check_same_rows(c, "on more threads", out, 0, again, 0, rows);
        matrix_release(&again);
    }
    for (int r = 0; r < rows;) { /* alone, or a few at a time */
        int n = random_int(c, 1, 5);
        n = r % 2 || n > rows - r ? 1 : n;
        struct matrix part = matrix_new(n, out.t.cols, out.t.stride);
        run_guarded(c, c->backend[0], part, run, context, r, n);
        size_t at = (size_t)r * (size_t)out.t.cols;
        if (c->rows_vary)
            check_close(c, part, want + at, bound + at);
        else
            check_same_rows(c, "with fewer rows beside it", out, r, part, 0, n);
        matrix_release(&part);
        r += n;
    }
}

static uint16_t f16_random(struct check *c)
{
    /* sign, exponents around 1 with a few subnormals, any fraction */
    unsigned exponent = random_next(c) % 50 == 0 ? 0 : 9 + random_next(c) % 8;
    return (uint16_t)((random_next(c) & 0x8000) | exponent << 10 | (random_next(c) & 0x3ff));
}

static void fill_weight(struct check *c, void *data, enum dtype type, size_t n)
{
    if (type == DTYPE_F32) {
        random_floats(c, data, n);
        return;
    }
    if (type == DTYPE_F16 || type == DTYPE_BF16) {
        for (size_t i = 0; i < n; i++) {
            float v = random_value(c);
            uint32_t bits;
            memcpy(&bits, &v, sizeof bits);
            ((uint16_t *)data)[i] = type == DTYPE_BF16 ? (uint16_t)(bits >> 16) : f16_random(c);
        }
        return;
    }
    size_t block = dtype_bytes(type, 32);
    uint8_t *bytes = data;
    for (size_t b = 0; b < n / 32; b++) {
        for (size_t i = 0; i < block; i++)
            bytes[b * block + i] = (uint8_t)random_next(c);
        for (size_t i = 0; i < (type == DTYPE_Q4_1 ? 4u : 2u); i += 2) {
            uint16_t h = (uint16_t)((f16_random(c) & 0x83ff) | (7 + random_next(c) % 4) << 10);
            memcpy(bytes + b * block + i, &h, sizeof h);
        }
    }
}

struct random_weight weight_random(struct check *c, enum dtype type, int rows, int cols)
{
    size_t n = (size_t)rows * (size_t)cols;
    struct random_weight w = {.data = xmalloc(dtype_bytes(type, n)), .value = doubles_new(n)};
    w.host = (struct host_matrix){w.data, type, rows, cols, .stays = random_next(c) % 2 == 0};
    fill_weight(c, w.data, type, n);
    reference_values(w.value, w.data, type, n);
    return w;
}

void weight_release(struct random_weight *w)
{
    free(w->data);
    free(w->value);
}

struct weight *weight_open(struct check *c, struct backend *be, const struct random_weight *w)
{
    struct weight *out = NULL;
    struct error err = {0};
    if (be->op->weight_load(be, &out, &w->host, &err) != STATUS_OK) {
        check_fail(c, "weight_load: %s", err.message);
        exit(1);
    }
    return out;
}

static double operand_rounding(const struct check *c, enum dtype type)
{
    return !c->fast || type == DTYPE_F32 ? 0 : type == DTYPE_BF16 ? 0x1p-8 : 0x1p-11;
}

double product_rounding(const struct check *c, enum dtype type)
{
    double weight = c->rounds_blocks && type > DTYPE_BF16 ? 0x1p-11 : 0; /* half a step of F16 */
    return weight + operand_rounding(c, type);
}

double conv_rounding(const struct check *c, enum dtype type)
{
    return product_rounding(c, type) + (c->rows_vary ? operand_rounding(c, type) : 0);
}

double *doubles_new(size_t n)
{
    return xcalloc(n, sizeof(double));
}
