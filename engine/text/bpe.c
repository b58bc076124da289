#include "engine/text/bpe.h"

#include "base/clock.h"
#include "base/memory.h"
#include "engine/text/token_list.h"
#include "engine/text/utf8.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BPE_CHARS = 0x3000, /* characters below have a table; the others are looked up as pieces */
    JUNCTION_BITS = 19, /* log2 of the bits; a false yes only makes a segment longer */
    SHORT_SEGMENT = 32, /* up to here the lowest rank is found by looking at all */
    MAX_UNITS = 3, /* symbols a piece may begin or end with: a character, a byte piece, the unknown piece */
};

#define NO_PAIR UINT64_MAX
#define NO_RANK UINT32_MAX

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static uint64_t spread(uint64_t x)
{
    x *= 0x9E3779B97F4A7C15u;
    return x ^ x >> 32;
}

static struct bpe_merge *merge_slot(const struct bpe *bpe, uint64_t pair)
{
    uint32_t i = (uint32_t)spread(pair ^ bpe->seed) & (bpe->slots - 1);
    while (bpe->merge[i].pair != pair && bpe->merge[i].pair != NO_PAIR)
        i = (i + 1) & (bpe->slots - 1);
    return &bpe->merge[i];
}

/* The rank of a pair and what it becomes; NO_RANK when it stays two. */
static uint32_t pair_rank(const struct bpe *bpe, int32_t left, int32_t right, int32_t *id)
{
    const struct bpe_merge *merge = merge_slot(bpe, pair_of(left, right));
    *id = merge->id;
    return merge->rank;
}

static uint64_t *junction_word(const struct bpe *bpe, int32_t left, int32_t right, uint64_t *bit)
{
    uint64_t h = spread(pair_of(left, right)) >> (64 - JUNCTION_BITS);
    *bit = (uint64_t)1 << (h & 63);
    return &bpe->junction[h >> 6];
}

static bool may_join(const struct bpe *bpe, int32_t left, int32_t right)
{
    uint64_t bit;
    return *junction_word(bpe, left, right, &bit) & bit;
}

/* The id that text may become, or -1. */
static int32_t piece_id(const struct bpe *bpe, const char *piece, size_t length)
{
    int32_t id = vocabulary_find(bpe->vocabulary, piece, length);
    return id >= 0 && bpe->options.hidden && bpe->options.hidden[id] ? -1 : id;
}

static int32_t char_piece(const struct bpe *bpe, uint32_t code, const char *bytes, size_t length)
{
    return code < BPE_CHARS ? bpe->char_id[code] : piece_id(bpe, bytes, length);
}

bool bpe_init(struct bpe *bpe, const struct vocabulary *vocabulary, const struct bpe_options *options,
              size_t merges)
{
    *bpe = (struct bpe){.vocabulary = vocabulary, .options = *options, .slots = 16};
    bpe->seed = (uint64_t)clock_ns() * 0xD6E8FEB86659FD93u;
    while (bpe->slots < 2 * merges && bpe->slots < 1u << 30)
        bpe->slots *= 2;
    if (bpe->slots < 2 * merges)
        return false;
    bpe->merge = try_malloc(bpe->slots, sizeof *bpe->merge);
    bpe->char_id = try_malloc(BPE_CHARS, sizeof *bpe->char_id);
    bpe->junction = try_calloc((size_t)1 << (JUNCTION_BITS - 6), sizeof *bpe->junction);
    if (!bpe->merge || !bpe->char_id || !bpe->junction)
        return false;
    for (uint32_t i = 0; i < bpe->slots; i++)
        bpe->merge[i] = (struct bpe_merge){NO_PAIR, NO_RANK, -1};
    for (uint32_t code = 0; code < BPE_CHARS; code++) {
        char bytes[4];
        bpe->char_id[code] = piece_id(bpe, bytes, utf8_put(bytes, code));
    }
    for (int i = 0; i < 256; i++) {
        char name[8];
        int n = snprintf(name, sizeof name, "<0x%02X>", i);
        bpe->byte_id[i] = options->byte_fallback ? piece_id(bpe, name, (size_t)n) : -1;
    }
    return true;
}

void bpe_release(struct bpe *bpe)
{
    free(bpe->merge);
    free(bpe->char_id);
    free(bpe->junction);
    *bpe = (struct bpe){0};
}

/* The byte piece at s ("<0x4F>"), or -1. */
static int32_t byte_piece(const struct bpe *bpe, const char *s)
{
    int32_t id = piece_id(bpe, s, 6);
    for (int i = 0; id >= 0 && i < 256; i++)
        if (bpe->byte_id[i] == id)
            return id;
    return -1;
}

/* The first (at_end: the last) symbols that words spelt like this piece may have before any merge; returns
 * how many. */
