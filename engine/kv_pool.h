/* Paged key/value memory: one block of a backend's memory for all layers of a cache, cut into pages of PAGE_TOKENS slots.
 * The memory is the backend's; this is the bookkeeping. Owned by the engine's thread. */
#ifndef VARGPT_ENGINE_KV_POOL_H
#define VARGPT_ENGINE_KV_POOL_H

#include "engine/backend.h"

struct kv_pool;

/* Bytes of `pages` pages. */
size_t kv_pool_bytes(int layers, int heads, int head_dim, size_t pages);

enum status kv_pool_open(struct kv_pool **out, struct backend *, int layers, int heads, int head_dim, int pages,
                         struct error *);
void kv_pool_close(struct kv_pool *); /* accepts NULL */

const struct kv_layer *kv_pool_layers(const struct kv_pool *); /* [layers] */
int kv_pool_pages(const struct kv_pool *);
int kv_pool_used(const struct kv_pool *);

/* The pages of one sequence, in order of its positions. Zero-initialise. */
struct page_table {
    int32_t *page;
    int n, capacity;
};

static inline int pages_for(int positions)
{
    return (positions + PAGE_TOKENS - 1) / PAGE_TOKENS;
}

/* Grows the table until it covers `positions`: all or nothing; false when the pool has too few. */
bool page_table_reserve(struct page_table *, struct kv_pool *, int positions);
/* Gives all pages back; the table is empty and may be used again. */
void page_table_release(struct page_table *, struct kv_pool *);

#endif
