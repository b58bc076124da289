#include "engine/picture/deflate.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
    WINDOW = 32768,
    HASHED = 3,    /* bytes that a hash covers */
    MIN_MATCH = 6, /* shorter ones cost more than their bytes: filtered pictures are close to noise */
    MAX_MATCH = 258,
    HASH_BITS = 15,
    MAX_CHAIN = 128,  /* earlier places tried for one match */
    GOOD_MATCH = 128, /* long enough to stop looking */
    BLOCK = 16384,    /* literals and matches that share one set of codes */
    N_LITERAL = 286,  /* literals, end of block, lengths */
    N_DISTANCE = 30,
    N_LENGTH_CODES = 19, /* the code in which code lengths are written */
    END_OF_BLOCK = 256,
};

static const uint16_t length_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                         31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                         2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t distance_base[30] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                           33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                           1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
static const uint8_t distance_extra[30] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                           6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

/* A literal (distance 0, length = the byte) or a match. */
struct token {
    uint16_t length, distance;
};

struct deflate {
    struct buffer *out;
    uint32_t held; /* bits not written yet, the first lowest */
    int n_held;
    const uint8_t *bytes;
    size_t length;
    int32_t head[1 << HASH_BITS]; /* the last place with this hash, -1 = none */
    int32_t previous[WINDOW];     /* the place before with the same hash */
    struct token tokens[BLOCK];
    int n_tokens;
};

static void put_bits(struct deflate *d, uint32_t value, int n)
{
    d->held |= value << d->n_held;
    d->n_held += n;
    for (; d->n_held >= 8; d->held >>= 8, d->n_held -= 8)
        buffer_append_char(d->out, (char)(d->held & 255));
}

/* The largest i with base[i] <= v. */
static int code_of(const uint16_t *base, int n, int v)
{
    int i = 0;
    while (i + 1 < n && base[i + 1] <= v)
        i++;
    return i;
}

struct code {
    uint8_t bits[N_LITERAL];
    uint16_t value[N_LITERAL]; /* as it is written: first bit lowest */
};

/* Huffman code lengths by merging the two lightest trees; n is small, so a plain search does. */
static int tree_lengths(const uint32_t *counts, int n, uint8_t *bits)
{
    uint32_t weight[2 * N_LITERAL];
    int parent[2 * N_LITERAL], nodes = n, alive = 0, longest = 0;
    for (int i = 0; i < n; i++) {
        weight[i] = counts[i];
        parent[i] = -1;
        alive += counts[i] > 0;
    }
    for (; alive > 1; alive--, nodes++) {
        int low[2] = {-1, -1};
        for (int i = 0; i < nodes; i++) {
            if (!weight[i] || parent[i] >= 0)
                continue;
            if (low[0] < 0 || weight[i] < weight[low[0]]) {
                low[1] = low[0];
                low[0] = i;
            } else if (low[1] < 0 || weight[i] < weight[low[1]]) {
                low[1] = i;
            }
        }
        weight[nodes] = weight[low[0]] + weight[low[1]];
        parent[nodes] = -1;
        parent[low[0]] = parent[low[1]] = nodes;
    }
    for (int i = 0; i < n; i++) {
        int depth = 0;
        for (int at = i; counts[i] && parent[at] >= 0; at = parent[at])
            depth++;
        bits[i] = (uint8_t)(counts[i] && !depth ? 1 : depth); /* a lone symbol still needs a bit */
        longest = depth > longest ? depth : longest;
    }
    return longest;
}

/* A canonical code for the counts, none longer than `limit`: rare symbols are counted up until the tree is
 * flat enough. */
static void make_code(const uint32_t *given, int n, int limit, struct code *code)
{
    uint32_t counts[N_LITERAL];
    memcpy(counts, given, (size_t)n * sizeof *counts);
    while (tree_lengths(counts, n, code->bits) > limit)
        for (int i = 0; i < n; i++)
            counts[i] = counts[i] ? counts[i] / 2 + 1 : 0;
    unsigned next = 0;
    for (int bits = 1; bits <= limit; bits++, next <<= 1) {
        for (int i = 0; i < n; i++) {
            if (code->bits[i] != bits)
                continue;
            unsigned reversed = 0;
            for (int b = 0; b < bits; b++)
                reversed |= (next >> b & 1) << (bits - 1 - b);
            code->value[i] = (uint16_t)reversed;
            next++;
        }
    }
}

