#include "check.h"

#include "base/memory.h"
#include "base/random.h"
#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct context {
    struct noise_row *row;
};

static void run_noise(struct backend *be, void *context, int first, int n, struct tensor out)
{
    const struct context *k = context;
    (void)n;
    be->op->noise(be, out, k->row + first);
}

void case_noise(struct check *c)
{
    static const int cols[] = {1, 4, 7, 64, 1001};
    for (size_t i = 0; i < sizeof cols / sizeof *cols; i++) {
        int rows = i == 1 ? 0 : random_int(c, 1, 40);
        check_begin(c, "noise %d x %d", rows, cols[i]);
        struct noise_row *row = xcalloc((size_t)rows, sizeof *row);
        size_t n = (size_t)rows * (size_t)cols[i];
        double *want = doubles_new(n), *bound = doubles_new(n);
        for (int r = 0; r < rows; r++) {
            row[r] = (struct noise_row){(uint64_t)random_next(c) << 32 | random_next(c), random_next(c) % 680,
                                        65537};
            for (int k = 0; k < cols[i]; k++) {
                struct random_words w =
                    random_philox(row[r].seed, (uint32_t)k / 4, row[r].position, RANDOM_NOISE, 65537);
                const uint32_t *pair = &w.x[k % 4 / 2 * 2];
                double radius = sqrt(-2 * log(random_unit(pair[0]))), angle = 2 * M_PI * random_unit(pair[1]);
                size_t at = (size_t)r * (size_t)cols[i] + (size_t)k;
                want[at] = radius * (k % 2 ? sin(angle) : cos(angle));
                bound[at] = 1e-6 * fabs(want[at]) + 1e-12;
            }
        }
        struct matrix out = matrix_new(rows, cols[i], cols[i] + (int)i);
        struct context k = {row};
        check_rows(c, out, want, bound, run_noise, &k);
        matrix_release(&out);
        free(row);
        free(want);
        free(bound);
    }
}

static struct choice_row random_choice(struct check *c)
{
    static const float temperatures[] = {1, 1, 0.7f, 2, 0, 0.05f},
                       top_ps[] = {0, 1, 0.96f, 0.9f, 0.5f, 0.01f, 0.999f};
    static const int top_ks[] = {0, 0, 1, 2, 40, 900, 100000};
    static const float min_ps[] = {0, 0, 0.1f, 0.01f};
    struct choice_row row = {
        .filter = {temperatures[random_int(c, 0, 5)], top_ks[random_int(c, 0, 6)],
                   top_ps[random_int(c, 0, 6)], min_ps[random_int(c, 0, 3)]},
        .u = (random_next(c) + 0.5) / 4294967296.0,
    };
    return row;
}

/* Every third logit or so, in no order. */
static int random_edits(struct check *c, struct logit_edit *edit, int rows, int cols)
{
    int n = 0;
    for (int r = 0; r < rows; r++) {
        for (int id = 0; id < cols; id++) {
            if (random_int(c, 0, 2))
                continue;
            int at = random_int(c, 0, n);
            edit[n++] = edit[at];
            edit[at] =
                (struct logit_edit){r, id, random_int(c, 0, 1) ? 1 : 1.3f, random_int(c, 0, 1) ? 0 : 0.7f,
                                    random_int(c, 0, 5) ? 2.5f : -INFINITY};
        }
    }
    return n;
}

void case_edit_logits(struct check *c)
{
    static const int shapes[][2] = {{1, 1}, {3, 7}, {12, 1000}, {1, 151936}, {0, 5}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int rows = shapes[i][0], cols = shapes[i][1], stride = cols + (int)i;
        check_begin(c, "edit_logits of %d rows of %d", rows, cols);
        struct matrix x = matrix_random(c, rows, cols, stride), want = matrix_like(x);
        struct logit_edit *edit = xcalloc((size_t)rows * (size_t)cols + 1, sizeof *edit);
        int n = random_edits(c, edit, rows, cols);
        matrix_copy(want, x, 0, rows);
        for (int k = 0; k < n; k++) {
            float *logit = tensor_row(want.t, edit[k].row) + edit[k].id;
            float l = *logit > 0 ? *logit / edit[k].repetition : *logit * edit[k].repetition;
            l -= edit[k].less;
            *logit = l + edit[k].more;
        }
        for (int b = 0; b < CHECK_BACKENDS; b++) {
            struct matrix got = matrix_like(x);
            matrix_copy(got, x, 0, rows);
            c->backend[b]->op->edit_logits(c->backend[b], got.t, edit, n);
            c->backend[b]->op->finish(c->backend[b], NULL);
            check_same_rows(c, "as the formula says", got, 0, want, 0, rows);
            if (!matrix_guards_whole(got))
                check_fail(c, "wrote outside its result");
            matrix_release(&got);
        }
        matrix_release(&x);
        matrix_release(&want);
        free(edit);
    }
}

