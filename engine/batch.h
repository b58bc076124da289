/* Building the row batch of one forward pass on the host and bringing it to the backend. Owned by the engine's thread. */
#ifndef VARGPT_ENGINE_BATCH_H
#define VARGPT_ENGINE_BATCH_H

#include "engine/kv_pool.h"

struct batch {
    struct row_batch rows; /* what forward functions take; valid after batch_upload */
    struct backend *be;
    int max_rows, max_spans, max_pages;
    /* host memory */
    struct span *span;
    int32_t *position, *slot, *page;
    int n_rows, n_spans, n_pages;
    /* backend memory */
    void *device_span, *device_ints;
};

enum status batch_open(struct batch *, struct backend *, int max_rows, int max_spans, int max_pages, struct error *);
size_t batch_bytes(int max_rows, int max_spans, int max_pages); /* of backend memory */
void batch_release(struct batch *); /* accepts a zeroed one */

void batch_clear(struct batch *);
/* Adds n_rows consecutive positions of a sequence whose pages cover them; returns the first row's number. */
int batch_add(struct batch *, int first_position, int n_rows, const struct page_table *);
void batch_upload(struct batch *);

#endif
