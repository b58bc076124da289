/* Paged key/value memory: one block of a backend's memory for all layers of a cache, cut into pages of PAGE_TOKENS slots.
 * The memory is the backend's; this is the bookkeeping. Owned by the engine's thread.
 *
 * A full page may be published under a key that says what the model was fed up to its end. Tables that would hold the same
 * then share it, and when nobody holds it any more it is kept until its memory is needed: the prefix cache. */
#ifndef VARGPT_ENGINE_KV_POOL_H
#define VARGPT_ENGINE_KV_POOL_H

#include "engine/backend.h"

struct kv_pool;

enum { PAGE_KEY_BYTES = 16 };
struct page_key {
    uint8_t byte[PAGE_KEY_BYTES];
};

/* What one position of a cache consists of: in each layer, keys and values of `heads` heads. */
struct kv_shape {
    enum dtype type; /* as kv_layer's */
    int layers, heads, head_dim;
};

/* Bytes of `pages` pages. */
size_t kv_pool_bytes(struct kv_shape, size_t pages);
/* The same, of the backend's memory; where it has several, of each. */
size_t kv_pool_bytes_each(struct backend *, struct kv_shape, size_t pages);

enum status kv_pool_open(struct kv_pool **out, struct backend *, struct kv_shape, int pages, struct error *);
void kv_pool_close(struct kv_pool *); /* accepts NULL; nobody may hold pages */

const struct kv_layer *kv_pool_layers(const struct kv_pool *); /* [layers] */
int kv_pool_pages(const struct kv_pool *);
int kv_pool_used(const struct kv_pool *);   /* held by tables */
int kv_pool_holders(const struct kv_pool *); /* tables' entries, a shared page counting for each; checks its own books */
int kv_pool_cached(const struct kv_pool *); /* held by nobody, kept under their keys */
void kv_pool_forget(struct kv_pool *);      /* gives up all of those: what they hold cannot be trusted */

/* The pages of one sequence, in order of its positions. Zero-initialise. */
struct page_table {
    int32_t *page;
    int n, capacity;
};

static inline int pages_for(int positions)
{
    return (positions + PAGE_TOKENS - 1) / PAGE_TOKENS;
}

/* Grows the table until it covers `positions`: all or nothing; false when the pool has too few. Cached pages are given up
 * for it, those longest unused first. */
bool page_table_reserve(struct page_table *, struct kv_pool *, int positions);
/* Appends the page published under a key; false when there is none. */
bool page_table_adopt(struct page_table *, struct kv_pool *, const struct page_key *);
/* Publishes a full page of the table. Does nothing when another page has that key. */
void page_table_publish(const struct page_table *, struct kv_pool *, int index, const struct page_key *);
/* Gives all pages back; the table is empty and may be used again. */
void page_table_release(struct page_table *, struct kv_pool *);

#endif
