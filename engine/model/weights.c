#include "engine/model/weights.h"

#include "engine/model/quantize.h"

#include "base/memory.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct weights {
    struct backend *be;
    struct weight **matrix;
    void **memory;
    const struct checkpoint_tensor **used;
    size_t n_matrices, n_memory, n_used;
    size_t bytes;
};

struct weights *weights_open(struct backend *be)
{
    struct weights *w = xcalloc(1, sizeof *w);
    w->be = be;
    return w;
}

void weights_close(struct weights *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n_matrices; i++)
        w->be->op->weight_free(w->be, w->matrix[i]);
    for (size_t i = 0; i < w->n_memory; i++)
        w->be->op->free(w->be, w->memory[i]);
    free(w->matrix);
    free(w->memory);
    free(w->used);
    free(w);
}

size_t weights_bytes(const struct weights *w)
{
    return w->bytes;
}

/* Room for one more pointer in a list that doubles. */
static void *grow(void *list, size_t count, size_t size)
{
    return (count & (count - 1)) == 0 ? xrealloc(list, (count ? 2 * count : 1) * size) : list;
}

#define APPEND(list, count, item) ((list) = grow((list), (count), sizeof *(list)), (list)[(count)++] = (item))

static bool failed(const struct loader *l)
{
    return l->err->status != STATUS_OK;
}

/* --- finding --- */

static const struct checkpoint_tensor *find_named(struct loader *l, const char *name, bool required)
{
    const struct checkpoint_tensor *t = failed(l) ? NULL : checkpoint_find(l->checkpoint, name);
    if (t) {
        APPEND(l->weights->used, l->weights->n_used, t);
    } else if (!failed(l)) {
        const char *type = checkpoint_unread_type(l->checkpoint, name);
        if (type)
            error_set(l->err, STATUS_BAD_FILE, "%.80s: tensor %.120s has type %s, which is not read",
                      checkpoint_path(l->checkpoint), name, type);
        else if (required)
            error_set(l->err, STATUS_BAD_FILE, "%.80s: tensor %.120s is missing",
                      checkpoint_path(l->checkpoint), name);
    }
    return t;
}

#define FORMAT_NAME(name, format)                                                                            \
    char name[CANONICAL_SIZE];                                                                               \
    do {                                                                                                     \
        va_list args;                                                                                        \
        va_start(args, format);                                                                              \
        vsnprintf(name, sizeof name, format, args);                                                          \
        va_end(args);                                                                                        \
    } while (0)
enum { CANONICAL_SIZE = 200 };

const struct checkpoint_tensor *find_optional(struct loader *l, const char *format, ...)
{
    FORMAT_NAME(name, format);
    return find_named(l, name, false);
}

const struct checkpoint_tensor *find_tensor(struct loader *l, const char *format, ...)
{
    FORMAT_NAME(name, format);
    return find_named(l, name, true);
}

void refuse_shape(struct loader *l, const struct checkpoint_tensor *t, const char *format, ...)
{
    char must[64], shape[96] = "";
    va_list args;
    if (failed(l))
        return;
    va_start(args, format);
    vsnprintf(must, sizeof must, format, args);
    va_end(args);
    for (int i = 0, n = 0; i < t->n_dims; i++)
        n += snprintf(shape + n, sizeof shape - (size_t)n, "%s%lld", i ? ", " : "", (long long)t->shape[i]);
    error_set(l->err, STATUS_BAD_FILE, "%.50s: tensor %.80s is [%s], must be %s", t->file, t->name, shape,
              must);
}

/* The product of the dimensions from `from` on. Sizes fit: the file's header was checked. */
static int64_t count_from(const struct checkpoint_tensor *t, int from)
{
    int64_t n = 1;
    for (int i = from; i < t->n_dims; i++)
        n *= t->shape[i];
    return n;
}

/* --- loading --- */

/* Mapped pages come from the disk now, while someone watches a progress bar, not at the first request. */
static void touch(const void *data, size_t bytes)
{
    volatile unsigned char sum = 0;
    for (size_t i = 0; i < bytes; i += 4096)
        sum = (unsigned char)(sum + ((const unsigned char *)data)[i]);
}

static void count_done(struct loader *l, size_t bytes)
{
    l->bytes_done += bytes;
    if (l->progress && l->bytes_total)
        l->progress(l->progress_context, (double)l->bytes_done / (double)l->bytes_total);
}