static void put_symbol(struct deflate *d, const struct code *code, int symbol)
{
    put_bits(d, code->value[symbol], code->bits[symbol]);
}

/* Code lengths as the format packs them: 16 repeats the last, 17 and 18 are runs of zeros. Returns how many
 * symbols. */
static int pack_lengths(const uint8_t *bits, int n, uint8_t *symbols, uint8_t *extras)
{
    int packed = 0;
    for (int i = 0; i < n;) {
        int run = 1;
        while (i + run < n && bits[i + run] == bits[i])
            run++;
        int symbol = bits[i], extra = 0, used = 1;
        if (!bits[i] && run >= 3) {
            used = run > 138 ? 138 : run;
            symbol = used > 10 ? 18 : 17;
            extra = used - (used > 10 ? 11 : 3);
        } else if (i && bits[i] == bits[i - 1] && run >= 3) {
            used = run > 6 ? 6 : run;
            symbol = 16;
            extra = used - 3;
        }
        symbols[packed] = (uint8_t)symbol;
        extras[packed++] = (uint8_t)extra;
        i += used;
    }
    return packed;
}

static void put_codes(struct deflate *d, const struct code *literal, const struct code *distance)
{
    static const uint8_t order[N_LENGTH_CODES] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                  11, 4,  12, 3, 13, 2, 14, 1, 15};
    int n_literal = N_LITERAL, n_distance = N_DISTANCE, n_order = N_LENGTH_CODES;
    while (n_literal > 257 && !literal->bits[n_literal - 1])
        n_literal--;
    while (n_distance > 1 && !distance->bits[n_distance - 1])
        n_distance--;
    uint8_t bits[N_LITERAL + N_DISTANCE], symbols[N_LITERAL + N_DISTANCE], extras[N_LITERAL + N_DISTANCE];
    memcpy(bits, literal->bits, (size_t)n_literal);
    memcpy(bits + n_literal, distance->bits, (size_t)n_distance);
    int packed = pack_lengths(bits, n_literal + n_distance, symbols, extras);
    uint32_t counts[N_LENGTH_CODES] = {0};
    for (int i = 0; i < packed; i++)
        counts[symbols[i]]++;
    struct code lengths;
    make_code(counts, N_LENGTH_CODES, 7, &lengths);
    while (n_order > 4 && !lengths.bits[order[n_order - 1]])
        n_order--;
    put_bits(d, (uint32_t)(n_literal - 257), 5);
    put_bits(d, (uint32_t)(n_distance - 1), 5);
    put_bits(d, (uint32_t)(n_order - 4), 4);
    for (int i = 0; i < n_order; i++)
        put_bits(d, lengths.bits[order[i]], 3);
    for (int i = 0; i < packed; i++) {
        put_symbol(d, &lengths, symbols[i]);
        if (symbols[i] >= 16)
            put_bits(d, extras[i], symbols[i] == 16 ? 2 : symbols[i] == 17 ? 3 : 7);
    }
}

static void put_block(struct deflate *d, bool last)
{
    enum { DYNAMIC = 2 };
    uint32_t literals[N_LITERAL] = {[END_OF_BLOCK] = 1}, distances[N_DISTANCE] = {0};
    for (int i = 0; i < d->n_tokens; i++) {
        struct token t = d->tokens[i];
        literals[t.distance ? 257 + code_of(length_base, 29, t.length) : t.length]++;
        if (t.distance)
            distances[code_of(distance_base, N_DISTANCE, t.distance)]++;
    }
    struct code literal, distance;
    make_code(literals, N_LITERAL, 15, &literal);
    make_code(distances, N_DISTANCE, 15, &distance);
    put_bits(d, last, 1);
    put_bits(d, DYNAMIC, 2);
    put_codes(d, &literal, &distance);
    for (int i = 0; i < d->n_tokens; i++) {
        struct token t = d->tokens[i];
        if (!t.distance) {
            put_symbol(d, &literal, t.length);
            continue;
        }
        int l = code_of(length_base, 29, t.length), s = code_of(distance_base, N_DISTANCE, t.distance);
        put_symbol(d, &literal, 257 + l);
        put_bits(d, (uint32_t)(t.length - length_base[l]), length_extra[l]);
        put_symbol(d, &distance, s);
        put_bits(d, (uint32_t)(t.distance - distance_base[s]), distance_extra[s]);
    }
    put_symbol(d, &literal, END_OF_BLOCK);
    d->n_tokens = 0;
}

