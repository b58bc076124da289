/* API keys: what is read, what is found, what stays when they are read again. */
#include "server/keys.h"

#include "base/buffer.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64]; /* of the key file */

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static const char *name_of(struct key_ring *r, const char *authorization)
{
    static char name[80];
    struct api_key *k = key_ring_find(r, authorization);
    if (!k)
        return NULL;
    snprintf(name, sizeof name, "%s", api_key_name(k));
    api_key_drop(k);
    return name;
}

static struct key_ring *open_keys(const char *file, const char *list)
{
    struct key_ring *r = NULL;
    struct error err = {0};
    struct key_options o = {.file = file, .list = list};
    assert_int_equal(key_ring_open(&r, &o, &err), STATUS_OK);
    return r;
}

static void test_file_and_list(void **state)
{
    (void)state;
    write_file(
        "# keys\n"
        "\n"
        "first-key-0123456789 alice\r\n"
        "  second-key-0123456789   bob requests=5 tokens=100 # his\n"
        "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 hash\n" /* of "hello" */
        "last-key-without-line-end");
    struct key_ring *r = open_keys(path, "from-list-0123456789, another-0123456789");
    assert_true(key_ring_is_locked(r));
    assert_string_equal(name_of(r, "Bearer from-list-0123456789"), "key-1");
    assert_string_equal(name_of(r, "bearer another-0123456789"), "key-2");
    assert_string_equal(name_of(r, "BEARER   first-key-0123456789  "), "alice");
    assert_string_equal(name_of(r, "Bearer second-key-0123456789"), "bob");
    assert_string_equal(name_of(r, "Bearer hello"), "hash");
    assert_non_null(name_of(r, "Bearer last-key-without-line-end"));
    key_ring_close(r);
}

static void test_what_is_no_key(void **state)
{
    struct key_ring *r = open_keys(NULL, "the-only-key-there-is");
    static const char *const wrong[] = {"",
                                        "Bearer",
                                        "Bearer ",
                                        "the-only-key-there-is",
                                        "Basic the-only-key-there-is",
                                        "Bearerthe-only-key-there-is",
                                        "Bearer the-only-key-there-i",
                                        "Bearer the-only-key-there-iss",
                                        "Bearer THE-ONLY-KEY-THERE-IS",
                                        "Bearer the-only-key-there-is,x",
                                        "Bearer\tthe-only-key-there-is"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_null(name_of(r, wrong[i]));
    assert_null(name_of(r, NULL));
    key_ring_close(r);
    r = open_keys(NULL, NULL);
    assert_false(key_ring_is_locked(r));
    assert_null(name_of(r, "Bearer the-only-key-there-is"));
    key_ring_close(r);
}

static void test_wrong_files(void **state)
{
    static const char *const wrong[] = {"",
                                        "# nothing\n\n",
                                        "key-0123456789abcdef requests=x\n",
                                        "key-0123456789abcdef requests=\n",
                                        "k\x01y-0123456789abcdef\n",
                                        "same-0123456789abcdef\nsame-0123456789abcdef\n",
                                        "key-0123456789abcdef n\xC3\xA9\n"};
    struct key_options o = {.file = path};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct key_ring *r = NULL;
        struct error err = {0};
        write_file(wrong[i]);
        assert_int_equal(key_ring_open(&r, &o, &err), STATUS_BAD_REQUEST);
        assert_null(strstr(err.message, "0123456789")); /* no key is quoted */
    }
    struct key_ring *r = NULL;
    struct error err = {0};
    o.file = "/nowhere/keys";
    assert_int_equal(key_ring_open(&r, &o, &err), STATUS_BAD_REQUEST);
}

static void test_limits_outlast_reading_again(void **state)
{
    struct key_rate requests, tokens;
    struct error err = {0};
    double wait;
    const char *limit;
    (void)state;
    write_file("key-0123456789abcdef me requests=2 tokens=50\n");
    struct key_options o = {.file = path};
    struct key_ring *r = open_keys(path, NULL);
    struct api_key *k = key_ring_find(r, "Bearer key-0123456789abcdef");
    assert_true(api_key_admit(k, &wait, &limit));
    assert_true(api_key_admit(k, &wait, &limit));
    assert_false(api_key_admit(k, &wait, &limit));
    assert_string_equal(limit, "requests");
    assert_true(wait > 25 && wait <= 30);
    write_file("key-0123456789abcdef me requests=3 tokens=50\n");
    assert_int_equal(key_ring_reload(r, &o, &err), STATUS_OK);
    api_key_drop(k); /* lived until now */
    k = key_ring_find(r, "Bearer key-0123456789abcdef");
    api_key_rates(k, &requests, &tokens);
    assert_int_equal(requests.limit, 3);
    assert_int_equal(requests.left, 1);
    api_key_settle(k, 0, 80);
    assert_false(api_key_admit(k, &wait, &limit));
    assert_string_equal(limit, "tokens");
    write_file("");
    assert_int_equal(key_ring_reload(r, &o, &err), STATUS_BAD_REQUEST); /* the old ones stay */
    assert_string_equal(name_of(r, "Bearer key-0123456789abcdef"), "me");
    write_file("other-0123456789abcdef\n");
    assert_int_equal(key_ring_reload(r, &o, &err), STATUS_OK);
    assert_null(name_of(r, "Bearer key-0123456789abcdef"));
    api_key_drop(k);
    key_ring_close(r);
}

