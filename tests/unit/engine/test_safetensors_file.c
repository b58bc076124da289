/* One .safetensors file opened by itself, and tensors of types that are not weights. */
#include "engine/model/checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char file[] = "tests/golden/tiny-a/expected.safetensors";

static struct checkpoint *open_file(void)
{
    struct checkpoint *ck;
    struct error err = {0};
    if (checkpoint_open(&ck, file, &err))
        fail_msg("%s", err.message);
    return ck;
}

static void test_side_files(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_BUSY};
    struct checkpoint *ck = open_file();
    assert_false(checkpoint_is_gguf(ck));
    assert_null(checkpoint_read_file(ck, "cases.json", NULL, &err)); /* lies beside it, and is not its own */
    assert_int_equal(err.status, STATUS_OK);
    checkpoint_close(ck);
}

static void test_types(void **state)
{
    (void)state;
    const char *type;
    int32_t first;
    struct checkpoint *ck = open_file();
    const struct checkpoint_tensor *t = checkpoint_find_raw(ck, "llm.text.ids", &type);
    assert_non_null(t);
    assert_string_equal(type, "I32");
    assert_int_equal(t->bytes, 4 * t->shape[0]);
    memcpy(&first, t->data, sizeof first);
    assert_int_equal(first, 1);                       /* <s> */
    assert_null(checkpoint_find(ck, "llm.text.ids")); /* not a weight */
    assert_string_equal(checkpoint_unread_type(ck, "llm.text.ids"), "I32");

    t = checkpoint_find_raw(ck, "adaln.cond", &type);
    assert_string_equal(type, "F32");
    assert_ptr_equal(t, checkpoint_find(ck, "adaln.cond"));
    assert_null(checkpoint_find_raw(ck, "no such tensor", &type));
    checkpoint_close(ck);
}

static void test_other_files(void **state)
{
    (void)state;
    struct checkpoint *ck;
    struct error err = {0};
    assert_int_equal(checkpoint_open(&ck, "tests/golden/tiny-a/cases.json", &err), STATUS_BAD_FILE);
    assert_null(ck);
}

/* A file of two tensors: "a" of as many floats as go into 4,000 bytes, "b" of ten. */
static void write_two(const char *path, const char *name, const unsigned char *bytes)
{
    char header[256];
    FILE *f = fopen(path, "wb");
    int n = snprintf(header, sizeof header,
                     "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1000],\"data_offsets\":[0,4000]},"
                     "\"b\":{\"dtype\":\"F32\",\"shape\":[10],\"data_offsets\":[4000,4040]}}",
                     name);
    uint64_t length = (uint64_t)n;
    assert_non_null(f);
    fwrite(&length, sizeof length, 1, f);
    fwrite(header, 1, length, f);
    fwrite(bytes, 1, 4040, f);
    fclose(f);
}

static void digest_two(const char *name, const unsigned char *bytes, uint8_t digest[SHA256_BYTES])
{
    char path[64];
    struct checkpoint *ck;
    struct error err = {0};
    snprintf(path, sizeof path, "/tmp/vargpt-test-digest-%d.safetensors", (int)getpid());
    write_two(path, name, bytes);
    if (checkpoint_open(&ck, path, &err))
        fail_msg("%s", err.message);
    checkpoint_digest(ck, digest);
    checkpoint_close(ck);
    unlink(path);
}

/* Checkpoints of the same shapes differ by their weights, whichever tensor it is. */
static void test_digest(void **state)
{
    static const int sampled[] = {0, 63, 1312, 3999, 4000, 4020, 4039};
    unsigned char bytes[4040] = {0};
    uint8_t first[SHA256_BYTES], other[SHA256_BYTES];
    (void)state;
    digest_two("a", bytes, first);
    digest_two("a", bytes, other);
    assert_memory_equal(first, other, sizeof first);
    digest_two("a2", bytes, other);
    assert_memory_not_equal(first, other, sizeof first);
    for (size_t i = 0; i < sizeof sampled / sizeof *sampled; i++) {
        bytes[sampled[i]] = 1;
        digest_two("a", bytes, other);
        assert_memory_not_equal(first, other, sizeof first);
        bytes[sampled[i]] = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_side_files),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
