#include "check.h"

#include "base/memory.h"
#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the callbacks below need, for all operations on rows. */
struct context {
    struct matrix x, y;
    const struct weight *weight[CHECK_BACKENDS];
    struct check *check;
    const float *a, *b;
    const int32_t *index;
    enum activation activation;
    float eps;
};

static const struct weight *weight_for(const struct context *k, const struct backend *be)
{
    for (int i = 0; i < CHECK_BACKENDS; i++) {
        if (k->check->backend[i] == be)
            return k->weight[i];
    }
    return NULL;
}

static void open_weights(struct check *c, struct context *k, const struct random_weight *w)
{
    k->check = c;
    for (int i = 0; i < CHECK_BACKENDS; i++)
        k->weight[i] = weight_open(c, c->backend[i], w);
}

static void close_weights(struct check *c, struct context *k)
{
    for (int i = 0; i < CHECK_BACKENDS; i++)
        c->backend[i]->op->weight_free(c->backend[i], (struct weight *)k->weight[i]);
}

static float *random_vector(struct check *c, int n)
{
    float *v = xmalloc((size_t)n * sizeof *v);
    random_floats(c, v, (size_t)n);
    return v;
}

static void copy_rows(struct tensor to, struct matrix from, int first, int n)
{
    matrix_copy((struct matrix){.t = to}, from, first, n);
}

/* --- linear --- */

static void run_linear(struct backend *be, void *context, int first, int n, struct tensor out)
{
    const struct context *k = context;
    be->op->linear(be, out, tensor_rows(k->x.t, first, n), weight_for(k, be), k->a, k->activation);
}

static void linear_case(struct check *c, enum dtype type, int rows, int inner, int outputs,
                        enum activation activation, bool bias, int gap)
{
    check_begin(c, "linear %s %d x %d -> %d activation %d%s gap %d", dtype_name(type), rows, inner, outputs,
                activation, bias ? " bias" : "", gap);
    struct random_weight w = weight_random(c, type, outputs, inner);
    struct matrix x = matrix_random(c, rows, inner, inner + gap),
                  out = matrix_new(rows, outputs, outputs + gap);
    float *b = bias ? random_vector(c, outputs) : NULL;
    size_t n = (size_t)rows * (size_t)outputs;
    double *want = doubles_new(n), *bound = doubles_new(n);
    reference_linear(want, bound, x.t, w.value, outputs, b, activation, product_rounding(c, type));
    struct context k = {.x = x, .a = b, .activation = activation};
    open_weights(c, &k, &w);
    check_rows(c, out, want, bound, run_linear, &k);
    close_weights(c, &k);
    weight_release(&w);
    matrix_release(&x);
    matrix_release(&out);
    free(b);
    free(want);
    free(bound);
}

void case_linear(struct check *c)
{
    static const int inners[] = {1, 2, 7, 12, 16, 31, 64, 100, 160, 1000, 1024, 1032, 2048, 2100, 3077};
    static const int outputs[] = {1, 2, 3, 5, 6, 7, 12, 13, 48, 67, 100};
    static const int rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 31, 64, 65};
    for (int type = DTYPE_F32; type <= DTYPE_BF16; type++) {
        for (size_t i = 0; i < sizeof inners / sizeof *inners; i++) {
            int r = rows[random_next(c) % (sizeof rows / sizeof *rows)];
            int o = outputs[random_next(c) % (sizeof outputs / sizeof *outputs)];
            linear_case(c, type, r, inners[i], o, random_int(c, 0, 4), i % 3 != 0,
                        i % 2 ? random_int(c, 1, 9) : 0);
        }
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            linear_case(c, type, rows[i], 150, 20, ACT_NONE, true, 0);
        linear_case(c, type, 0, 40, 10, ACT_GELU, true, 0);
        linear_case(c, type, 300, 1100, 31, ACT_GELU_TANH, true, 3);
        linear_case(c, type, 5, 2600, 700, ACT_NONE, false, 0);
        linear_case(c, type, 150, 1048, 140, ACT_QUICK_GELU, true, 4);
    }
    for (int type = DTYPE_Q8_0; type <= DTYPE_Q4_1; type++) {
        for (int i = 0; i < 6; i++)
            linear_case(c, type, rows[(size_t)i * 2], 32 * random_int(c, 1, 50), random_int(c, 1, 40),
                        ACT_NONE, i % 2, i);
        linear_case(c, type, 33, 4160, 17, ACT_NONE, true, 1);
        linear_case(c, type, 70, 704, 130, ACT_GELU, false, 0);
    }
    for (int i = 0; i < 40 && c->rows_vary; i++) /* what cuBLASLt takes, and what just misses it */
        linear_case(c, i % 2 ? DTYPE_BF16 : DTYPE_F16, random_int(c, 30, 140), 8 * random_int(c, 1, 200),
                    4 * random_int(c, 1, 20) + (i % 9 == 8), (enum activation)(i / 2 % 5), i % 3 != 0,
                    i % 4 == 3 ? random_int(c, 1, 9) : 8 * (i % 3));
}

