/* Settings from flags, environment and file, in their order; and the texts made from the tables. */
#include "config/config.h"
#include "config/help.h"
#include "config/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct error err;

/* Reads "vargpt COMMAND WORDS...", the words ending with NULL. */
static enum status read_words(struct config *c, enum command command, ...)
{
    char *argv[24] = {(char *)"command"};
    int argc = 1;
    va_list words;
    va_start(words, command);
    for (char *word; (word = va_arg(words, char *)) != NULL;)
        argv[argc++] = word;
    va_end(words);
    err = (struct error){0};
    return config_read(c, command, argc, argv, &err);
}

static void expect_error(const char *message)
{
    assert_int_equal(err.status, STATUS_BAD_REQUEST);
    assert_string_equal(err.message, message);
}

/* A settings file of that text; the path is valid until the next call. */
static char *write_file(const char *text)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/vargpt-config-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
    close(fd);
    return path;
}

static void test_defaults(void **state)
{
    (void)state;
    struct config c;
    assert_int_equal(read_words(&c, COMMAND_SERVE, NULL), STATUS_OK);
    assert_null(c.model);
    assert_string_equal(c.host, "127.0.0.1");
    assert_int_equal(c.port, 8000);
    assert_int_equal(c.cpu_level, CPU_LEVEL_AUTO);
    assert_int_equal(c.log_level, LOG_LEVEL_INFO);
    assert_true(c.max_body == 64 * 1048576);
    assert_true(c.cache == 0);
    assert_false(config_given(&c, "guidance_scale") || config_given(&c, "image_top_p") ||
                 config_given(&c, "image_top_k"));
    assert_null(c.model_name);
    assert_false(config_given(&c, "port"));
    config_release(&c);
}

static void test_flags(void **state)
{
    (void)state;
    struct config c;
    assert_int_equal(read_words(&c, COMMAND_CHAT, "-m", "a", "-ib.png", "--image=c.png", "hello",
                                "--top-p=0.5", "--max_tokens", "12", "--cfg", "3", "--seed", "-1", NULL),
                     STATUS_OK);
    assert_string_equal(c.model, "a");
    assert_int_equal(c.image.count, 2);
    assert_string_equal(c.image.item[0], "b.png");
    assert_string_equal(c.image.item[1], "c.png");
    assert_true(c.top_p == 0.5 && c.guidance_scale == 3);
    assert_int_equal(c.max_tokens, 12);
    assert_true(c.seed == UINT64_MAX);
    assert_true(config_given(&c, "top_p"));
    assert_false(config_given(&c, "top_k"));
    assert_int_equal(c.args.count, 1);
    assert_string_equal(c.args.item[0], "hello");
    config_release(&c);
}

static void test_arguments(void **state)
{
    (void)state;
    struct config c;
    assert_int_equal(read_words(&c, COMMAND_CHAT, "-", NULL), STATUS_OK);
    assert_string_equal(c.args.item[0], "-");
    config_release(&c);
    assert_int_equal(read_words(&c, COMMAND_CHAT, "--", "-m", NULL), STATUS_OK);
    assert_string_equal(c.args.item[0], "-m");
    config_release(&c);
    read_words(&c, COMMAND_CHAT, "what", "is", NULL);
    expect_error("chat takes 1 argument, not also 'is': put text in quotes");
    read_words(&c, COMMAND_SERVE, "what", NULL);
    expect_error("serve takes no argument 'what'");
}

static void test_draw_names(void **state)
{
    (void)state;
    struct config c;
    assert_int_equal(read_words(&c, COMMAND_DRAW, "--top-k", "5", "--top-p", "0.25", "--temperature", "0",
                                "-n", "3", "x", NULL),
                     STATUS_OK);
    assert_int_equal(c.image_top_k, 5);
    assert_true(c.image_top_p == 0.25 && c.image_temperature == 0);
    assert_int_equal(c.n, 3);
    assert_false(config_given(&c, "top_k"));
    config_release(&c);
}

