/* What the picture tests share. Tests run from the source root. */
#ifndef VARGPT_TESTS_PICTURE_TEST_H
#define VARGPT_TESTS_PICTURE_TEST_H

#include "base/sha256.h"
#include "engine/picture/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PICTURES "tests/golden/pictures/"

/* The bytes of a file; the caller frees. Fails the test when it cannot be read. */
static inline uint8_t *read_file(const char *path, size_t *length)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot open %s", path);
    fseek(f, 0, SEEK_END);
    *length = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = malloc(*length + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *length, f), *length);
    bytes[*length] = 0;
    fclose(f);
    return bytes;
}

/* The picture that tools/make_picture_goldens.py calls made_up. The caller releases it. */
static inline struct picture made_up_picture(int width, int height)
{
    size_t n = 3 * (size_t)width * (size_t)height, row = 3 * (size_t)width;
    struct picture p = {.width = width, .height = height, .rgb = malloc(n)};
    assert_non_null(p.rgb);
    uint32_t state = (uint32_t)width * 65536 + (uint32_t)height;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525 + 1013904223;
        uint8_t v = (uint8_t)(state >> 24);
        p.rgb[i] = i / row % 2 == 0 ? (v < 128 ? 0 : 255) : v;
    }
    return p;
}

static inline void hash_bytes(const void *bytes, size_t n, char hex[2 * SHA256_BYTES + 1])
{
    struct sha256 sha;
    uint8_t digest[SHA256_BYTES];
    sha256_init(&sha);
    sha256_add(&sha, bytes, n);
    sha256_finish(&sha, digest);
    for (int i = 0; i < SHA256_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

/* The next line of a text file's bytes, cut off with a NUL; NULL at the end. */
static inline char *next_line(char **text)
{
    char *line = *text, *end = strchr(line, '\n');
    if (!end)
        return NULL;
    *end = 0;
    *text = end + 1;
    return line;
}

#endif