static int edge_units(const struct bpe *bpe, int32_t piece, bool at_end, int32_t units[MAX_UNITS])
{
    size_t length, one, unk_length;
    int n = 0;
    const char *s = vocabulary_piece(bpe->vocabulary, piece, &length);
    const char *edge = at_end ? s + utf8_back(s, length) : s;
    uint32_t code = utf8_get(edge, &one);
    units[n] = char_piece(bpe, code, edge, one);
    n += units[n] >= 0;
    if (bpe->options.byte_fallback && length >= 6) {
        units[n] = byte_piece(bpe, at_end ? s + length - 6 : s);
        n += units[n] >= 0;
    }
    const char *unk = vocabulary_piece(bpe->vocabulary, bpe->options.unk, &unk_length);
    if (unk && unk_length <= length && memcmp(at_end ? s + length - unk_length : s, unk, unk_length) == 0)
        units[n++] = bpe->options.unk;
    return n;
}

void bpe_add_merge(struct bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    int32_t last[MAX_UNITS], first[MAX_UNITS];
    int n_last = edge_units(bpe, left, true, last), n_first = edge_units(bpe, right, false, first);
    for (int i = 0; i < n_last; i++) {
        for (int j = 0; j < n_first; j++) {
            uint64_t bit, *word = junction_word(bpe, last[i], first[j], &bit);
            *word |= bit;
        }
    }
    *merge_slot(bpe, pair_of(left, right)) = (struct bpe_merge){pair_of(left, right), rank, id};
}

void bpe_scratch_release(struct bpe_scratch *scratch)
{
    free(scratch->symbol);
    free(scratch->before);
    free(scratch->after);
    free(scratch->heap);
    *scratch = (struct bpe_scratch){0};
}

static bool append_all(struct token_list *out, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!token_list_try_append(out, ids[i]))
            return false;
    return true;
}

/* Merges in place and returns how many symbols are left; n is at most SHORT_SEGMENT. */
static size_t merge_short(const struct bpe *bpe, int32_t *symbol, size_t n)
{
    uint32_t rank[SHORT_SEGMENT]; /* of symbols i and i + 1 */
    int32_t becomes[SHORT_SEGMENT];
    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = pair_rank(bpe, symbol[i], symbol[i + 1], &becomes[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == NO_RANK)
            break;
        symbol[best] = becomes[best];
        n--;
        for (size_t i = best + 1; i < n; i++) {
            symbol[i] = symbol[i + 1];
            rank[i - 1] = rank[i];
            becomes[i - 1] = becomes[i];
        }
        if (best > 0)
            rank[best - 1] = pair_rank(bpe, symbol[best - 1], symbol[best], &becomes[best - 1]);
        if (best + 1 < n)
            rank[best] = pair_rank(bpe, symbol[best], symbol[best + 1], &becomes[best]);
    }
    return n;
}

/* A heap of rank << 32 | position: the smallest is the next merge. */
static void heap_sink(uint64_t *heap, size_t n, size_t i)
{
    uint64_t key = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= key)
            break;
        heap[i] = heap[child];
    }
    heap[i] = key;
}

