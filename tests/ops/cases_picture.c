#include "check.h"

#include "base/memory.h"
#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Operations on whole pictures: their rows are not independent, so only threads and guards are varied. */
struct context {
    struct check *check;
    struct matrix x;
    struct conv conv;
    struct weight *weight[CHECK_BACKENDS];
    const float *a, *b;
    int groups, from, to;
    enum activation activation;
    enum resize how;
};

typedef void picture_run(struct backend *, int which, const struct context *, struct tensor out);

static void check_picture(struct check *c, struct matrix out, const double *want, const double *bound,
                          picture_run *run, const struct context *k)
{
    for (int i = 0; i < CHECK_BACKENDS; i++) {
        struct matrix again = matrix_like(out);
        struct error err = {0};
        run(c->backend[i], i, k, again.t);
        if (c->backend[i]->op->finish(c->backend[i], &err) != STATUS_OK)
            check_fail(c, "finish: %s", err.message);
        if (!matrix_guards_whole(again))
            check_fail(c, "wrote outside its result");
        if (i == 0) {
            matrix_copy(out, again, 0, out.t.rows);
            check_close(c, out, want, bound);
        }
        check_same_rows(c, "on more threads", out, 0, again, 0, out.t.rows);
        matrix_release(&again);
    }
}

static float *random_vector(struct check *c, int n)
{
    float *v = xmalloc((size_t)n * sizeof *v);
    random_floats(c, v, (size_t)n);
    return v;
}

/* --- conv2d --- */

static void run_conv(struct backend *be, int which, const struct context *k, struct tensor out)
{
    be->op->conv2d(be, out, k->x.t, &k->conv, k->weight[which], k->b);
}

static void conv_case(struct check *c, struct conv v, int channels, int outputs, enum dtype type, int gap,
                      bool bias)
{
    check_begin(c, "conv2d %dx%d of %d -> %d, kernel %d stride %d upsample %d%s, %s, gap %d", v.height,
                v.width, channels, outputs, v.kernel, v.stride, v.upsample, v.pad_end_only ? " pad end" : "",
                dtype_name(type), gap);
    int inner = v.kernel * v.kernel * channels, pixels = conv_out(&v, v.height) * conv_out(&v, v.width);
    struct random_weight w = weight_random(c, type, outputs, inner);
    struct context k = {
        .check = c, .conv = v, .x = matrix_random(c, v.height * v.width, channels, channels + gap)};
    float *b = random_vector(c, outputs);
    k.b = bias ? b : NULL;
    struct matrix out = matrix_new(pixels, outputs, outputs + gap);
    size_t n = (size_t)pixels * (size_t)outputs;
    double *want = doubles_new(n), *bound = doubles_new(n);
    reference_conv(want, bound, k.x.t, &v, w.value, outputs, k.b, conv_rounding(c, type));
    for (int i = 0; i < CHECK_BACKENDS; i++)
        k.weight[i] = weight_open(c, c->backend[i], &w);
    check_picture(c, out, want, bound, run_conv, &k);
    for (int i = 0; i < CHECK_BACKENDS; i++)
        c->backend[i]->op->weight_free(c->backend[i], k.weight[i]);
    weight_release(&w);
    matrix_release(&k.x);
    matrix_release(&out);
    free(b);
    free(want);
    free(bound);
}

void case_conv2d(struct check *c)
{
    static const struct conv shapes[] = {
        {5, 7, 3, 1, 1, false},   {16, 16, 3, 1, 1, false}, {1, 1, 3, 1, 1, false}, {9, 8, 1, 1, 1, false},
        {8, 8, 3, 2, 1, true},    {16, 10, 3, 2, 1, true},  {7, 9, 3, 2, 1, false}, {6, 5, 3, 1, 2, false},
        {10, 10, 3, 1, 2, false}, {7, 6, 1, 2, 1, false},   {5, 4, 1, 1, 2, false}, {21, 3, 3, 1, 1, true},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        conv_case(c, shapes[i], random_int(c, 1, 40), random_int(c, 1, 30), (enum dtype)(i % 3), (int)i % 3,
                  i % 4 != 1);
        conv_case(c, shapes[i], random_int(c, 100, 180), random_int(c, 1, 8), (enum dtype)((i + 1) % 3), 0,
                  true);
        conv_case(c, shapes[i], 8 * random_int(c, 1, 12), random_int(c, 1, 70), (enum dtype)(1 + i % 2),
                  (int)i % 4 * 4, i % 4 != 1);
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes && c->rows_vary; i++) { /* what cuDNN takes */
        conv_case(c, shapes[i], 8 * random_int(c, 1, 12), 8 * random_int(c, 1, 6), (enum dtype)(1 + i % 2),
                  (int)i % 4, i % 4 != 1);
        if (i == 0)
            conv_case(c, shapes[i], 16, 24, DTYPE_BF16, 0, true); /* or says that it does not */
    }
}