static void *keep(struct loader *l, const void *values, size_t bytes)
{
    if (failed(l))
        return NULL;
    void *memory = l->be->op->alloc(l->be, bytes);
    if (!memory) {
        error_set(l->err, STATUS_NO_MEMORY, "no memory for %zu bytes of weights", bytes);
        return NULL;
    }
    l->be->op->upload(l->be, memory, values, bytes);
    APPEND(l->weights->memory, l->weights->n_memory, memory);
    l->weights->bytes += bytes;
    return memory;
}

float *keep_floats(struct loader *l, const float *values, size_t n)
{
    return values ? keep(l, values, n * sizeof *values) : NULL;
}

int32_t *keep_ints(struct loader *l, const int32_t *values, size_t n)
{
    return keep(l, values, n * sizeof *values);
}

static struct weight *keep_matrix(struct loader *l, const struct host_matrix *matrix,
                                  const struct checkpoint_tensor *t)
{
    struct weight *w = NULL;
    if (l->be->op->weight_load(l->be, &w, matrix, l->err)) {
        error_prefix(l->err, "%.50s: tensor %.80s", t->file, t->name);
        return NULL;
    }
    APPEND(l->weights->matrix, l->weights->n_matrices, w);
    l->weights->bytes += dtype_bytes(matrix->type, (size_t)matrix->rows * (size_t)matrix->cols);
    count_done(l, t->bytes);
    return w;
}

/* The matrix as blocks in memory to free; NULL where that cannot be. */
static void *quantized(const struct checkpoint_tensor *t, int rows, int cols, enum dtype type)
{
    bool can =
        (type == DTYPE_Q8_0 || type == DTYPE_Q4_0) && t->type <= DTYPE_BF16 && cols % BLOCK_WEIGHTS == 0;
    size_t n = (size_t)rows * (size_t)cols, bytes = dtype_bytes(type, BLOCK_WEIGHTS);
    char *blocks = can ? try_malloc(n / BLOCK_WEIGHTS, bytes) : NULL;
    float weight[BLOCK_WEIGHTS];
    for (size_t i = 0; blocks && i < n; i += BLOCK_WEIGHTS) {
        checkpoint_to_f32(t, i, BLOCK_WEIGHTS, weight);
        if (!block_encode(blocks + i / BLOCK_WEIGHTS * bytes, weight, type)) {
            free(blocks);
            blocks = NULL;
        }
    }
    return blocks;
}

static struct weight *matrix_from(struct loader *l, const struct checkpoint_tensor *t, int rows, int cols,
                                  enum dtype type, bool divides)
{
    if (!t || failed(l))
        return NULL;
    if (t->n_dims < 2 || t->shape[0] != rows || count_from(t, 1) != cols) {
        refuse_shape(l, t, "[%d, %d]", rows, cols);
        return NULL;
    }
    touch(t->data, t->bytes);
    void *blocks = quantized(t, rows, cols, type);
    struct host_matrix matrix = {blocks ? blocks : t->data, blocks ? type : t->type, rows, cols,
                                 .stays = !blocks, .divides = divides};
    struct weight *w = keep_matrix(l, &matrix, t);
    free(blocks);
    return w;
}

struct weight *load_matrix(struct loader *l, int rows, int cols, const char *format, ...)
{
    FORMAT_NAME(name, format);
    return matrix_from(l, find_named(l, name, true), rows, cols, DTYPE_F32, false);
}

struct weight *load_head(struct loader *l, int rows, int cols, const char *format, ...)
{
    FORMAT_NAME(name, format);
    return matrix_from(l, find_named(l, name, true), rows, cols, DTYPE_F32, true);
}

static float *floats_from(struct loader *l, const struct checkpoint_tensor *t, int n)
{
    if (!t || failed(l))
        return NULL;
    if (count_from(t, 0) != n) {
        refuse_shape(l, t, "%d values", n);
        return NULL;
    }
    float *values = try_malloc((size_t)n, sizeof *values);
    if (!values) {
        error_set(l->err, STATUS_NO_MEMORY, "no memory for %d values of %.100s", n, t->name);
        return NULL;
    }
    checkpoint_to_f32(t, 0, (size_t)n, values);
    count_done(l, t->bytes);
    return values;
}

float *read_floats(struct loader *l, int n, const char *format, ...)
{
    FORMAT_NAME(name, format);
    return floats_from(l, find_named(l, name, true), n);
}