/* --- table rows --- */

static void run_embed(struct backend *be, void *context, int first, int n, struct tensor out)
{
    const struct context *k = context;
    (void)n;
    be->op->embed(be, out, weight_for(k, be), k->index + first);
}

static void run_gather(struct backend *be, void *context, int first, int n, struct tensor out)
{
    const struct context *k = context;
    (void)n;
    be->op->gather(be, out, k->x.t, k->index + first);
}

void case_embed(struct check *c)
{
    for (int i = 0; i < 12; i++) {
        enum dtype type = (enum dtype)(i % 6);
        int cols = type > DTYPE_BF16 ? 32 * random_int(c, 1, 5) : random_int(c, 1, 150),
            vocabulary = random_int(c, 1, 40);
        int rows = i == 7 ? 0 : random_int(c, 1, 60);
        check_begin(c, "embed %s %d of %d x %d", dtype_name(type), rows, vocabulary, cols);
        struct random_weight w = weight_random(c, type, vocabulary, cols);
        int32_t *index = xcalloc((size_t)rows, sizeof *index);
        size_t n = (size_t)rows * (size_t)cols;
        double *want = doubles_new(n), *bound = doubles_new(n);
        for (int r = 0; r < rows; r++) {
            index[r] = random_int(c, 0, vocabulary - 1);
            for (int k = 0; k < cols; k++) {
                double v = w.value[(size_t)index[r] * (size_t)cols + (size_t)k];
                want[(size_t)r * (size_t)cols + (size_t)k] = v;
                bound[(size_t)r * (size_t)cols + (size_t)k] =
                    type > DTYPE_BF16 ? fabs(v) * 0x1p-11 + 0x1p-25 : 0;
            }
        }
        struct context k = {.index = index};
        struct matrix out = matrix_new(rows, cols, cols + i % 4);
        open_weights(c, &k, &w);
        check_rows(c, out, want, bound, run_embed, &k);
        close_weights(c, &k);
        weight_release(&w);
        matrix_release(&out);
        free(index);
        free(want);
        free(bound);
    }
}

void case_gather(struct check *c)
{
    for (int i = 0; i < 8; i++) {
        int rows = i == 3 ? 0 : random_int(c, 1, 90), from = random_int(c, 1, 50),
            cols = random_int(c, 1, 200);
        check_begin(c, "gather %d of %d x %d", rows, from, cols);
        struct matrix x = matrix_random(c, from, cols, cols + i % 3),
                      out = matrix_new(rows, cols, cols + 5 * (i % 2));
        int32_t *index = xcalloc((size_t)rows, sizeof *index);
        size_t n = (size_t)rows * (size_t)cols;
        double *want = doubles_new(n), *bound = doubles_new(n);
        for (int r = 0; r < rows; r++) {
            index[r] = random_int(c, 0, from - 1);
            for (int k = 0; k < cols; k++)
                want[(size_t)r * (size_t)cols + (size_t)k] = tensor_row(x.t, index[r])[k];
        }
        struct context k = {.x = x, .index = index};
        check_rows(c, out, want, bound, run_gather, &k);
        matrix_release(&x);
        matrix_release(&out);
        free(index);
        free(want);
        free(bound);
    }
}