static uint32_t hash_at(const struct deflate *d, size_t at)
{
    const uint8_t *p = d->bytes + at;
    return ((uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2]) * 2654435761u >> (32 - HASH_BITS);
}

static void remember(struct deflate *d, size_t at)
{
    if (d->length - at < HASHED)
        return;
    uint32_t h = hash_at(d, at);
    d->previous[at % WINDOW] = d->head[h];
    d->head[h] = (int32_t)at;
}

/* The longest earlier copy of what stands at `at`; length 0 when there is none of MIN_MATCH bytes. */
static struct token find_match(const struct deflate *d, size_t at)
{
    struct token best = {0};
    size_t most = d->length - at < MAX_MATCH ? d->length - at : MAX_MATCH, longest = MIN_MATCH - 1;
    if (most < MIN_MATCH)
        return best;
    const uint8_t *here = d->bytes + at;
    int32_t place = d->head[hash_at(d, at)];
    for (int tries = MAX_CHAIN; place >= 0 && at - (size_t)place <= WINDOW - MAX_MATCH && tries; tries--) {
        const uint8_t *there = d->bytes + place;
        if (there[longest] == here[longest]) {
            size_t n = 0;
            while (n < most && there[n] == here[n])
                n++;
            if (n > longest) {
                longest = n;
                best = (struct token){.length = (uint16_t)n, .distance = (uint16_t)(at - (size_t)place)};
                if (n == most || n >= GOOD_MATCH)
                    break;
            }
        }
        place = d->previous[(size_t)place % WINDOW];
    }
    return best;
}

static void put_token(struct deflate *d, struct token token)
{
    if (d->n_tokens == BLOCK)
        put_block(d, false);
    d->tokens[d->n_tokens++] = token;
}

/* A match is taken only if the next byte does not begin a longer one. */
static void compress(struct deflate *d)
{
    size_t at = 0;
    struct token match = d->length ? find_match(d, 0) : (struct token){0};
    while (at < d->length) {
        remember(d, at);
        struct token next = {0};
        if (match.length < GOOD_MATCH && at + 1 < d->length)
            next = find_match(d, at + 1);
        if (match.length && next.length <= match.length) {
            put_token(d, match);
            for (size_t i = 1; i < match.length; i++)
                remember(d, at + i);
            at += match.length;
            match = at < d->length ? find_match(d, at) : (struct token){0};
        } else {
            put_token(d, (struct token){.length = d->bytes[at]});
            at++;
            match = next;
        }
    }
}

static uint32_t adler32(const uint8_t *bytes, size_t n)
{
    uint32_t a = 1, b = 0;
    while (n) {
        size_t part = n < 5552 ? n : 5552; /* the most bytes before b could overflow */
        for (size_t i = 0; i < part; i++) {
            a += bytes[i];
            b += a;
        }
        a %= 65521;
        b %= 65521;
        bytes += part;
        n -= part;
    }
    return b << 16 | a;
}

bool deflate_zlib(struct buffer *out, const uint8_t *bytes, size_t length)
{
    struct deflate *d = length <= INT32_MAX ? try_malloc(1, sizeof *d) : NULL;
    if (!d)
        return false;
    *d = (struct deflate){.out = out, .bytes = bytes, .length = length};
    memset(d->head, 0xff, sizeof d->head);
    put_bits(d, 0x78, 8); /* deflate, 32 KiB window */
    put_bits(d, 0x9c, 8); /* ordinary level; makes the pair a multiple of 31 */
    compress(d);
    put_block(d, true);
    put_bits(d, 0, (8 - d->n_held) % 8);
    uint32_t sum = adler32(bytes, length);
    for (int shift = 24; shift >= 0; shift -= 8)
        put_bits(d, sum >> shift & 255, 8);
    free(d);
    return !buffer_failed(out);
}
