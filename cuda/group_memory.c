#include "cuda/group.h"

#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- addresses ---- */

/* How many pieces begin at or before an address. */
static size_t pieces_up_to(const struct cuda_group *g, uintptr_t at)
{
    size_t low = 0, high = g->n_pieces;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (g->piece[middle].at <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct piece *group_piece(const struct cuda_group *g, const void *address)
{
    uintptr_t at = (uintptr_t)address;
    size_t n = pieces_up_to(g, at);
    assert(n > 0 && at - g->piece[n - 1].at < g->piece[n - 1].bytes);
    return &g->piece[n - 1];
}

/* A cache's places follow from the number of heads, so a card that has fewer of them has them so much nearer.
 */
void *group_at(const struct cuda_group *g, int k, const void *address)
{
    if (!address)
        return NULL;
    const struct piece *p = group_piece(g, address);
    size_t place = (size_t)((uintptr_t)address - p->at), heads = (size_t)p->heads;
    assert(place % heads == 0);
    return p->card[k] + place / heads * (size_t)p->heads_each;
}

struct tensor group_tensor(const struct cuda_group *g, int k, struct tensor t)
{
    if (t.rows > 0 && t.cols > 0)
        t.data = group_at(g, k, t.data);
    return t;
}

struct row_batch group_batch(const struct cuda_group *g, int k, const struct row_batch *batch)
{
    struct row_batch b = *batch;
    b.device_span = group_at(g, k, b.device_span);
    b.position = group_at(g, k, b.position);
    b.slot = group_at(g, k, b.slot);
    b.page = group_at(g, k, b.page);
    return b;
}

struct kv_layer group_cache(const struct cuda_group *g, int k, struct kv_layer kv)
{
    const struct piece *p = group_piece(g, kv.key);
    if (p->heads_each < p->heads)
        kv.heads = share_of(kv.heads, p->heads_each, k).n;
    kv.key = group_at(g, k, kv.key);
    kv.value = group_at(g, k, kv.value);
    kv.key_scale = group_at(g, k, kv.key_scale);
    kv.value_scale = group_at(g, k, kv.value_scale);
    return kv;
}

/* ---- taking and giving back ---- */

static void free_cards(struct cuda_group *g, struct piece *p)
{
    for (int k = 0; k < g->n; k++)
        cuda_free(&g->card[k]->base, p->card[k]);
}

static void *take(struct cuda_group *g, struct piece p)
{
    enum { ALIGNMENT = 256 };
    size_t each = (p.bytes + (size_t)p.heads - 1) / (size_t)p.heads * (size_t)p.heads_each;
    for (int k = 0; k < g->n; k++) {
        if (!(p.card[k] = cuda_alloc(&g->card[k]->base, each))) {
            free_cards(g, &p);
            return NULL;
        }
    }
    if (g->n_pieces == g->capacity) {
        g->capacity = g->capacity ? 2 * g->capacity : 64;
        g->piece = xrealloc(g->piece, g->capacity * sizeof *g->piece);
    }
    p.at = g->next;
    p.bytes += p.bytes == 0;
    g->next += (p.bytes / ALIGNMENT + 1) *
               ALIGNMENT; /* never used again: there are more than memory could ever fill */
    g->piece[g->n_pieces++] = p;
    return (void *)p.at;
}

void *group_alloc(struct backend *be, size_t bytes)
{
    return take(group_state(be), (struct piece){.bytes = bytes, .heads = 1, .heads_each = 1});
}

int group_heads_each(struct backend *be, int heads)
{
    return share_each(group_state(be), heads);
}

void *group_alloc_cache(struct backend *be, size_t bytes, int heads)
{
    return take(group_state(be),
                (struct piece){.bytes = bytes, .heads = heads, .heads_each = group_heads_each(be, heads)});
}

void group_free(struct backend *be, void *memory)
{
    struct cuda_group *g = group_state(be);
    if (!memory)
        return;
    struct piece *p = &g->piece[group_piece(g, memory) - g->piece];
    group_forget(g, memory, p->bytes);
    free_cards(g, p);
    memmove(p, p + 1, (size_t)(g->piece + --g->n_pieces - p) * sizeof *p);
}

size_t group_memory_left(struct backend *be)
{
    struct cuda_group *g = group_state(be);
    size_t least = cuda_memory_left(&g->card[0]->base);
    for (int k = 1; k < g->n; k++) {
        size_t left = cuda_memory_left(&g->card[k]->base);
        least = left < least ? left : least;
    }
    return least;
}

/* What a card takes alone, or for bringing the columns of one view together (group_parted.c), whose parts are
 * rounded up. */
enum status group_reserve(struct backend *be, const struct work_limits *limits, struct error *err)
{
    struct cuda_group *g = group_state(be);
    size_t gathered = limits->row_values + (size_t)limits->rows * (size_t)g->n;
    for (int k = 0; k < g->n; k++) {
        struct cuda_backend *c = g->card[k];
        enum status status = cuda_reserve(&c->base, limits, err);
        if (status == STATUS_OK) {
            cuda_scratch(c, gathered * sizeof(float));
            status = cuda_finish(&c->base, err);
        }
        if (status != STATUS_OK)
            return error_prefix(err, "device %d", c->device);
    }
    return STATUS_OK;
}

/* ---- copies ---- */

void group_upload(struct backend *be, void *to, const void *from_host, size_t bytes)
{
    struct cuda_group *g = group_state(be);
    group_write_bytes(g, to, bytes);
    for (int k = 0; bytes && k < g->n && group_ready(g); k++)
        cuda_upload(&g->card[k]->base, group_at(g, k, to), from_host, bytes);
}

/* Of the first card: they have the same. */
void group_download(struct backend *be, void *to_host, const void *from, size_t bytes)
{
    struct cuda_group *g = group_state(be);
    if (bytes == 0)
        return;
    int floats = (int)(bytes / sizeof(float));
    group_read(g, (struct tensor){(void *)(uintptr_t)from, DTYPE_F32, 1, floats, floats});
    if (group_ready(g))
        cuda_download(&g->card[0]->base, to_host, group_at(g, 0, from), bytes);
}