void case_sample(struct check *c)
{
    static const int sizes[] = {1, 2, 5, 64, 1000, 4096, 32064, 151936};
    for (size_t i = 0; i < 3 * sizeof sizes / sizeof *sizes; i++) {
        int n = sizes[i / 3], rows = i == 4 ? 0 : n > 50000 ? 4 : n > 5000 ? 12 : 60;
        check_begin(c, "sample %d rows of %d, kind %d", rows, n, (int)i % 3);
        struct matrix x = matrix_random(c, rows, n, n + (int)i % 3);
        struct choice_row *how = xcalloc((size_t)rows, sizeof *how);
        for (int r = 0; r < rows; r++) {
            how[r] = random_choice(c);
            for (int k = 0; k < n; k++) {
                float *v = &tensor_row(x.t, r)[k];
                if (i % 3 == 1) /* many ties */
                    *v = roundf(*v);
                else if (i % 3 == 2 && random_int(c, 0, 2) == 0)
                    *v = -INFINITY;
            }
        }
        int32_t *first = xcalloc((size_t)rows, sizeof *first), *got = xcalloc((size_t)rows, sizeof *got);
        for (int b = 0; b < CHECK_BACKENDS; b++) {
            c->backend[b]->op->sample(c->backend[b], got, x.t, how);
            c->backend[b]->op->finish(c->backend[b], NULL);
            if (b == 0)
                memcpy(first, got, (size_t)rows * sizeof *got);
            for (int r = 0; r < rows; r++) {
                const struct choice_filter *f = &how[r].filter;
                int32_t want = b == 0 ? reference_choice(tensor_row(x.t, r), n, f, how[r].u) : first[r];
                if (got[r] != want) {
                    check_fail(c,
                               "row %d chose %d, should be %d (temperature %g, top_k %d, top_p %g, min_p %g, "
                               "u %.9f)",
                               r, got[r], want, f->temperature, f->top_k, f->top_p, f->min_p, how[r].u);
                    break;
                }
            }
        }
        matrix_release(&x);
        free(how);
        free(first);
        free(got);
    }
}

static int32_t nearest_of(const float *x, const struct random_weight *w, double *margin)
{
    int best = 0;
    double least = INFINITY, second = INFINITY;
    for (int row = 0; row < w->host.rows; row++) {
        double sum = 0;
        for (int i = 0; i < w->host.cols; i++) {
            double d = x[i] - w->value[(size_t)row * (size_t)w->host.cols + (size_t)i];
            sum += d * d;
        }
        if (sum < least) {
            second = least;
            least = sum;
            best = row;
        } else if (sum < second) {
            second = sum;
        }
    }
    *margin = (second - least) / least;
    return best;
}

void case_nearest(struct check *c)
{
    static const int shapes[][3] = {{1, 1, 1},    {30, 512, 16}, {16, 1024, 32},
                                    {65, 100, 7}, {0, 10, 4},    {9, 33, 40}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int rows = shapes[i][0], entries = shapes[i][1], cols = shapes[i][2];
        enum dtype type = (enum dtype)(i % 3);
        check_begin(c, "nearest %d rows of %d x %d %s", rows, entries, cols, dtype_name(type));
        struct random_weight w = weight_random(c, type, entries, cols);
        if (entries > 20) { /* a tie: the lower of two equal rows must win */
            memcpy((char *)w.data + dtype_bytes(type, (size_t)(20 * cols)),
                   (char *)w.data + dtype_bytes(type, (size_t)(3 * cols)), dtype_bytes(type, (size_t)cols));
            memcpy(w.value + 20 * cols, w.value + 3 * cols, (size_t)cols * sizeof *w.value);
        }
        struct matrix x = matrix_random(c, rows, cols, cols + (int)i);
        for (int k = 0; entries > 20 && rows && k < cols; k++)
            tensor_row(x.t, 0)[k] = (float)w.value[20 * cols + k];
        int32_t *got = xcalloc((size_t)rows, sizeof *got);
        for (int b = 0; b < CHECK_BACKENDS; b++) {
            struct weight *table = weight_open(c, c->backend[b], &w);
            c->backend[b]->op->nearest(c->backend[b], got, x.t, table);
            c->backend[b]->op->finish(c->backend[b], NULL);
            for (int r = 0; r < rows; r++) {
                double margin;
                int32_t want = nearest_of(tensor_row(x.t, r), &w, &margin);
                if (got[r] != want && !(margin < 1e-5 && r > 0))
                    check_fail(c, "row %d is nearest to %d, not %d", r, want, got[r]);
            }
            c->backend[b]->op->weight_free(c->backend[b], table);
        }
        weight_release(&w);
        matrix_release(&x);
        free(got);
    }
}

void case_memory(struct check *c)
{
    for (int b = 0; b < CHECK_BACKENDS; b++) {
        check_begin(c, "memory");
        struct backend *be = c->backend[b];
        float in[100], out[100] = {0};
        random_floats(c, in, 100);
        void *memory = be->op->alloc(be, sizeof in);
        if (!memory || (uintptr_t)memory % 64)
            check_fail(c, "alloc is not aligned");
        be->op->upload(be, memory, in, sizeof in);
        be->op->download(be, out, memory, sizeof in);
        if (be->op->finish(be, NULL) != STATUS_OK || memcmp(in, out, sizeof in))
            check_fail(c, "what was uploaded did not come back");
        be->op->free(be, memory);
        be->op->free(be, NULL);
        be->op->weight_free(be, NULL);
        struct weight *w = NULL;
        struct error err = {0};
        struct host_matrix bad = {in, DTYPE_Q8_0, 1, 33, .stays = false};
        if (be->op->weight_load(be, &w, &bad, &err) != STATUS_BAD_FILE)
            check_fail(c, "a row of 33 weights in blocks of 32 was taken");
    }
}
