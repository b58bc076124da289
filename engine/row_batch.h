/* The rows of one forward pass, whoever they belong to: spans of consecutive positions of single sequences, laid end to
 * end, each with the page table of its key/value cache. Mixed lengths need no padding. */
#ifndef VARGPT_ENGINE_ROW_BATCH_H
#define VARGPT_ENGINE_ROW_BATCH_H

#include <stdint.h>

enum { PAGE_TOKENS = 16 }; /* slots in a page of key/value memory */

/* Rows first_row .. first_row+n_rows-1 are positions first_position .. of one sequence, whose position p lives in slot
 * page[first_page + p / PAGE_TOKENS] * PAGE_TOKENS + p % PAGE_TOKENS. */
struct span {
    int32_t first_row, n_rows, first_position, first_page;
};

struct row_batch {
    int n_rows, n_spans;
    const struct span *span; /* [n_spans] host memory, first_row ascending, covering 0..n_rows-1 without gaps */
    /* backend memory, uploaded once a step */
    const struct span *device_span; /* [n_spans] the same; NULL: the backend copies them if it needs them */
    const int32_t *position;        /* [n_rows] */
    const int32_t *slot;            /* [n_rows] where the row's key and value go */
    const int32_t *page;            /* the spans' page tables, end to end */
};

#endif
