#include "engine/kv_pool.h"

#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { NONE = -1 };

struct page {
    int holders;
    bool published;
    struct page_key key;
    int32_t next_in_bucket;
    int32_t older, newer; /* in the list of cached pages */
};

struct kv_pool {
    struct backend *be;
    char *memory;
    struct kv_layer *layer;
    struct page *page;  /* [pages] */
    int32_t *free_page; /* a stack: pages given back last are taken first, their memory being warm */
    int pages, n_free, n_cached;
    int32_t oldest, newest; /* of the cached pages */
    int32_t *bucket;        /* [n_buckets] published pages by key */
    uint32_t n_buckets;     /* a power of two */
};

static size_t whole_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* A layer's keys, or its values. Whole lines a head, so that places divide by heads (backend's alloc_cache).
 */
static size_t data_bytes(struct kv_shape s, size_t pages)
{
    return whole_lines(dtype_bytes(s.type, pages * PAGE_TOKENS * (size_t)s.head_dim)) * (size_t)s.heads;
}

static size_t scale_bytes(struct kv_shape s, size_t pages)
{
    return s.type == DTYPE_I8 ? whole_lines(pages * PAGE_TOKENS * sizeof(float)) * (size_t)s.heads : 0;
}

size_t kv_pool_bytes(struct kv_shape s, size_t pages)
{
    return 2 * (size_t)s.layers * (data_bytes(s, pages) + scale_bytes(s, pages));
}

size_t kv_pool_bytes_each(struct backend *be, struct kv_shape s, size_t pages)
{
    if (be->op->heads_each)
        s.heads = be->op->heads_each(be, s.heads);
    return kv_pool_bytes(s, pages);
}

/* Layer after layer: keys, values, the keys' scales, the values'. */
static void place_layers(struct kv_layer *layer, char *memory, struct kv_shape s, size_t pages)
{
    size_t data = data_bytes(s, pages), scales = scale_bytes(s, pages);
    for (int i = 0; i < s.layers; i++, memory += 2 * (data + scales)) {
        layer[i] = (struct kv_layer){
            .key = memory, .value = memory + data, .type = s.type, .heads = s.heads, .head_dim = s.head_dim};
        if (scales) {
            layer[i].key_scale = (float *)(void *)(memory + 2 * data);
            layer[i].value_scale = (float *)(void *)(memory + 2 * data + scales);
        }
    }
}

static void init_pages(struct kv_pool *p, int pages)
{
    p->pages = p->n_free = pages;
    p->oldest = p->newest = NONE;
    p->page = xcalloc((size_t)pages, sizeof *p->page);
    p->free_page = xcalloc((size_t)pages, sizeof *p->free_page);
    for (int i = 0; i < pages; i++)
        p->free_page[i] = pages - 1 - i;
    for (p->n_buckets = 16; p->n_buckets < (uint32_t)pages; p->n_buckets *= 2)
        ;
    p->bucket = xcalloc(p->n_buckets, sizeof *p->bucket);
    for (uint32_t i = 0; i < p->n_buckets; i++)
        p->bucket[i] = NONE;
}

enum status kv_pool_open(struct kv_pool **out, struct backend *be, struct kv_shape shape, int pages,
                         struct error *err)
{
    size_t bytes = kv_pool_bytes(shape, (size_t)pages);
    struct kv_pool *p = xcalloc(1, sizeof *p);
    p->be = be;
    p->memory = be->op->alloc_cache ? be->op->alloc_cache(be, bytes, shape.heads) : be->op->alloc(be, bytes);
    if (!p->memory) {
        free(p);
        return error_set(err, STATUS_NO_MEMORY,
                         "no memory for a key/value cache of %zu MiB: a smaller --cache needs less",
                         bytes >> 20);
    }
    p->layer = xcalloc((size_t)shape.layers, sizeof *p->layer);
    place_layers(p->layer, p->memory, shape, (size_t)pages);
    init_pages(p, pages);
    *out = p;
    return STATUS_OK;
}

void kv_pool_close(struct kv_pool *p)
{
    if (!p)
        return;
    assert(kv_pool_used(p) == 0);
    p->be->op->free(p->be, p->memory);
    free(p->layer);
    free(p->page);
    free(p->free_page);
    free(p->bucket);
    free(p);
}

const struct kv_layer *kv_pool_layers(const struct kv_pool *p)
{
    return p->layer;
}

int kv_pool_pages(const struct kv_pool *p)
{
    return p->pages;
}