/* What comparing gives depends on each byte, also behind one that differs: it cannot have ended early. */
static void test_every_byte_is_compared(void **state)
{
    uint8_t a[KEY_DIGEST_BYTES], b[KEY_DIGEST_BYTES];
    (void)state;
    for (int i = 0; i < KEY_DIGEST_BYTES; i++)
        a[i] = b[i] = (uint8_t)(i * 7);
    assert_int_equal(key_difference(a, b), 0);
    for (int i = 0; i < KEY_DIGEST_BYTES; i++) {
        for (int j = 0; j < KEY_DIGEST_BYTES; j++) {
            b[i] ^= 0x01;
            b[j] ^= 0x80;
            assert_int_equal(key_difference(a, b), 0x81);
            assert_int_equal(key_difference(b, a), 0x81);
            b[i] ^= 0x01;
            b[j] ^= 0x80;
        }
    }
}

/* Each key is found, wherever it stands, and nothing that is nearly one. */
static void test_each_of_many_keys(void **state)
{
    struct buffer list;
    char key[64];
    (void)state;
    buffer_init(&list, 1 << 20);
    for (int i = 0; i < 200; i++)
        buffer_printf(&list, "key-%03d-0123456789abcdef,", i);
    struct key_ring *r = open_keys(NULL, list.data);
    for (int i = 0; i < 200; i++) {
        char name[16];
        snprintf(key, sizeof key, "Bearer key-%03d-0123456789abcdef", i);
        snprintf(name, sizeof name, "key-%d", i + 1);
        assert_string_equal(name_of(r, key), name);
        key[strlen(key) - 1] ^= 1;
        assert_null(name_of(r, key));
    }
    key_ring_close(r);
    buffer_release(&list);
}

static int64_t tokens_left(struct api_key *k)
{
    struct key_rate requests, tokens;
    api_key_rates(k, &requests, &tokens);
    return tokens.left;
}

static void test_tokens_are_reserved(void **state)
{
    struct key_ring *r;
    struct error err = {0};
    double wait;
    int64_t first = 60, second = 60, third = 30, whole = 1000000;
    (void)state;
    write_file("key-0123456789abcdef me tokens=100\n");
    struct key_options o = {.file = path};
    r = open_keys(path, NULL);
    struct api_key *k = key_ring_find(r, "Bearer key-0123456789abcdef"), *again;
    assert_true(api_key_reserve(k, &first, &wait));
    assert_int_equal(tokens_left(k), 40);
    assert_false(api_key_reserve(k, &second, &wait)); /* would fit only if the first used less */
    assert_true(wait > 10 && wait <= 12);
    assert_int_equal(tokens_left(k), 40);
    assert_true(api_key_reserve(k, &third, &wait));
    assert_int_equal(key_ring_reload(r, &o, &err), STATUS_OK);
    again = key_ring_find(r, "Bearer key-0123456789abcdef");
    assert_int_equal(tokens_left(again), 10);
    api_key_settle(k, first, 15); /* reserved before, given back after the keys were read again */
    assert_int_equal(tokens_left(again), 55);
    api_key_settle(k, third, 30);
    assert_false(
        api_key_reserve(again, &whole, &wait)); /* may use more than there ever is: waits for all of that */
    assert_int_equal(whole, 100);
    assert_true(wait > 20 && wait <= 27);
    api_key_settle(k, 45, 0);
    api_key_settle(k, 45, 0); /* never more than a minute's worth */
    assert_int_equal(tokens_left(k), 100);
    assert_true(api_key_reserve(again, &whole, &wait));
    api_key_settle(again, whole, 130); /* and is a debt afterwards */
    assert_int_equal(tokens_left(k), 0);
    api_key_drop(k);
    api_key_drop(again);
    key_ring_close(r);
}

static void test_salts_differ(void **state)
{
    uint8_t a[16] = {0}, b[16] = {0}, c[16] = {1}, again[16] = {0};
    struct key_ring *r = open_keys(NULL, "key-a-0123456789abcdef,key-b-0123456789abcdef");
    struct api_key *first = key_ring_find(r, "Bearer key-a-0123456789abcdef");
    struct api_key *second = key_ring_find(r, "Bearer key-b-0123456789abcdef");
    (void)state;
    api_key_salt(first, a);
    api_key_salt(second, b);
    api_key_salt(first, c);
    api_key_salt(first, again);
    assert_memory_equal(a, again, 16);
    assert_memory_not_equal(a, b, 16);
    assert_memory_not_equal(a, c, 16);
    api_key_drop(first);
    api_key_drop(second);
    key_ring_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_and_list),       cmocka_unit_test(test_what_is_no_key),
        cmocka_unit_test(test_wrong_files),         cmocka_unit_test(test_limits_outlast_reading_again),
        cmocka_unit_test(test_tokens_are_reserved), cmocka_unit_test(test_every_byte_is_compared),
        cmocka_unit_test(test_each_of_many_keys),   cmocka_unit_test(test_salts_differ),
    };
    log_set_level(LOG_ERROR);
    snprintf(path, sizeof path, "/tmp/vargpt-test-keys-%d", (int)getpid());
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