static void heap_push(uint64_t *heap, size_t *n, uint64_t key)
{
    size_t i = (*n)++;
    for (; i > 0 && heap[(i - 1) / 2] > key; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = key;
}

static bool make_links(struct bpe_scratch *s, size_t n)
{
    if (n <= s->link_capacity)
        return true;
    size_t capacity = 2 * s->link_capacity > n ? 2 * s->link_capacity : n;
    free(s->before);
    free(s->after);
    free(s->heap);
    s->link_capacity = 0;
    s->before = try_malloc(capacity, sizeof *s->before);
    s->after = try_malloc(capacity, sizeof *s->after);
    s->heap = try_malloc(
        capacity, 2 * sizeof *s->heap); /* n pairs at first; each merge takes one and adds at most two */
    if (!s->before || !s->after || !s->heap)
        return false;
    s->link_capacity = capacity;
    return true;
}

static void push_pair(const struct bpe *bpe, struct bpe_scratch *s, size_t *heaped, int32_t at)
{
    int32_t id;
    uint32_t rank = pair_rank(bpe, s->symbol[at], s->symbol[s->after[at]], &id);
    if (rank != NO_RANK)
        heap_push(s->heap, heaped, (uint64_t)rank << 32 | (uint32_t)at);
}

/* Merges the scratch's symbols; what is left stands first. False when memory is short. */
static bool merge_long(const struct bpe *bpe, struct bpe_scratch *s)
{
    size_t n = s->symbols, heaped = 0;
    int32_t id;
    if (!make_links(s, n))
        return false;
    for (size_t i = 0; i < n; i++) {
        s->before[i] = (int32_t)i - 1;
        s->after[i] = i + 1 < n ? (int32_t)i + 1 : -1;
        uint32_t rank = i + 1 < n ? pair_rank(bpe, s->symbol[i], s->symbol[i + 1], &id) : NO_RANK;
        if (rank != NO_RANK)
            s->heap[heaped++] = (uint64_t)rank << 32 | i;
    }
    for (size_t i = heaped / 2; i-- > 0;)
        heap_sink(s->heap, heaped, i);
    while (heaped > 0) {
        int32_t at = (int32_t)(uint32_t)s->heap[0];
        uint32_t rank = (uint32_t)(s->heap[0] >> 32);
        s->heap[0] = s->heap[--heaped];
        if (heaped > 0)
            heap_sink(s->heap, heaped, 0);
        int32_t right = s->after[at];
        if (s->symbol[at] < 0 || right < 0)
            continue;
        if (pair_rank(bpe, s->symbol[at], s->symbol[right], &id) != rank)
            continue; /* one of the two has grown since */
        s->symbol[at] = id;
        s->symbol[right] = -1;
        s->after[at] = s->after[right];
        if (s->after[at] >= 0) {
            s->before[s->after[at]] = at;
            push_pair(bpe, s, &heaped, at);
        }
        if (s->before[at] >= 0)
            push_pair(bpe, s, &heaped, s->before[at]);
    }
    size_t left = 0;
    for (int32_t i = 0; i >= 0; i = s->after[i])
        s->symbol[left++] = s->symbol[i];
    s->symbols = left;
    return true;
}

static bool end_segment(const struct bpe *bpe, struct bpe_scratch *s, struct token_list *out)
{
    if (s->symbols > SHORT_SEGMENT) {
        if (!merge_long(bpe, s))
            return false;
    } else if (s->symbols > 1) {
        s->symbols = merge_short(bpe, s->symbol, s->symbols);
    }
    bool fine = append_all(out, s->symbol, s->symbols);
    s->symbols = 0;
    return fine;
}

static bool add_symbol(const struct bpe *bpe, struct bpe_scratch *s, int32_t id, struct token_list *out)
{
    if (s->symbols > 0 && !may_join(bpe, s->symbol[s->symbols - 1], id) && !end_segment(bpe, s, out))
        return false;
    if (s->symbols == s->symbol_capacity) {
        size_t capacity = s->symbol_capacity ? 2 * s->symbol_capacity : 64;
        int32_t *symbol = capacity <= INT32_MAX ? try_realloc(s->symbol, capacity, sizeof *symbol) : NULL;
        if (!symbol)
            return false;
        s->symbol = symbol;
        s->symbol_capacity = capacity;
    }
    s->symbol[s->symbols++] = id;
    return true;
}

/* Adds the pieces of an unknown character's bytes; *done tells whether all of them have one. */
static bool add_bytes(const struct bpe *bpe, struct bpe_scratch *s, const char *bytes, size_t n, bool *done,
                      struct token_list *out)
{
    *done = bpe->options.byte_fallback;
    for (size_t i = 0; i < n && *done; i++)
        *done = bpe->byte_id[(unsigned char)bytes[i]] >= 0;
    for (size_t i = 0; i < n && *done; i++)
        if (!add_symbol(bpe, s, bpe->byte_id[(unsigned char)bytes[i]], out))
            return false;
    return true;
}

bool bpe_encode(const struct bpe *bpe, struct bpe_scratch *s, const char *word, size_t length,
                struct token_list *out)
{
    if (bpe->options.ignore_merges) {
        int32_t id = piece_id(bpe, word, length);
        if (id >= 0)
            return token_list_try_append(out, id);
    }
    s->symbols = 0;
    bool unknown =
        false; /* an unknown piece waits: the library writes it before the next known character, not byte */
    size_t n;
    for (size_t at = 0; at < length; at += n) {
        uint32_t code = utf8_get(word + at, &n);
        int32_t id = char_piece(bpe, code, word + at, n);
        if (id < 0) {
            bool done;
            if (!add_bytes(bpe, s, word + at, n, &done, out))
                return false;
            if (done || bpe->options.unk < 0)
                continue;
            if (unknown && !bpe->options.fuse_unk && !add_symbol(bpe, s, bpe->options.unk, out))
                return false;
            unknown = true;
            continue;
        }
        if (unknown && !add_symbol(bpe, s, bpe->options.unk, out))
            return false;
        unknown = false;
        if (!add_symbol(bpe, s, id, out))
            return false;
    }
    if (unknown && !add_symbol(bpe, s, bpe->options.unk, out))
        return false;
    return end_segment(bpe, s, out);
}
