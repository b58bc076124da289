#include "engine/kv_pool.h"

#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct kv_pool {
    struct backend *be;
    char *memory;
    struct kv_layer *layer;
    int32_t *free_page; /* a stack: pages given back last are taken first, their memory being warm */
    int pages, n_free;
};

static size_t layer_bytes(int heads, int head_dim, size_t pages)
{
    size_t bytes = pages * PAGE_TOKENS * (size_t)heads * (size_t)head_dim * sizeof(float);
    return (bytes + 63) / 64 * 64;
}

size_t kv_pool_bytes(int layers, int heads, int head_dim, size_t pages)
{
    return 2 * (size_t)layers * layer_bytes(heads, head_dim, pages);
}

enum status kv_pool_open(struct kv_pool **out, struct backend *be, int layers, int heads, int head_dim, int pages,
                         struct error *err)
{
    size_t bytes = kv_pool_bytes(layers, heads, head_dim, (size_t)pages), each = layer_bytes(heads, head_dim, (size_t)pages);
    struct kv_pool *p = xcalloc(1, sizeof *p);
    p->be = be;
    p->memory = be->op->alloc(be, bytes);
    if (!p->memory) {
        free(p);
        return error_set(err, STATUS_NO_MEMORY, "no memory for a key/value cache of %zu MiB: a smaller --cache needs less",
                         bytes >> 20);
    }
    p->layer = xcalloc((size_t)layers, sizeof *p->layer);
    for (int i = 0; i < layers; i++) {
        char *key = p->memory + 2 * (size_t)i * each;
        p->layer[i] = (struct kv_layer){key, key + each, DTYPE_F32, heads, head_dim};
    }
    p->pages = p->n_free = pages;
    p->free_page = xcalloc((size_t)pages, sizeof *p->free_page);
    for (int i = 0; i < pages; i++)
        p->free_page[i] = pages - 1 - i;
    *out = p;
    return STATUS_OK;
}

void kv_pool_close(struct kv_pool *p)
{
    if (!p)
        return;
    assert(p->n_free == p->pages);
    p->be->op->free(p->be, p->memory);
    free(p->layer);
    free(p->free_page);
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
    return p->pages - p->n_free;
}

bool page_table_reserve(struct page_table *t, struct kv_pool *p, int positions)
{
    int need = pages_for(positions);
    if (need - t->n > p->n_free)
        return false;
    if (need > t->capacity) {
        t->capacity = need > 2 * t->capacity ? need : 2 * t->capacity;
        t->page = xrealloc(t->page, (size_t)t->capacity * sizeof *t->page);
    }
    while (t->n < need)
        t->page[t->n++] = p->free_page[--p->n_free];
    return true;
}

void page_table_release(struct page_table *t, struct kv_pool *p)
{
    while (t->n > 0)
        p->free_page[p->n_free++] = t->page[--t->n];
    free(t->page);
    *t = (struct page_table){0};
}