static void test_flag_errors(void **state)
{
    (void)state;
    struct config c;
    read_words(&c, COMMAND_CHAT, "--portt", "1", NULL);
    expect_error("no flag --portt");
    read_words(&c, COMMAND_CHAT, "--port", "1", NULL);
    expect_error("chat does not take --port");
    read_words(&c, COMMAND_CHAT, "-z", NULL);
    expect_error("no flag -z");
    read_words(&c, COMMAND_SERVE, "--port", NULL);
    expect_error("--port: needs a value: N");
    read_words(&c, COMMAND_SERVE, "--port=99999", NULL);
    expect_error("--port: must be a whole number from 0 to 65535");
    read_words(&c, COMMAND_SERVE, "--port", "80x", NULL);
    expect_error("--port: must be a whole number from 0 to 65535");
    read_words(&c, COMMAND_SERVE, "--port", "", NULL);
    expect_error("--port: must be a whole number from 0 to 65535");
    read_words(&c, COMMAND_CHAT, "--top-p", "0", NULL);
    expect_error("--top-p: must be over 0 and at most 1");
    read_words(&c, COMMAND_CHAT, "--temperature", "nan", NULL);
    expect_error("--temperature: must be a number from 0 to 2");
    read_words(&c, COMMAND_SERVE, "--cpu-level", "sse", NULL);
    expect_error("--cpu-level: must be one of auto, scalar, avx2, avx512");
    read_words(&c, COMMAND_CHAT, "--seed", "18446744073709551616", NULL);
    expect_error("--seed: must be a whole number of 64 bits");
    read_words(&c, COMMAND_INSPECT, "--no-model", NULL);
    expect_error("no flag --no-model");
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } right[] = {{"0", 0},       {"4096", 4096},       {"8G", 8ull << 30}, {"512m", 512 << 20},
                 {"1.5K", 1536}, {"2GiB", 2ull << 30}, {"3KB", 3072},      {"1T", 1ull << 40}};
    static const char *const wrong[] = {"", "G", "-1", "1X", "1GG", "1e99", "0x10", "1 G"};
    struct config c;
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        assert_int_equal(read_words(&c, COMMAND_SERVE, "--cache", right[i].text, NULL), STATUS_OK);
        assert_true(c.cache == right[i].bytes);
        config_release(&c);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(read_words(&c, COMMAND_SERVE, "--cache", wrong[i], NULL), STATUS_BAD_REQUEST);
}

static void test_switches(void **state)
{
    (void)state;
    struct config c;
    assert_int_equal(read_words(&c, COMMAND_INSPECT, "--json", "x", NULL), STATUS_OK);
    assert_true(c.json);
    assert_string_equal(c.args.item[0], "x");
    config_release(&c);
    assert_int_equal(read_words(&c, COMMAND_INSPECT, "--json", "--no-json", NULL), STATUS_OK);
    assert_false(c.json);
    config_release(&c);
    assert_int_equal(read_words(&c, COMMAND_CHAT, "-h", "--nonsense", NULL), STATUS_OK);
    assert_true(c.help);
    config_release(&c);
}

static void test_precedence(void **state)
{
    (void)state;
    struct config c;
    char *path =
        write_file("{\"port\": 1, \"threads\": 2, \"context\": 3, \"host\": \"::1\", \"model_name\": null}");
    setenv("VARGPT_CONFIG", path, 1);
    setenv("VARGPT_PORT", "10", 1);
    setenv("VARGPT_THREADS", "20", 1);
    assert_int_equal(read_words(&c, COMMAND_SERVE, "--port", "100", NULL), STATUS_OK);
    assert_int_equal(c.port, 100);
    assert_int_equal(c.threads, 20);
    assert_int_equal(c.context, 3);
    assert_string_equal(c.host, "::1");
    assert_int_equal(c.max_connections, 1200);
    assert_true(config_given(&c, "context"));
    assert_false(config_given(&c, "model_name"));
    config_release(&c);

    setenv("VARGPT_THREADS", "many", 1);
    read_words(&c, COMMAND_SERVE, NULL);
    expect_error("VARGPT_THREADS: must be a whole number from 0 to 1024");
    unsetenv("VARGPT_CONFIG");
    unsetenv("VARGPT_PORT");
    unsetenv("VARGPT_THREADS");
    unlink(path);
}

