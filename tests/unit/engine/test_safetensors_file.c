/* One .safetensors file opened by itself, and tensors of types that are not weights. */
#include "engine/model/checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_side_files),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_other_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