int kv_pool_used(const struct kv_pool *p)
{
    return p->pages - p->n_free - p->n_cached;
}

int kv_pool_cached(const struct kv_pool *p)
{
    return p->n_cached;
}

int kv_pool_holders(const struct kv_pool *p)
{
    int holders = 0, held = 0, cached = 0;
    for (int i = 0; i < p->pages; i++) {
        holders += p->page[i].holders;
        held += p->page[i].holders > 0;
        cached += p->page[i].holders == 0 && p->page[i].published;
    }
    assert(held == kv_pool_used(p) && cached == p->n_cached);
    return holders;
}

/* --- published pages by key --- */

static int32_t *bucket_of(const struct kv_pool *p, const struct page_key *key)
{
    uint32_t hash; /* keys are digests: any part of one is as good as another */
    memcpy(&hash, key->byte, sizeof hash);
    return &p->bucket[hash & (p->n_buckets - 1)];
}

static int32_t find_published(const struct kv_pool *p, const struct page_key *key)
{
    int32_t i = *bucket_of(p, key);
    while (i != NONE && memcmp(&p->page[i].key, key, sizeof *key) != 0)
        i = p->page[i].next_in_bucket;
    return i;
}

static void unpublish(struct kv_pool *p, int32_t page)
{
    int32_t *at = bucket_of(p, &p->page[page].key);
    while (*at != page)
        at = &p->page[*at].next_in_bucket;
    *at = p->page[page].next_in_bucket;
    p->page[page].published = false;
}

/* --- cached pages, by how long they have been unused --- */

static void cache_append(struct kv_pool *p, int32_t page)
{
    struct page *it = &p->page[page];
    it->older = p->newest;
    it->newer = NONE;
    *(p->newest == NONE ? &p->oldest : &p->page[p->newest].newer) = page;
    p->newest = page;
    p->n_cached++;
}

static void cache_remove(struct kv_pool *p, int32_t page)
{
    const struct page *it = &p->page[page];
    *(it->older == NONE ? &p->oldest : &p->page[it->older].newer) = it->newer;
    *(it->newer == NONE ? &p->newest : &p->page[it->newer].older) = it->older;
    p->n_cached--;
}

static int32_t evict_oldest(struct kv_pool *p)
{
    int32_t page = p->oldest;
    cache_remove(p, page);
    unpublish(p, page);
    return page;
}

static int32_t take_page(struct kv_pool *p)
{
    return p->n_free > 0 ? p->free_page[--p->n_free] : evict_oldest(p);
}

void kv_pool_forget(struct kv_pool *p)
{
    while (p->n_cached > 0)
        p->free_page[p->n_free++] = evict_oldest(p);
}

/* --- tables --- */

static void table_append(struct page_table *t, struct kv_pool *p, int32_t page)
{
    if (t->n == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 16;
        t->page = xrealloc(t->page, (size_t)t->capacity * sizeof *t->page);
    }
    p->page[page].holders++;
    t->page[t->n++] = page;
}

bool page_table_reserve(struct page_table *t, struct kv_pool *p, int positions)
{
    int need = pages_for(positions);
    if (need - t->n > p->n_free + p->n_cached)
        return false;
    while (t->n < need)
        table_append(t, p, take_page(p));
    return true;
}

bool page_table_adopt(struct page_table *t, struct kv_pool *p, const struct page_key *key)
{
    int32_t page = find_published(p, key);
    if (page == NONE)
        return false;
    if (p->page[page].holders == 0)
        cache_remove(p, page);
    table_append(t, p, page);
    return true;
}

void page_table_publish(const struct page_table *t, struct kv_pool *p, int index, const struct page_key *key)
{
    int32_t page = t->page[index];
    if (p->page[page].published || find_published(p, key) != NONE)
        return;
    p->page[page].published = true;
    p->page[page].key = *key;
    p->page[page].next_in_bucket = *bucket_of(p, key);
    *bucket_of(p, key) = page;
}

/* From the end, so that of a prefix the later pages, which are of no use without the earlier ones, go first.
 */
void page_table_release(struct page_table *t, struct kv_pool *p)
{
    while (t->n > 0) {
        int32_t page = t->page[--t->n];
        if (--p->page[page].holders > 0)
            continue;
        if (p->page[page].published)
            cache_append(p, page);
        else
            p->free_page[p->n_free++] = page;
    }
    free(t->page);
    *t = (struct page_table){0};
}
