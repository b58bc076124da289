#include "engine/prefix.h"

#include "base/memory.h"
#include "base/sha256.h"

#include <string.h>

void prefix_digest_picture(struct picture_rows *p)
{
    struct sha256 hash;
    uint8_t tag = (uint8_t)(p->codes ? 1 : 2 + p->kind);
    sha256_init(&hash);
    sha256_add(&hash, &tag, 1);
    if (p->codes)
        sha256_add(&hash, p->codes, (size_t)p->n * sizeof *p->codes);
    else
        sha256_add(&hash, p->prompt->pixels, p->prompt->n_pixels * sizeof *p->prompt->pixels);
    sha256_finish(&hash, p->digest);
}

static void add_position(struct sha256 *hash, const struct sequence *s, int position)
{
    const struct picture_rows *p = sequence_picture_at(s, position);
    int32_t word[2] = {p != NULL, p ? position - p->first : s->ids[position]};
    sha256_add(hash, word, sizeof word);
    if (p)
        sha256_add(hash, p->digest, sizeof p->digest);
}

static struct page_key make_key(const struct sequence *s, int page)
{
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    struct page_key key;
    sha256_init(&hash);
    if (page == 0)
        sha256_add(&hash, s->request->cache_salt, sizeof s->request->cache_salt);
    else
        sha256_add(&hash, &s->page_key[page - 1], sizeof key);
    for (int i = 0; i < PAGE_TOKENS; i++)
        add_position(&hash, s, page * PAGE_TOKENS + i);
    sha256_finish(&hash, digest);
    memcpy(key.byte, digest, sizeof key);
    return key;
}

void prefix_extend(struct sequence *s)
{
    int full = s->n_ids / PAGE_TOKENS;
    if (full > s->keys_capacity) {
        s->keys_capacity = full > 2 * s->keys_capacity ? full : 2 * s->keys_capacity;
        s->page_key = xrealloc(s->page_key, (size_t)s->keys_capacity * sizeof *s->page_key);
    }
    for (; s->n_keys < full; s->n_keys++)
        s->page_key[s->n_keys] = make_key(s, s->n_keys);
}

/* Whether the page need not be computed: the row before the first id that is still to be told of, must be. */
static bool may_adopt(const struct sequence *s, int page)
{
    int needed = s->n_scored < s->n_prompt ? s->n_scored : s->n_ids;
    return !s->request->trace && (page + 1) * PAGE_TOKENS < needed;
}

void prefix_adopt(struct sequence *s, struct kv_pool *pool)
{
    prefix_extend(s); /* it may have given up its pages before a picture's had their keys */
    while (may_adopt(s, s->pages.n) && page_table_adopt(&s->pages, pool, &s->page_key[s->pages.n]))
        ;
    s->n_published = s->pages.n;
    s->n_cached = s->pages.n * PAGE_TOKENS;
}

void prefix_publish(struct sequence *s, struct kv_pool *pool)
{
    int full = (s->n_cached < s->n_ids ? s->n_cached : s->n_ids) / PAGE_TOKENS;
    prefix_extend(s);
    for (; s->n_published < full; s->n_published++)
        page_table_publish(&s->pages, pool, s->n_published, &s->page_key[s->n_published]);
}

bool prefix_is_coming(const struct sequence *s, const struct sequence *older)
{
    int next = s->n_cached / PAGE_TOKENS;
    bool on_its_way = older->state == SEQUENCE_ENCODE || older->state == SEQUENCE_PREFILL;
    return on_its_way && may_adopt(s, next) && next < older->n_keys &&
           older->n_cached < (next + 1) * PAGE_TOKENS && (next + 1) * PAGE_TOKENS <= older->n_ids &&
           memcmp(&s->page_key[next], &older->page_key[next], sizeof *s->page_key) == 0;
}