static void test_file(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message; /* after the path */
    } wrong[] = {
        {"{\"prot\": 1}", ": no setting \"prot\": see vargpt config --example"},
        {"{\"port\": \"1\"}", ": \"port\": must be a whole number"},
        {"{\"port\": 1.5}", ": \"port\": must be a whole number"},
        {"{\"port\": -1}", ": \"port\": must be a whole number from 0 to 65535"},
        {"{\"port\": true}", ": \"port\": must be a whole number"},
        {"{\"host\": 1}", ": \"host\": must be a string"},
        {"{\"host\": \"a\\u0000b\"}", ": line 1: "},
        {"{\"cache\": [1]}", ": \"cache\": must be a whole number of bytes, or a string such as \"512M\""},
        {"{\"temperature\": \"1\"}", ": \"temperature\": must be a number"},
        {"{\"output\": \"a.png\"}", ": \"output\" is for the command line only"},
        {"{\"config\": \"a\"}", ": \"config\" is for the command line only"},
        {"{\"port\": 1, \"port\": 2}", ": line 1: duplicate object key"},
        {"[]", ": must be a JSON object"},
    };
    struct config c;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *path = write_file(wrong[i].text), message[256];
        assert_int_equal(read_words(&c, COMMAND_SERVE, "--config", path, NULL), STATUS_BAD_REQUEST);
        snprintf(message, sizeof message, "%s%s", path, wrong[i].message);
        if (strstr(wrong[i].message, ": line")) /* jansson's words follow */
            assert_int_equal(strncmp(err.message, message, strlen(message)), 0);
        else
            assert_string_equal(err.message, message);
        unlink(path);
    }
    char *path = write_file("{\"cache\": \"2G\", \"max_body\": 4096, \"temperature\": 0, \"seed\": -2}");
    assert_int_equal(read_words(&c, COMMAND_SERVE, "--config", path, NULL), STATUS_OK);
    assert_true(c.cache == 2ull << 30 && c.max_body == 4096 && c.temperature == 0);
    assert_true(c.seed == UINT64_MAX - 1);
    config_release(&c);
    unlink(path);
    assert_int_equal(read_words(&c, COMMAND_SERVE, "--config", "/nowhere", NULL), STATUS_BAD_REQUEST);
    expect_error("/nowhere: cannot be read: name another file with --config");
}

/* ---- texts ---- */

static char *read_all(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    size_t n = fread(text, 1, (1 << 20) - 1, file);
    text[n] = 0;
    fclose(file);
    return text;
}

static void expect_file(const char *path, void (*make)(struct buffer *))
{
    struct buffer made;
    char *kept = read_all(path);
    buffer_init(&made, BUFFER_NO_LIMIT);
    make(&made);
    assert_string_equal(made.data, kept);
    buffer_release(&made);
    free(kept);
}

static void test_example(void **state)
{
    (void)state;
    struct config c;
    expect_file("config/vargpt.example.json", help_example);
    assert_int_equal(read_words(&c, COMMAND_SERVE, "--config", "config/vargpt.example.json", NULL),
                     STATUS_OK);
    assert_int_equal(c.port, 8000);
    config_release(&c);
}

static void test_manual(void **state)
{
    (void)state;
    expect_file("docs/vargpt.1", help_manual);
}

static void test_help(void **state)
{
    (void)state;
    for (int i = 0; i < COMMAND_COUNT; i++) {
        struct buffer text;
        buffer_init(&text, BUFFER_NO_LIMIT);
        help_command((enum command)i, &text);
        assert_non_null(strstr(text.data, "Examples:\n  "));
        for (const char *line = text.data; *line; line += strcspn(line, "\n") + 1)
            assert_true(strcspn(line, "\n") <= 100);
        buffer_release(&text);
        assert_int_equal(help_command_find(help_command_name((enum command)i)), i);
    }
    assert_int_equal(help_command_find("sing"), -1);
}

static void test_names_differ(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_settings; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(settings[i].name, settings[j].name);
            assert_true(!settings[i].letter || settings[i].letter != settings[j].letter);
        }
        assert_true((settings[i].value != NULL) == (settings[i].type != SETTING_FLAG));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),     cmocka_unit_test(test_flags),
        cmocka_unit_test(test_arguments),    cmocka_unit_test(test_draw_names),
        cmocka_unit_test(test_flag_errors),  cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_switches),     cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_file),         cmocka_unit_test(test_example),
        cmocka_unit_test(test_manual),       cmocka_unit_test(test_help),
        cmocka_unit_test(test_names_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
