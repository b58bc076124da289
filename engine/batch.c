#include "engine/batch.h"

#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Positions, slots and pages. */
static size_t n_ints(int max_rows, int max_pages)
{
    return 2 * (size_t)max_rows + (size_t)max_pages;
}

enum status batch_open(struct batch *b, struct backend *be, int max_rows, int max_spans, int max_pages,
                       struct error *err)
{
    *b = (struct batch){.be = be, .max_rows = max_rows, .max_spans = max_spans, .max_pages = max_pages};
    size_t ints = n_ints(max_rows, max_pages);
    b->span = xcalloc((size_t)max_spans, sizeof *b->span);
    b->position = xcalloc(ints, sizeof *b->position); /* position, slot and page lie end to end: one upload */
    b->device_span = be->op->alloc(be, (size_t)max_spans * sizeof *b->span);
    b->device_ints = be->op->alloc(be, ints * sizeof(int32_t));
    if (!b->device_span || !b->device_ints) {
        batch_release(b);
        return error_set(err, STATUS_NO_MEMORY, "no memory for the tables of a step");
    }
    b->slot = b->position + max_rows;
    b->page = b->slot + max_rows;
    return STATUS_OK;
}

size_t batch_bytes(int max_rows, int max_spans, int max_pages)
{
    return (size_t)max_spans * sizeof(struct span) + n_ints(max_rows, max_pages) * sizeof(int32_t);
}

void batch_release(struct batch *b)
{
    if (b->be) {
        b->be->op->free(b->be, b->device_span);
        b->be->op->free(b->be, b->device_ints);
    }
    free(b->span);
    free(b->position);
    *b = (struct batch){0};
}

void batch_clear(struct batch *b)
{
    b->n_rows = b->n_spans = b->n_pages = 0;
}

int batch_add(struct batch *b, int first_position, int n_rows, const struct page_table *t)
{
    int first_row = b->n_rows, pages = pages_for(first_position + n_rows);
    assert(n_rows > 0 && pages <= t->n && b->n_spans < b->max_spans);
    assert(first_row + n_rows <= b->max_rows && b->n_pages + pages <= b->max_pages);
    b->span[b->n_spans++] = (struct span){first_row, n_rows, first_position, b->n_pages};
    memcpy(b->page + b->n_pages, t->page, (size_t)pages * sizeof *b->page);
    b->n_pages += pages;
    for (int i = 0; i < n_rows; i++) {
        int p = first_position + i;
        b->position[first_row + i] = p;
        b->slot[first_row + i] = t->page[p / PAGE_TOKENS] * PAGE_TOKENS + p % PAGE_TOKENS;
    }
    b->n_rows += n_rows;
    return first_row;
}

void batch_upload(struct batch *b)
{
    size_t ints = 2 * (size_t)b->max_rows + (size_t)b->n_pages;
    int32_t *device = b->device_ints;
    b->be->op->upload(b->be, b->device_span, b->span, (size_t)b->n_spans * sizeof *b->span);
    b->be->op->upload(b->be, device, b->position, ints * sizeof *device);
    b->rows = (struct row_batch){
        .n_rows = b->n_rows,
        .n_spans = b->n_spans,
        .span = b->span,
        .device_span = b->device_span,
        .position = device,
        .slot = device + b->max_rows,
        .page = device + 2 * b->max_rows,
    };
}
