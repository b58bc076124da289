#include "cuda/backend_state.h"

#include "base/memory.h"
#include "engine/block.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of a row's numbers and of its scales on the card (struct weight_view). */
struct block_sizes {
    size_t groups, numbers, scales;
};

static struct block_sizes block_sizes(enum dtype type, int cols)
{
    size_t groups = ((size_t)cols + WEIGHT_GROUP - 1) / WEIGHT_GROUP,
           blocks = groups * WEIGHT_GROUP / BLOCK_WEIGHTS;
    return (struct block_sizes){groups, groups * (type == DTYPE_Q8_0 ? WEIGHT_GROUP : WEIGHT_GROUP / 2),
                                blocks * (type == DTYPE_Q4_1 ? 2 : 1) * sizeof(uint16_t)};
}

/* Number q of column k into its row. */
static void put_number(uint8_t *row, enum dtype type, int k, int8_t q)
{
    if (type == DTYPE_Q8_0) {
        row[k / 64 * 64 + k % 32 / 8 * 16 + k % 64 / 32 * 8 + k % 8] = (uint8_t)q;
        return;
    }
    int bits = (type == DTYPE_Q4_0 ? q + 8 : q) & 15;
    int nibble = k % 2 * 4 + k % 8 / 2; /* of the word */
    row[k / 128 * 64 + k % 32 / 8 * 16 + k % 128 / 32 * 4 + nibble / 2] |= (uint8_t)(bits << nibble % 2 * 4);
}

static void put_row(uint8_t *numbers, uint16_t *scale, const char *in, enum dtype type, int cols)
{
    for (int k = 0; k < cols; k += BLOCK_WEIGHTS, in += dtype_bytes(type, BLOCK_WEIGHTS)) {
        struct weight_block b = block_read(in, type);
        *scale++ = b.d;
        if (type == DTYPE_Q4_1)
            *scale++ = b.m;
        for (int i = 0; i < BLOCK_WEIGHTS; i++)
            put_number(numbers, type, k + i, b.q[i]);
    }
}

/* A weight in host memory (to free) as the card gets it: all numbers, then from *scales on all scales. NULL
 * when there is no memory. */
static uint8_t *take_apart(const struct host_matrix *m, size_t *bytes, size_t *scales)
{
    struct block_sizes row = block_sizes(m->type, m->cols);
    size_t in_row = dtype_bytes(m->type, (size_t)m->cols);
    *scales = ((size_t)m->rows * row.numbers + 255) / 256 * 256;
    *bytes = *scales + (size_t)m->rows * row.scales;
    uint8_t *memory = try_malloc(*bytes, 1);
    if (!memory)
        return NULL;
    memset(memory, 0, *bytes);
    for (size_t r = 0; r < (size_t)m->rows; r++)
        put_row(memory + r * row.numbers, (uint16_t *)(void *)(memory + *scales + r * row.scales),
                (const char *)m->data + r * in_row, m->type, m->cols);
    return memory;
}

static float *decode(const struct host_matrix *m, size_t n)
{
    const char *in = m->data;
    float *out = try_malloc(n, sizeof *out);
    for (size_t i = 0; out && i < n; i += BLOCK_WEIGHTS, in += dtype_bytes(m->type, BLOCK_WEIGHTS))
        block_decode(out + i, in, m->type);
    return out;
}

static enum status check_matrix(const struct host_matrix *m, struct error *err)
{
    if (m->rows <= 0 || m->cols <= 0 || m->type >= DTYPE_I32)
        return error_set(err, STATUS_BAD_FILE, "a weight of %d x %d values of type %s cannot be used",
                         m->rows, m->cols, dtype_name(m->type));
    if (dtype_is_blocks(m->type) && m->cols % BLOCK_WEIGHTS)
        return error_set(err, STATUS_BAD_FILE, "rows of %d values do not divide into blocks of %d", m->cols,
                         BLOCK_WEIGHTS);
    return STATUS_OK;
}

/* What goes to the card: the matrix as it is, blocks taken apart, or float32 where their numbers are beyond
 * F16's range, which tensor cores need. */
static enum status prepare(struct weight *w, const struct host_matrix *m, void **made, size_t *bytes,
                           size_t *scales, struct error *err)
{
    size_t n = (size_t)m->rows * (size_t)m->cols;
    *bytes = dtype_bytes(m->type, n);
    if (!dtype_is_blocks(m->type))
        return STATUS_OK;
    if (blocks_fit_f16(m->data, m->type, n)) {
        *made = take_apart(m, bytes, scales);
    } else {
        w->type = DTYPE_F32;
        *bytes = dtype_bytes(w->type, n);
        *made = decode(m, n);
    }
    return *made ? STATUS_OK
                 : error_set(err, STATUS_NO_MEMORY, "no memory for a weight of %d x %d values", m->rows,
                             m->cols);
}

enum status cuda_weight_load(struct backend *be, struct weight **out, const struct host_matrix *m,
                             struct error *err)
{
    struct cuda_backend *c = cuda_state(be);
    if (check_matrix(m, err))
        return err ? err->status : STATUS_BAD_FILE;
    struct weight *w = xcalloc(1, sizeof *w);
    *w = (struct weight){.type = m->type, .rows = m->rows, .cols = m->cols};
    void *made = NULL;
    size_t bytes, scales = 0;
    enum status status = prepare(w, m, &made, &bytes, &scales, err);
    if (status != STATUS_OK)
        goto out;
    if (!(w->data = cuda_alloc(be, bytes))) {
        status = c->failure.status != STATUS_OK
                     ? error_set(err, STATUS_DEVICE, "%s", c->failure.message)
                     : error_set(err, STATUS_NO_MEMORY, "no device memory for a weight of %d x %d values",
                                 m->rows, m->cols);
        goto out;
    }
    cuda_upload(be, w->data, made ? made : m->data, bytes);
    w->scale = scales ? (char *)w->data + scales : NULL;
    *out = w;
    w = NULL;
out:
    free(made);
    free(w);
    return status;
}

void cuda_weight_free(struct backend *be, struct weight *w)
{
    if (!w)
        return;
    cudaStreamSynchronize(cuda_state(be)->stream); /* graphs may be running that have it */
    cuda_free(be, w->data);
    cuda_graphs_forget(cuda_state(be));
    free(w);
}
