#include "engine/picture/png_text.h"

#include "base/memory.h"
#include "base/sha256.h"
#include "engine/picture/png_chunks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char keyword[] = "vargpt"; /* written and compared with its NUL */
enum { DIGEST_DIGITS = 2 * SHA256_BYTES };

static void digest_picture(const struct picture *p, char hex[DIGEST_DIGITS])
{
    uint8_t sides[8], digest[SHA256_BYTES];
    for (int i = 0; i < 4; i++) {
        sides[i] = (uint8_t)((uint32_t)p->width >> (8 * i));
        sides[4 + i] = (uint8_t)((uint32_t)p->height >> (8 * i));
    }
    struct sha256 sha;
    sha256_init(&sha);
    sha256_add(&sha, sides, sizeof sides);
    sha256_add(&sha, p->rgb, 3 * (size_t)p->width * (size_t)p->height);
    sha256_finish(&sha, digest);
    for (int i = 0; i < DIGEST_DIGITS; i++)
        hex[i] = "0123456789abcdef"[digest[i / 2] >> (i % 2 ? 0 : 4) & 15];
}

void origin_write(const struct picture_origin *origin, const struct picture *p, struct buffer *out)
{
    int32_t all = 0;
    for (size_t i = 0; i < origin->n_codes; i++) {
        assert(origin->codes[i] >= 0);
        all |= origin->codes[i];
    }
    int digits = 1;
    while (digits < 8 && all >> (4 * digits))
        digits++;
    char hex[DIGEST_DIGITS];
    digest_picture(p, hex);
    buffer_append(out, keyword, sizeof keyword);
    buffer_printf(out, "1 seed=%llu picture=%lu codes=%zux%d:", (unsigned long long)origin->seed,
                  (unsigned long)origin->ordinal, origin->n_codes, digits);
    for (size_t i = 0; i < origin->n_codes; i++)
        buffer_printf(out, "%0*lx", digits, (unsigned long)origin->codes[i]);
    buffer_append_text(out, " sha256=");
    buffer_append(out, hex, sizeof hex);
}

/* The text still to be read. */
struct text {
    const uint8_t *p, *end;
};

static bool take_text(struct text *t, const char *expected)
{
    size_t n = strlen(expected);
    if ((size_t)(t->end - t->p) < n || memcmp(t->p, expected, n) != 0)
        return false;
    t->p += n;
    return true;
}

/* A decimal number up to most. */
static bool take_number(struct text *t, uint64_t most, uint64_t *out)
{
    const uint8_t *start = t->p;
    uint64_t value = 0;
    for (; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++) {
        uint64_t digit = (uint64_t)(*t->p - '0');
        if (digit > most || value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return t->p > start;
}

static bool take_code(struct text *t, int digits, int32_t *out)
{
    uint32_t value = 0;
    for (int i = 0; i < digits; i++) {
        uint8_t c = *t->p++;
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint32_t)(c - 'a' + 10);
        else
            return false;
    }
    *out = (int32_t)value;
    return value <= INT32_MAX;
}

static bool parse_origin(struct text t, const struct picture *decoded, int32_t **codes, size_t *n_codes,
                         uint64_t *seed, uint32_t *ordinal)
{
    uint64_t number, count, digits;
    if (!take_text(&t, "1 seed=") || !take_number(&t, UINT64_MAX, seed) || !take_text(&t, " picture=") ||
        !take_number(&t, UINT32_MAX, &number) || !take_text(&t, " codes=") ||
        !take_number(&t, SIZE_MAX, &count) || !take_text(&t, "x") || !take_number(&t, 8, &digits) ||
        !take_text(&t, ":") || digits == 0)
        return false;
    *ordinal = (uint32_t)number;
    *n_codes = (size_t)count;
    if (count == 0 || count > (uint64_t)(t.end - t.p) / digits) /* so the file itself bounds the memory */
        return false;
    int32_t *list = try_malloc(*n_codes, sizeof *list);
    bool fine = list;
    for (size_t i = 0; i < *n_codes && fine; i++)
        fine = take_code(&t, (int)digits, &list[i]);
    char hex[DIGEST_DIGITS];
    fine = fine && take_text(&t, " sha256=") && t.end - t.p == DIGEST_DIGITS;
    if (fine) {
        digest_picture(decoded, hex);
        fine = memcmp(t.p, hex, DIGEST_DIGITS) == 0;
    }
    if (!fine) {
        free(list);
        return false;
    }
    *codes = list;
    return true;
}

bool picture_read_origin(const void *bytes, size_t length, const struct picture *decoded, int32_t **codes,
                         size_t *n_codes, uint64_t *seed, uint32_t *ordinal)
{
    const uint8_t *file = bytes;
    size_t offset = PNG_SIGNATURE_BYTES;
    struct png_chunk chunk;
    if (length < PNG_SIGNATURE_BYTES || memcmp(file, PNG_SIGNATURE, PNG_SIGNATURE_BYTES) != 0)
        return false;
    while (png_next_chunk(file, length, &offset, &chunk)) {
        if (chunk.type != PNG_TYPE('t', 'E', 'X', 't') || chunk.length < sizeof keyword ||
            memcmp(chunk.data, keyword, sizeof keyword) != 0)
            continue;
        struct text text = {chunk.data + sizeof keyword, chunk.data + chunk.length};
        return png_chunk_intact(&chunk) && parse_origin(text, decoded, codes, n_codes, seed, ordinal);
    }
    return false;
}