void case_scatter(struct check *c)
{
    for (int i = 0; i < 8; i++) {
        int to = random_int(c, 1, 60), rows = i == 2 ? 0 : random_int(c, 1, to), cols = random_int(c, 1, 200);
        check_begin(c, "scatter %d to %d x %d", rows, to, cols);
        struct matrix x = matrix_random(c, rows, cols, cols + i % 3);
        int32_t *index = xcalloc((size_t)to, sizeof *index);
        for (int r = 0; r < to; r++) { /* a random permutation; its first `rows` places are used */
            int at = random_int(c, 0, r);
            index[r] = index[at];
            index[at] = r;
        }
        for (int b = 0; b < CHECK_BACKENDS; b++) {
            struct matrix out = matrix_new(to, cols, cols + 5 * (i % 2)), untouched = matrix_like(out);
            c->backend[b]->op->scatter(c->backend[b], out.t, index, x.t);
            c->backend[b]->op->finish(c->backend[b], NULL);
            if (!matrix_guards_whole(out))
                check_fail(c, "wrote outside its result");
            for (int r = 0; r < to; r++) {
                struct matrix *expected = r < rows ? &x : &untouched;
                check_same_rows(c, "as the row it got", out, index[r], *expected, r < rows ? r : index[r], 1);
            }
            matrix_release(&out);
            matrix_release(&untouched);
        }
        matrix_release(&x);
        free(index);
    }
}

/* --- norms --- */

static const struct residual no_residual;

static void run_rms_norm(struct backend *be, void *context, int first, int n, struct tensor out)
{
    const struct context *k = context;
    be->op->rms_norm(be, out, tensor_rows(k->x.t, first, n), no_residual, k->a, k->eps);
}

static void run_rms_norm_in_place(struct backend *be, void *context, int first, int n, struct tensor out)
{
    const struct context *k = context;
    copy_rows(out, k->x, first, n);
    be->op->rms_norm(be, out, out, no_residual, k->a, k->eps);
}

static void run_layer_norm(struct backend *be, void *context, int first, int n, struct tensor out)
{
    const struct context *k = context;
    be->op->layer_norm(be, out, tensor_rows(k->x.t, first, n), no_residual, k->a, k->b, k->eps);
}

static void run_layer_norm_in_place(struct backend *be, void *context, int first, int n, struct tensor out)
{
    const struct context *k = context;
    copy_rows(out, k->x, first, n);
    be->op->layer_norm(be, out, out, no_residual, k->a, k->b, k->eps);
}

static void norm_case(struct check *c, bool rms, int rows, int cols, int gap)
{
    struct matrix x = matrix_random(c, rows, cols, cols + gap);
    float *weight = random_vector(c, cols), *bias = random_vector(c, cols);
    size_t n = (size_t)rows * (size_t)cols;
    double *want = doubles_new(n), *bound = doubles_new(n);
    struct context k = {.x = x, .a = weight, .b = bias, .eps = 1e-5f};
    if (rms)
        reference_rms_norm(want, bound, x.t, weight, k.eps);
    else
        reference_layer_norm(want, bound, x.t, weight, bias, k.eps);
    case_run *const runs[2][2] = {{run_layer_norm, run_layer_norm_in_place},
                                  {run_rms_norm, run_rms_norm_in_place}};
    for (int in_place = 0; in_place < 2; in_place++) {
        check_begin(c, "%s %d x %d gap %d%s", rms ? "rms_norm" : "layer_norm", rows, cols, gap,
                    in_place ? " in place" : "");
        struct matrix out = matrix_new(rows, cols, cols + gap);
        check_rows(c, out, want, bound, runs[rms][in_place], &k);
        matrix_release(&out);
    }
    matrix_release(&x);
    free(weight);
    free(bias);
    free(want);
    free(bound);
}