static float *vector_from(struct loader *l, const char *name, const char *suffix, int n)
{
    char full[CANONICAL_SIZE + 8];
    snprintf(full, sizeof full, "%s%s", name, suffix);
    float *values = floats_from(l, find_named(l, full, true), n);
    float *kept = keep_floats(l, values, (size_t)n);
    free(values);
    return kept;
}

float *load_vector(struct loader *l, int n, const char *format, ...)
{
    FORMAT_NAME(name, format);
    return vector_from(l, name, "", n);
}

static struct affine affine_from(struct loader *l, const char *name, int out, int in, enum bias bias,
                                 enum dtype type, bool divides)
{
    struct affine a = {0};
    a.w = matrix_from(l, find_tensor(l, "%s.weight", name), out, in, type, divides);
    if (bias == WITH_BIAS)
        a.bias = vector_from(l, name, ".bias", out);
    return a;
}

struct affine load_affine(struct loader *l, int out, int in, enum bias bias, const char *format, ...)
{
    FORMAT_NAME(name, format);
    return affine_from(l, name, out, in, bias, DTYPE_F32, false);
}

struct affine load_layer(struct loader *l, int out, int in, enum bias bias, const char *format, ...)
{
    FORMAT_NAME(name, format);
    return affine_from(l, name, out, in, bias, l->layers, true);
}

struct norm load_norm(struct loader *l, int n, const char *format, ...)
{
    FORMAT_NAME(name, format);
    struct norm norm;
    norm.weight = vector_from(l, name, ".weight", n);
    norm.bias = vector_from(l, name, ".bias", n);
    return norm;
}

/* [out, in, k, k] -> [out, k, k, in], values of `size` bytes. */
static void reorder_conv(void *to, const void *from, int out, int in, int taps, size_t size)
{
    unsigned char *t = to;
    for (int o = 0; o < out; o++) {
        const unsigned char *f = (const unsigned char *)from + (size_t)o * (size_t)in * (size_t)taps * size;
        for (int tap = 0; tap < taps; tap++) {
            for (int i = 0; i < in; i++, t += size)
                memcpy(t, f + ((size_t)i * (size_t)taps + (size_t)tap) * size, size);
        }
    }
}

struct vae_conv load_conv(struct loader *l, int out, int in, const char *format, ...)
{
    FORMAT_NAME(name, format);
    const struct checkpoint_tensor *t = find_tensor(l, "%s.weight", name);
    struct vae_conv v = {.in = in};
    if (!t || failed(l))
        return v;
    bool shaped = t->n_dims == 4 && t->shape[1] == in && t->shape[2] == t->shape[3] &&
                  t->shape[0] <= (1 << 20) && (t->shape[2] == 1 || t->shape[2] == 3) &&
                  (out <= 0 || t->shape[0] == out) && t->type <= DTYPE_BF16;
    if (!shaped) {
        refuse_shape(l, t, "a 1 x 1 or 3 x 3 convolution of %d channels", in);
        return v;
    }
    v.out = (int)t->shape[0];
    v.kernel = (int)t->shape[2];
    int taps = v.kernel * v.kernel;
    void *ordered = try_malloc(t->bytes, 1);
    if (!ordered) {
        error_set(l->err, STATUS_NO_MEMORY, "no memory for %zu bytes of %.100s", t->bytes, t->name);
        return v;
    }
    reorder_conv(ordered, t->data, v.out, in, taps, dtype_bytes(t->type, 1));
    struct host_matrix matrix = {ordered, t->type, v.out, taps * in, .stays = false};
    v.w = keep_matrix(l, &matrix, t);
    free(ordered);
    v.bias = vector_from(l, name, ".bias", v.out);
    return v;
}

/* --- nothing left over --- */

static int compare_pointers(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return (*x > *y) - (*x < *y);
}

void refuse_unused(struct loader *l, bool (*ignored)(const struct model *, const char *),
                   const struct model *m)
{
    struct weights *w = l->weights;
    if (failed(l))
        return;
    qsort(w->used, w->n_used, sizeof *w->used, compare_pointers);
    for (size_t i = 0; i < checkpoint_count(l->checkpoint); i++) {
        const struct checkpoint_tensor *t = checkpoint_at(l->checkpoint, i);
        if (bsearch(&t, w->used, w->n_used, sizeof *w->used, compare_pointers) || ignored(m, t->name))
            continue;
        error_set(l->err, STATUS_BAD_FILE, "%.50s: tensor %.120s is not one that this model has", t->file,
                  t->name);
        return;
    }
}