/* --- group_norm --- */

static void run_group_norm(struct backend *be, int which, const struct context *k, struct tensor out)
{
    (void)which;
    be->op->group_norm(be, out, k->x.t, k->groups, k->a, k->b, 1e-6f, k->activation);
}

static void run_group_norm_in_place(struct backend *be, int which, const struct context *k, struct tensor out)
{
    (void)which;
    matrix_copy((struct matrix){.t = out}, k->x, 0, out.rows);
    be->op->group_norm(be, out, out, k->groups, k->a, k->b, 1e-6f, k->activation);
}

void case_group_norm(struct check *c)
{
    static const int shapes[][3] = {{1, 8, 2},     {49, 32, 32}, {256, 64, 32}, {1300, 160, 32},
                                    {5000, 12, 4}, {7, 30, 1},   {0, 8, 2}};
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        const int *s = shapes[i / 2];
        struct context k = {.x = matrix_random(c, s[0], s[1], s[1] + (int)i % 3), .groups = s[2]};
        k.activation = i / 2 % 2 ? ACT_SILU : ACT_NONE;
        check_begin(c, "group_norm %d x %d in %d groups%s", s[0], s[1], s[2], i % 2 ? " in place" : "");
        float *weight = random_vector(c, s[1]), *bias = random_vector(c, s[1]);
        k.a = weight;
        k.b = bias;
        size_t n = (size_t)s[0] * (size_t)s[1];
        double *want = doubles_new(n), *bound = doubles_new(n);
        reference_group_norm(want, bound, k.x.t, s[2], weight, bias, 1e-6f, k.activation);
        struct matrix out = matrix_like(k.x);
        check_picture(c, out, want, bound, i % 2 ? run_group_norm_in_place : run_group_norm, &k);
        matrix_release(&out);
        matrix_release(&k.x);
        free(weight);
        free(bias);
        free(want);
        free(bound);
    }
}

/* --- resize --- */

static void run_resize(struct backend *be, int which, const struct context *k, struct tensor out)
{
    (void)which;
    be->op->resize(be, out, k->x.t, k->from, k->to, k->how);
}

void case_resize(struct check *c)
{
    static const int sizes[][2] = {{1, 16},  {2, 16},  {3, 16}, {4, 16}, {5, 16}, {6, 16},  {8, 16}, {10, 16},
                                   {13, 16}, {16, 16}, {16, 1}, {16, 3}, {16, 5}, {16, 13}, {7, 3},  {3, 7}};
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
        struct context k = {
            .from = sizes[i / 2][0], .to = sizes[i / 2][1], .how = i % 2 ? RESIZE_AREA : RESIZE_BICUBIC};
        int channels = random_int(c, 1, 40);
        check_begin(c, "resize %s %d -> %d, %d channels", i % 2 ? "area" : "bicubic", k.from, k.to, channels);
        k.x = matrix_random(c, k.from * k.from, channels, channels + (int)i % 4);
        size_t n = (size_t)(k.to * k.to) * (size_t)channels;
        double *want = doubles_new(n), *bound = doubles_new(n);
        reference_resize(want, bound, k.x.t, k.from, k.to, k.how);
        struct matrix out = matrix_new(k.to * k.to, channels, channels + (int)i % 3);
        check_picture(c, out, want, bound, run_resize, &k);
        matrix_release(&out);
        matrix_release(&k.x);
        free(want);
        free(bound);
    }
}