/* Rows first.. of fresh copies of x and y, as one operation or as add and a norm; where the norm's result goes:
 * 0 to a matrix of its own, 1 to x's place, 2 to y's. Gives the result and x in new matrices. */
static void run_residual(struct backend *be, bool rms, const struct context *k, const float *scale,
                         bool fused, int place, int first, int n, struct matrix *out, struct matrix *x)
{
    struct matrix y = matrix_new(n, k->y.t.cols, k->y.t.stride),
                  own = matrix_new(n, k->x.t.cols, k->x.t.stride);
    *x = matrix_new(n, k->x.t.cols, k->x.t.stride);
    matrix_copy(*x, k->x, first, n);
    matrix_copy(y, k->y, first, n);
    struct residual residual = {y.t, scale};
    struct tensor to = place == 0 ? own.t : place == 1 ? x->t : y.t;
    if (!fused) {
        be->op->add(be, x->t, y.t, scale);
        residual = no_residual;
    }
    if (rms)
        be->op->rms_norm(be, to, x->t, residual, k->a, k->eps);
    else
        be->op->layer_norm(be, to, x->t, residual, k->a, k->b, k->eps);
    be->op->finish(be, NULL);
    *out = matrix_new(n, k->x.t.cols, k->x.t.stride);
    matrix_copy(*out, place == 0 ? own : place == 1 ? *x : y, 0, n);
    matrix_release(&own);
    matrix_release(&y);
}

/* A norm with a residual gives the bits of add and the norm, all rows together and one alone. */
static void residual_case(struct check *c, bool rms, int rows, int cols, int gap, int place)
{
    check_begin(c, "%s with a residual %d x %d gap %d to %d", rms ? "rms_norm" : "layer_norm", rows, cols,
                gap, place);
    float *weight = random_vector(c, cols), *bias = random_vector(c, cols), *scale = random_vector(c, cols);
    struct context k = {.x = matrix_random(c, rows, cols, cols + gap),
                        .y = matrix_random(c, rows, cols, cols + gap),
                        .a = weight,
                        .b = bias,
                        .eps = 1e-5f};
    struct matrix want, want_x, out, x;
    const float *scaled = gap % 2 ? scale : NULL;
    run_residual(c->backend[0], rms, &k, scaled, false, place, 0, rows, &want, &want_x);
    for (int b = 0; b < CHECK_BACKENDS + 1; b++) {
        bool alone = b == CHECK_BACKENDS;
        int first = alone ? rows / 2 : 0, n = alone ? 1 : rows;
        run_residual(c->backend[alone ? 0 : b], rms, &k, scaled, true, place, first, n, &out, &x);
        check_same_rows(c, "as add and the norm", out, 0, want, first, n);
        check_same_rows(c, "x as add leaves it", x, 0, want_x, first, n);
        matrix_release(&out);
        matrix_release(&x);
    }
    matrix_release(&want);
    matrix_release(&want_x);
    matrix_release(&k.x);
    matrix_release(&k.y);
    free(weight);
    free(bias);
    free(scale);
}

static void norm_cases(struct check *c, bool rms)
{
    static const int cols[] = {1, 3, 16, 17, 64, 100, 576, 1920, 4096};
    for (size_t i = 0; i < sizeof cols / sizeof *cols; i++)
        norm_case(c, rms, i == 2 ? 0 : random_int(c, 1, 70), cols[i], (int)i % 3);
    for (size_t i = 0; i < 2 * sizeof cols / sizeof *cols; i++)
        residual_case(c, rms, random_int(c, 1, 20), cols[i / 2], (int)i % 5, (int)i % 3);
}

void case_rms_norm(struct check *c)
{
    norm_cases(c, true);
}

void case_layer_norm(struct check *c)
{
    norm_cases(c, false);
}

/* --- element by element --- */

static void run_silu_mul(struct backend *be, void *context, int first, int n, struct tensor out)
{
    const struct context *k = context;
    be->op->silu_mul(be, out, tensor_rows(k->x.t, first, n), tensor_rows(k->y.t, first, n));
}

