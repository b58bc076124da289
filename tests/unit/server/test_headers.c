/* Header values of other people: Accept-Encoding, Origin, Access-Control-Request-Headers. */
#include "server/cors.h"
#include "server/gzip.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

static void test_gzip_wanted(void **state)
{
    static const char *const yes[] = {
        "gzip",    "GZIP",   "deflate, gzip",      "br;q=1.0, gzip;q=0.8, *;q=0.1", "*", "gzip;q=0.001",
        " , gzip", "x-gzip", "identity;q=0, *;q=1"};
    static const char *const no[] = {"",        "deflate",  "gzip;q=0", "gzip; q=0.000", "gzip;q=0, *",
                                     "gzipped", "identity", "*;q=0",    ";gzip",         "gzip;Q=0.0"};
    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        assert_true(gzip_wanted(yes[i]));
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        assert_false(gzip_wanted(no[i]));
    assert_false(gzip_wanted(NULL));
}

static void test_gzip_worth(void **state)
{
    char text[5000];
    (void)state;
    memset(text, 'a', sizeof text);
    assert_true(gzip_worth("application/json", text, sizeof text));
    assert_true(gzip_worth("text/plain; version=0.0.4", text, sizeof text));
    assert_true(gzip_worth("text/javascript", text, sizeof text));
    assert_false(gzip_worth("application/json", text, 100));
    assert_false(gzip_worth("text/event-stream; charset=utf-8", text, sizeof text));
    assert_false(gzip_worth("image/png", text, sizeof text));
    assert_false(gzip_worth(NULL, text, sizeof text));
    memcpy(text + 3000, "data:image/png;base64,", 22);
    assert_false(gzip_worth("application/json", text, sizeof text));
    memset(text, 'a', sizeof text);
    memcpy(text + 10, "\"b64_json\"", 10);
    assert_false(gzip_worth("application/json", text, sizeof text));
}

static void test_gzip_comes_back(void **state)
{
    char text[20000], back[20000];
    size_t length = sizeof text;
    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i * i % 17);
    char *small = gzip_make(text, &length);
    assert_non_null(small);
    assert_true(length < sizeof text);
    z_stream z = {.next_in = (Bytef *)small,
                  .avail_in = (uInt)length,
                  .next_out = (Bytef *)back,
                  .avail_out = sizeof back};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, sizeof text);
    assert_memory_equal(back, text, sizeof text);
    inflateEnd(&z);
    free(small);
}

static void test_gzip_that_grows_is_not_used(void **state)
{
    char noise[64];
    size_t length = sizeof noise;
    (void)state;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)(i * 151 + 7);
    assert_null(gzip_make(noise, &length));
    assert_int_equal(length, sizeof noise);
}

static void test_origins(void **state)
{
    static const char list[] = "https://a.example, http://localhost:3000";
    (void)state;
    assert_true(cors_allows(list, "https://a.example"));
    assert_true(cors_allows(list, "http://localhost:3000"));
    assert_false(cors_allows(list, "https://a.example.evil"));
    assert_false(cors_allows(list, "https://a.exampl"));
    assert_false(cors_allows(list, "http://a.example"));
    assert_false(cors_allows(list, "null"));
    assert_false(cors_allows(list, ""));
    assert_false(cors_allows(list, NULL));
    assert_false(cors_allows(NULL, "https://a.example"));
    assert_false(cors_allows(list, "https://a.example, http://localhost:3000"));
    assert_true(cors_allows("*", "https://anyone.example"));
    assert_true(cors_allows_all("https://a.example,*"));
    assert_false(cors_allows_all(list));
}

static void test_requested_headers(void **state)
{
    struct buffer b;
    (void)state;
    buffer_init(&b, 1000);
    cors_append_headers(&b,
                        "Authorization,content-type , X-Stainless-Lang, x-stainless-, cookie, x-evil\r\n");
    assert_string_equal(b.data, "Authorization, content-type, X-Stainless-Lang");
    buffer_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gzip_wanted),     cmocka_unit_test(test_gzip_worth),
        cmocka_unit_test(test_gzip_comes_back), cmocka_unit_test(test_gzip_that_grows_is_not_used),
        cmocka_unit_test(test_origins),         cmocka_unit_test(test_requested_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
