/* Lines of the log, as text and as JSON: whatever they quote, a line is one line. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What the call writes to standard error, without its time. */
static char *logged(void (*call)(void))
{
    static char text[4096];
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    call();
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}

static void say_plain(void)
{
    log_info("a \"b\"\nc %d", 1);
}

static void say_fields(void)
{
    const struct log_field f[] = {
        {"id", "req_1", 0}, {"ms", NULL, -12}, {"path", "/a b\"\n\xff\xc3\xa9", 0}, {"none", "", 0}};
    log_fields(LOG_WARNING, "request", f, 4);
}

static void test_text(void **state)
{
    (void)state;
    assert_string_equal(strchr(logged(say_plain), ' '), " info    a \"b\"?c 1\n");
    assert_string_equal(
        strchr(logged(say_fields), ' '),
        " warning request id=req_1 ms=-12 path=\"/a b\\\"\\u000a\\ufffd\xc3\xa9\" none=\"\"\n");
}

static void test_json(void **state)
{
    (void)state;
    log_set_format(LOG_JSON);
    assert_non_null(
        strstr(logged(say_plain), "Z\",\"level\":\"info\",\"message\":\"a \\\"b\\\"\\u000ac 1\"}\n"));
    assert_non_null(strstr(logged(say_fields),
                           ",\"id\":\"req_1\",\"ms\":-12,\"path\":\"/a b\\\"\\u000a\\ufffd\xc3\xa9\","
                           "\"none\":\"\"}\n"));
    log_set_format(LOG_TEXT);
}

static void test_levels(void **state)
{
    (void)state;
    log_set_level(LOG_WARNING);
    assert_string_equal(logged(say_plain), "");
    assert_false(log_wants(LOG_INFO));
    assert_true(log_wants(LOG_ERROR));
    log_set_level(LOG_OFF);
    assert_string_equal(logged(say_fields), "");
    assert_false(log_wants(LOG_OFF));
    log_set_level(LOG_INFO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
