/* What the tests of the tokenizer share. Tests run from the source root. */
#ifndef VARGPT_TESTS_TEXT_TEST_H
#define VARGPT_TESTS_TEXT_TEST_H

#include "engine/text/text_stream.h"
#include "engine/text/tokenizer.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GOLDEN "tests/golden/"

/* The text of a file; the caller frees. Fails the test when it cannot be read. */
static inline char *read_text(const char *path, size_t *length)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot open %s", path);
    fseek(f, 0, SEEK_END);
    *length = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(*length + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, *length, f), *length);
    text[*length] = 0;
    fclose(f);
    return text;
}

static inline struct tokenizer *open_file(const char *path)
{
    size_t length;
    char *json = read_text(path, &length);
    struct error err = {0};
    struct tokenizer *t = NULL;
    if (tokenizer_open_json(&t, json, length, &err))
        fail_msg("%s: %s", path, err.message);
    free(json);
    return t;
}

/* Opens a tokenizer written as a C string, with ' for ". */
static inline enum status open_quoted(struct tokenizer **t, const char *quoted, struct error *err)
{
    char *json = strdup(quoted);
    for (char *c = json; *c; c++)
        if (*c == '\'')
            *c = '"';
    *err = (struct error){0};
    enum status status = tokenizer_open_json(t, json, strlen(json), err);
    free(json);
    return status;
}

static inline struct tokenizer *open_good(const char *quoted)
{
    struct tokenizer *t = NULL;
    struct error err;
    if (open_quoted(&t, quoted, &err))
        fail_msg("%s", err.message);
    return t;
}

static inline struct token_list encode_part(const struct tokenizer *t, const char *text, size_t length,
                                            const struct byte_range *plain, size_t n_plain, unsigned flags)
{
    struct token_list ids = {0};
    struct error err = {0};
    assert_int_equal(tokenizer_encode(t, text, length, plain, n_plain, flags, &ids, &err), STATUS_OK);
    return ids;
}

/* Checks the ids of a text against a list that ends in -1. */
static inline void expect_ids(const struct tokenizer *t, const char *text, const struct byte_range *plain,
                              size_t n_plain, unsigned flags, const int32_t *expected)
{
    struct token_list ids = encode_part(t, text, strlen(text), plain, n_plain, flags);
    size_t n = 0;
    while (expected[n] >= 0)
        n++;
    for (size_t i = 0; i < n && i < ids.count; i++)
        if (ids.ids[i] != expected[i])
            fail_msg("\"%s\": id %zu is %d, not %d", text, i, (int)ids.ids[i], (int)expected[i]);
    assert_int_equal(ids.count, n);
    token_list_release(&ids);
}

/* The decoded text; the caller releases. */
static inline struct buffer decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special)
{
    struct buffer text;
    buffer_init(&text, BUFFER_NO_LIMIT);
    buffer_append(&text, "", 0);
    tokenizer_decode(t, ids, n, skip_special, &text);
    assert_false(buffer_failed(&text));
    return text;
}

/* The same through a stream, which must never show half a character. */
static inline struct buffer stream(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special)
{
    struct buffer text, part;
    buffer_init(&text, BUFFER_NO_LIMIT);
    buffer_init(&part, BUFFER_NO_LIMIT);
    buffer_append(&text, "", 0);
    struct text_stream *s = text_stream_open(t, skip_special);
    for (size_t i = 0; i <= n; i++) {
        buffer_clear(&part);
        if (i < n)
            text_stream_push(s, ids[i], &part);
        else
            text_stream_finish(s, &part);
        json_t *valid = json_stringn(part.data ? part.data : "", part.length);
        assert_non_null(valid);
        json_decref(valid);
        buffer_append(&text, part.data, part.length);
    }
    text_stream_close(s);
    buffer_release(&part);
    return text;
}

static inline void expect_text(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                               const char *expected, size_t length)
{
    struct buffer whole = decode(t, ids, n, skip_special), streamed = stream(t, ids, n, skip_special);
    assert_int_equal(whole.length, length);
    assert_memory_equal(whole.data, expected, length);
    assert_int_equal(streamed.length, length);
    assert_memory_equal(streamed.data, expected, length);
    buffer_release(&whole);
    buffer_release(&streamed);
}

#endif