static void run_silu_mul_in_place(struct backend *be, void *context, int first, int n, struct tensor out)
{
    const struct context *k = context;
    copy_rows(out, k->x, first, n);
    be->op->silu_mul(be, out, out, tensor_rows(k->y.t, first, n));
}

static void run_add(struct backend *be, void *context, int first, int n, struct tensor out)
{
    const struct context *k = context;
    copy_rows(out, k->x, first, n);
    be->op->add(be, out, tensor_rows(k->y.t, first, n), k->a);
}

static void run_guide(struct backend *be, void *context, int first, int n, struct tensor out)
{
    const struct context *k = context;
    be->op->guide(be, out, tensor_rows(k->x.t, first, n), tensor_rows(k->y.t, first, n), k->b + first);
}

static void run_guide_in_place(struct backend *be, void *context, int first, int n, struct tensor out)
{
    const struct context *k = context;
    copy_rows(out, k->x, first, n);
    be->op->guide(be, out, out, tensor_rows(k->y.t, first, n), k->b + first);
}

enum pair_op { PAIR_SILU_MUL, PAIR_ADD, PAIR_GUIDE };

static void pair_reference(double *want, double *bound, enum pair_op op, const struct context *k)
{
    struct tensor x = k->x.t, y = k->y.t;
    if (op == PAIR_SILU_MUL) {
        reference_silu_mul(want, bound, x, y);
        return;
    }
    for (int r = 0; r < x.rows; r++) {
        for (int i = 0; i < x.cols; i++) {
            double a = tensor_row(x, r)[i], b = tensor_row(y, r)[i];
            if (op == PAIR_ADD) {
                b *= k->a ? k->a[i] : 1;
            } else {
                a *= 1 + (double)k->b[r];
                b *= -(double)k->b[r];
            }
            size_t at = (size_t)r * (size_t)x.cols + (size_t)i;
            want[at] = a + b;
            bound[at] = 0x1p-22 * (fabs(a) + fabs(b));
        }
    }
}

static void pair_case(struct check *c, enum pair_op op, int variant, int rows, int cols, int gap)
{
    static const char *const names[] = {"silu_mul", "add", "guide"};
    check_begin(c, "%s %d x %d gap %d variant %d", names[op], rows, cols, gap, variant);
    struct context k = {.x = matrix_random(c, rows, cols, cols + gap),
                        .y = matrix_random(c, rows, cols, cols + 2 * gap)};
    float *scale = random_vector(c, cols), *t = random_vector(c, rows);
    k.a = variant ? scale : NULL;
    k.b = t;
    size_t n = (size_t)rows * (size_t)cols;
    double *want = doubles_new(n), *bound = doubles_new(n);
    pair_reference(want, bound, op, &k);
    case_run *const runs[3][2] = {
        {run_silu_mul, run_silu_mul_in_place}, {run_add, run_add}, {run_guide, run_guide_in_place}};
    struct matrix out = matrix_new(rows, cols, cols + gap);
    check_rows(c, out, want, bound, runs[op][variant], &k);
    matrix_release(&out);
    matrix_release(&k.x);
    matrix_release(&k.y);
    free(scale);
    free(t);
    free(want);
    free(bound);
}

static void pair_cases(struct check *c, enum pair_op op)
{
    static const int cols[] = {1, 5, 16, 33, 512, 1921, 4096};
    for (size_t i = 0; i < 2 * sizeof cols / sizeof *cols; i++)
        pair_case(c, op, (int)i % 2, i == 4 ? 0 : random_int(c, 1, 50), cols[i / 2], (int)i % 3);
}

void case_silu_mul(struct check *c)
{
    pair_cases(c, PAIR_SILU_MUL);
}

void case_add(struct check *c)
{
    pair_cases(c, PAIR_ADD);
}

void case_guide(struct check *c)
{
    pair_cases(c, PAIR_GUIDE);
}
