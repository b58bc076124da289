/* Chat templates against transformers' renderings (tests/golden/templates), where the bytes came from, and
 * templates that mean harm. Runs from the source root. */
#include "engine/text/chat_template.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_MESSAGES = 16, MAX_PARTS = 8, NOW = 1700000000 };

#define TEMPLATES "tests/golden/templates/"

struct conversation {
    struct chat_message message[MAX_MESSAGES];
    struct chat_part part[MAX_MESSAGES][MAX_PARTS];
    size_t n;
};

static struct chat_part text_part(const char *text)
{
    return (struct chat_part){CHAT_TEXT, text, strlen(text)};
}

static struct chat_options default_options(void)
{
    return (struct chat_options){.add_generation_prompt = true,
                                 .bos_token = "<s>",
                                 .eos_token = "</s>",
                                 .image_token = "<image>",
                                 .now = NOW};
}

static json_t *load_json(const char *path)
{
    json_error_t error;
    json_t *json = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (!json)
        fail_msg("%s: %s", path, error.text);
    return json;
}

static char *load_file(const char *name, size_t *length)
{
    char path[256];
    struct buffer b;
    snprintf(path, sizeof path, TEMPLATES "%s", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    buffer_init(&b, 1 << 20);
    char *at;
    size_t n;
    while ((at = buffer_reserve(&b, 4096)) && (n = fread(at, 1, 4096, f)) > 0)
        b.length += n;
    fclose(f);
    return buffer_take(&b, length);
}

static void read_turns(json_t *turns, struct conversation *c)
{
    c->n = json_array_size(turns);
    assert_true(c->n <= MAX_MESSAGES);
    for (size_t i = 0; i < c->n; i++) {
        json_t *turn = json_array_get(turns, i), *parts = json_array_get(turn, 1);
        size_t n = json_array_size(parts);
        assert_true(n <= MAX_PARTS);
        for (size_t k = 0; k < n; k++) {
            json_t *part = json_array_get(parts, k);
            c->part[i][k] = json_is_null(part) ? (struct chat_part){.kind = CHAT_IMAGE}
                                               : (struct chat_part){CHAT_TEXT, json_string_value(part),
                                                                    json_string_length(part)};
        }
        c->message[i] = (struct chat_message){json_string_value(json_array_get(turn, 0)), c->part[i], n};
    }
}

/* ---- goldens ---- */

static bool in_ranges(const struct byte_range *ranges, size_t n, size_t at)
{
    for (size_t i = 0; i < n; i++)
        if (at >= ranges[i].begin && at < ranges[i].end)
            return true;
    return false;
}

/* The expected ranges leave white space out: nobody can tell where it came from by looking. */
static void check_plain(const char *name, json_t *expected, const struct chat_rendering *r)
{
    struct byte_range want[64];
    size_t n = json_array_size(expected);
    assert_true(n <= 64);
    for (size_t i = 0; i < n; i++) {
        json_t *range = json_array_get(expected, i);
        want[i].begin = (size_t)json_integer_value(json_array_get(range, 0));
        want[i].end = (size_t)json_integer_value(json_array_get(range, 1));
    }
    for (size_t i = 0; i < r->length; i++)
        if (!strchr(" \n\t", r->text[i]) && in_ranges(want, n, i) != in_ranges(r->plain, r->n_plain, i))
            fail_msg("%s: byte %zu has the wrong origin: %.40s", name, i, r->text + i);
}

static void check_ranges(const struct chat_rendering *r)
{
    size_t after = 0;
    for (size_t i = 0; i < r->n_plain; i++) {
        assert_true(r->plain[i].begin < r->plain[i].end && r->plain[i].end <= r->length);
        assert_true(i == 0 || r->plain[i].begin > after); /* disjoint, and merged where they touch */
        after = r->plain[i].end;
    }
}

static void check_rendering(const char *name, json_t *golden, const struct chat_rendering *r)
{
    json_t *text = json_object_get(golden, "text");
    if (!text)
        fail_msg("%s: rendered, but should fail: %s", name, r->text);
    if (r->length != json_string_length(text) || memcmp(r->text, json_string_value(text), r->length) != 0)
        fail_msg("%s:\nexpected %s\n     got %s", name, json_string_value(text), r->text);
    check_ranges(r);
    if (json_object_get(golden, "plain"))
        check_plain(name, json_object_get(golden, "plain"), r);
}

static void check_failure(const char *name, json_t *golden, const char *stage, const struct error *err)
{
    const char *fails = json_string_value(json_object_get(golden, "fails"));
    const char *words = json_string_value(json_object_get(golden, "words"));
    if (!fails || strcmp(fails, stage) != 0)
        fail_msg("%s: %s", name, err->message);
    assert_int_equal(err->status, strcmp(stage, "open") == 0 ? STATUS_BAD_FILE : STATUS_BAD_REQUEST);
    if (words)
        assert_string_equal(err->message, words);
}

static void check_golden(json_t *golden)
{
    const char *name = json_string_value(json_object_get(golden, "name"));
    const char *form = json_string_value(json_object_get(golden, "form"));
    json_t *source = json_object_get(golden, "template");
    size_t length = json_string_length(source);
    char *file = strncmp(name, "snippets", 8) == 0 ? NULL : load_file(json_string_value(source), &length);
    struct conversation c;
    struct chat_template *t;
    struct chat_rendering r;
    struct error err;
    struct chat_options options = default_options();
    options.add_generation_prompt = json_is_true(json_object_get(golden, "generation"));
    read_turns(json_object_get(golden, "turns"), &c);
    if (chat_template_open(&t, file ? file : json_string_value(source), length, &err) != STATUS_OK) {
        check_failure(name, golden, "open", &err);
    } else {
        if (chat_template_takes_parts(t) != (strcmp(form, "string") != 0))
            fail_msg("%s: takes %s", name, form);
        if (chat_template_render(t, c.message, c.n, &options, &r, &err) != STATUS_OK)
            check_failure(name, golden, "render", &err);
        else
            check_rendering(name, golden, &r);
        chat_rendering_release(&r);
        chat_template_close(t);
    }
    free(file);
}

static void test_goldens(void **state)
{
    (void)state;
    json_t *cases = load_json(TEMPLATES "renderings.json");
    assert_true(json_array_size(cases) > 500);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_golden(json_array_get(cases, i));
    json_decref(cases);
}

/* Messages as a checkpoint's golden cases write them: content is a string or a list of {"type": ...}. */
static void read_messages(json_t *messages, struct conversation *c)
{
    c->n = json_array_size(messages);
    assert_true(c->n <= MAX_MESSAGES);
    for (size_t i = 0; i < c->n; i++) {
        json_t *message = json_array_get(messages, i), *content = json_object_get(message, "content");
        size_t n = json_is_string(content) ? 1 : json_array_size(content);
        assert_true(n <= MAX_PARTS);
        for (size_t k = 0; k < n; k++) {
            json_t *part = json_array_get(content, k);
            const char *text =
                json_string_value(json_is_string(content) ? content : json_object_get(part, "text"));
            c->part[i][k] = text ? text_part(text) : (struct chat_part){.kind = CHAT_IMAGE};
        }
        c->message[i] =
            (struct chat_message){json_string_value(json_object_get(message, "role")), c->part[i], n};
    }
}

/* The checkpoint's own template and the built-in LLaVA format must both give the golden prompts. */
static void check_checkpoint(const char *folder)
{
    char path[256];
    snprintf(path, sizeof path, "tests/golden/%s/checkpoint/chat_template.json", folder);
    json_t *file = load_json(path);
    snprintf(path, sizeof path, "tests/golden/%s/cases.json", folder);
    json_t *cases = load_json(path), *chat = json_object_get(cases, "chat");
    const char *sources[] = {json_string_value(json_object_get(file, "chat_template")), chat_template_llava};
    assert_true(json_array_size(chat) > 0);
    for (int s = 0; s < 2; s++) {
        struct chat_template *t;
        struct error err;
        assert_int_equal(chat_template_open(&t, sources[s], strlen(sources[s]), &err), STATUS_OK);
        assert_true(chat_template_takes_parts(t));
        for (size_t i = 0; i < json_array_size(chat); i++) {
            json_t *one = json_array_get(chat, i);
            struct conversation c;
            struct chat_rendering r;
            struct chat_options options = default_options();
            options.add_generation_prompt = json_is_true(json_object_get(one, "add_generation_prompt"));
            read_messages(json_object_get(one, "messages"), &c);
            assert_int_equal(chat_template_render(t, c.message, c.n, &options, &r, &err), STATUS_OK);
            assert_string_equal(r.text, json_string_value(json_object_get(one, "prompt")));
            check_ranges(&r);
            chat_rendering_release(&r);
        }
        chat_template_close(t);
    }
    json_decref(cases);
    json_decref(file);
}

static void test_checkpoints(void **state)
{
    (void)state;
    check_checkpoint("tiny-a");
    check_checkpoint("tiny-b");
}

/* ---- origin ---- */

static struct chat_rendering render(const char *source, const struct chat_part *parts, size_t n)
{
    struct chat_template *t;
    struct chat_rendering r;
    struct error err;
    struct chat_message message = {"user", parts, n};
    struct chat_options options = default_options();
    if (chat_template_open(&t, source, strlen(source), &err) != STATUS_OK)
        fail_msg("%s: %s", source, err.message);
    if (chat_template_render(t, &message, 1, &options, &r, &err) != STATUS_OK)
        fail_msg("%s: %s", source, err.message);
    chat_template_close(t);
    return r;
}

/* The rendering of one message `content`, with plain bytes shown in square brackets. */
static void check_marks(const char *source, const char *content, const char *expected)
{
    struct chat_part part = text_part(content);
    struct chat_rendering r = render(source, &part, 1);
    struct buffer b;
    buffer_init(&b, 1 << 16);
    size_t at = 0;
    check_ranges(&r);
    for (size_t i = 0; i < r.n_plain; i++) {
        buffer_append(&b, r.text + at, r.plain[i].begin - at);
        buffer_append_text(&b, "[");
        buffer_append(&b, r.text + r.plain[i].begin, r.plain[i].end - r.plain[i].begin);
        buffer_append_text(&b, "]");
        at = r.plain[i].end;
    }
    buffer_append(&b, r.text + at, r.length - at);
    assert_false(buffer_failed(&b));
    assert_string_equal(b.data, expected);
    buffer_release(&b);
    chat_rendering_release(&r);
}

#define C "messages[0].content"

static void test_origin(void **state)
{
    (void)state;
    check_marks("a{{ " C " }}b", "x", "a[x]b");
    check_marks("{{ " C " }}{{ " C " }}", "xy", "[xyxy]");
    check_marks("{{ '<' + " C " + '>' }}", "x", "<[x]>");
    check_marks("{{ '<' ~ " C " | trim ~ '>' }}", "  x ", "<[x]>");
    check_marks("{{ " C "[1:3] }}|{{ " C "[::-1] }}|{{ " C "[0] }}", "abcd", "[bc]|[dcba]|[a]");
    check_marks("{{ " C " | upper }}{{ " C ".title() }}",
                "stra\xC3\x9F"
                "e",
                "[STRASSEStra\xC3\x9F"
                "e]");
    check_marks("{{ " C " | replace('b', '<s>') }}", "abc", "[a]<s>[c]");
    check_marks("{{ 'a-c' | replace('-', " C ") }}", "</s>", "a[</s>]c");
    check_marks("{{ " C ".split(',') | join(';') }}", "a,b", "[a];[b]");
    check_marks("{{ " C ".split(',') }}", "a,b", "['[a]', '[b]']");
    check_marks("{{ " C " | tojson }}", "a\"\n", "\"[a\\\"\\n]\"");
    check_marks("{{ " C " | e }}{{ 'x<' | e }}", "<", "[&lt;]x&lt;");
    check_marks("{{ '%s-%5s' | format(" C ", 'y') }}", "x", "[x]-    y");
    check_marks("{{ '<{}>'.format(" C ") }}", "x", "<[x]>");
    check_marks("{{ " C ".format('y') }}", "x{}", "[x]y");
    check_marks("{{ " C " * 2 }}{{ " C " | length }}", "ab", "[abab]2");
    check_marks("{% set ns = namespace(a='') %}{% set ns.a = ns.a ~ " C " %}{{ ns.a }}", "x", "[x]");
    check_marks("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(" C ") }}", "x", "<[x]>");
    check_marks("{% filter upper %}a{{ " C " }}{% endfilter %}", "x", "A[X]");
    check_marks("{% set b %}a{{ " C " }}{% endset %}{{ b | trim }}", "x ", "a[x]");
    check_marks("{% for c in " C " ~ '' %}{{ c }}.{% endfor %}", "xy", "[x].[y].");
    check_marks("{{ " C " | indent(2) }}", "a\nb", "[a]\n  [b]");
    check_marks("{{ {'k': " C "} }}{{ [" C "] }}", "x", "{'k': '[x]'}['[x]']");
    check_marks("{{ " C " | default('y') }}{{ " C " or 'z' }}{{ 'u' if " C " }}", "x", "[xx]u");
    check_marks("{{ [" C "] | map('upper') | join }}{{ " C ".center(3, '*') }}", "x", "[X]*[x]*");
}

static void test_markers(void **state)
{
    (void)state;
    struct chat_part parts[] = {
        text_part("<image>"), {CHAT_MARKER, "<gen>", 5}, text_part("b"), {.kind = CHAT_IMAGE}};
    struct chat_rendering r = render("{{ " C " }}", parts, 4);
    assert_string_equal(r.text,
                        "<image>\n<image><gen>b"); /* pictures first; then the texts with nothing between */
    assert_int_equal(r.n_plain, 2);
    assert_int_equal(r.plain[0].begin, 8);
    assert_int_equal(r.plain[0].end, 15);
    assert_int_equal(r.plain[1].begin, 20);
    chat_rendering_release(&r);
    r = render(chat_template_llava, parts, 4); /* a marker and its neighbours are one part: no space within */
    assert_string_equal(r.text, "USER: <image>\n<image><gen>b ASSISTANT:");
    assert_int_equal(r.n_plain, 2);
    assert_int_equal(r.plain[0].begin, 14);
    chat_rendering_release(&r);
    struct chat_part two[] = {text_part("a"), text_part("b")};
    r = render(chat_template_llava, two, 2);
    assert_string_equal(r.text, "USER: a b ASSISTANT:");
    chat_rendering_release(&r);
}

static void test_takes_parts(void **state)
{
    static const struct {
        const char *source;
        bool parts;
    } cases[] = {
        {"{{ messages[0].content }}", false},
        {"{% for p in messages[0].content %}{{ p.text }}{% endfor %}", true},
        {"{% for m in messages %}{% for p in m['content'] | selectattr('type', 'equalto', 'text') %}{% "
         "endfor %}{% endfor %}",
         true},
        {"{% for m in messages %}{% set c = m.get('content') %}{% if x %}{% elif y %}{% for p in c %}{% "
         "endfor %}{% endif %}{% endfor %}",
         true},
        {"{% macro show(content) %}{% for p in content %}{% endfor %}{% endmacro %}{{ "
         "show(messages[0].content) }}",
         true},
        {"{{ messages[0]['content'][0]['text'] }}", true},
        {"{{ messages[0]['content'][0] }}{{ messages[0].content[:3] }}", false},
        {"{{ messages[0].content | map(attribute='text') | join }}", true},
        {"{% for w in messages[0].content.split(' ') %}{{ w }}{% endfor %}", false},
        {"{% for m in messages %}{{ m.content | trim }}{% endfor %}", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct chat_template *t;
        struct error err;
        assert_int_equal(chat_template_open(&t, cases[i].source, strlen(cases[i].source), &err), STATUS_OK);
        if (chat_template_takes_parts(t) != cases[i].parts)
            fail_msg("takes_parts: %s", cases[i].source);
        chat_template_close(t);
    }
}

static void test_messages_of_errors(void **state)
{
    struct chat_template *t;
    struct chat_rendering r;
    struct error err;
    struct chat_options options = default_options();
    const char *source = "a\n{{ 'x' | shout }}";
    (void)state;
    assert_int_equal(chat_template_open(&t, source, strlen(source), &err), STATUS_BAD_FILE);
    assert_null(t);
    assert_string_equal(err.message, "chat template, line 2: no filter named 'shout'");
    source = "a\n\n{{ missing.x }}";
    assert_int_equal(chat_template_open(&t, source, strlen(source), &err), STATUS_OK);
    assert_int_equal(chat_template_render(t, NULL, 0, &options, &r, &err), STATUS_BAD_REQUEST);
    assert_string_equal(err.message, "chat template, line 3: 'missing' is undefined");
    assert_null(r.text);
    chat_template_close(t);
    chat_template_close(NULL);
}

/* ---- harm ---- */

/* Opening and rendering must end soon, in whatever way. */
static void survive(const char *source, size_t length)
{
    struct chat_template *t;
    struct chat_rendering r;
    struct error err;
    struct chat_part part = text_part("content");
    struct chat_message message = {"user", &part, 1};
    struct chat_options options = default_options();
    double begin = clock_seconds();
    if (chat_template_open(&t, source, length, &err) == STATUS_OK) {
        chat_template_render(t, &message, 1, &options, &r, &err);
        chat_rendering_release(&r);
        chat_template_close(t);
    }
    double took = clock_seconds() - begin;
    if (took > 30) /* a second or two; sanitizers and busy machines take longer */
        fail_msg("%.100s: took %.1f s", source, took);
}

static void must_fail(const char *source)
{
    struct chat_template *t;
    struct chat_rendering r;
    struct error err;
    struct chat_options options = default_options();
    survive(source, strlen(source));
    enum status status = chat_template_open(&t, source, strlen(source), &err);
    if (status == STATUS_OK) {
        status = chat_template_render(t, NULL, 0, &options, &r, &err);
        chat_rendering_release(&r);
        chat_template_close(t);
    }
    if (status == STATUS_OK)
        fail_msg("should fail: %s", source);
    assert_true(strlen(err.message) > 0);
}

static void test_hostile(void **state)
{
    static const char *const sources[] = {
        "{% for a in range(100000) %}{% for b in range(100000) %}{% for c in range(100000) %}{% endfor %}{% "
        "endfor %}{% endfor %}",
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 1000000000000 }}",
        "{{ 'xxxxxxxx' * 9223372036854775807 }}",
        "{{ [1] * 1000000000000 }}",
        "{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(100000) %}{% set ns.s = ns.s ~ "
        "'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy' %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(n) %}{{ m(n - 1) if n else '' }}{{ m(n - 1) if n else '' }}{% endmacro %}{{ m(60) }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ "
        "ns.l }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(1000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l "
        "| tojson }}",
        "{% set ns = namespace(l=()) %}{% for i in range(1000) %}{% set ns.l = (ns.l,) %}{% endfor %}{{ "
        "{ns.l: 1} }}",
        "{% set ns = namespace(l=[], m=[]) %}{% for i in range(1000) %}{% set ns.l = [ns.l] %}{% set ns.m = "
        "[ns.m] %}{% endfor %}{{ ns.l == ns.m }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ "
        "ns.l == ns.l | list }}{{ ns.l }}",
        "{{ range(99999999999999) }}",
        "{% for i in range(100000) %}{{ 'a' * 100000 }}{% endfor %}",
        "{{ '%99999999d' % 1 }}",
        "{{ '{:99999999}'.format(1) }}",
        "{{ '{:.99999999f}'.format(1.5) }}",
        "{{ '%.99999999f' % 1.5 }}",
        "{{ 'a'.center(9999999999) }}",
        "{{ 'a' | indent(9999999999) ~ ('a\\n' * 10) | indent(9999999999) }}",
        "{{ [1] | tojson(indent=9999999999) }}",
        "{{ [1] | batch(9999999999, 0) | list }}",
        "{{ [1] | slice(9999999999) | list }}",
        "{% set s = 'ab' * 100000 %}{% for i in range(100000) %}{{ s.rfind('ba' * 50000 ~ 'c') }}{% endfor "
        "%}",
        "{% set s = 'a' * 1000000 %}{% for i in range(100000) %}{% set x = s.replace('a', 'bb') %}{% endfor "
        "%}",
        "{% set d = dict() %}{% for i in range(100000) %}{% set d = dict(d, **{i | string: i}) %}{% endfor "
        "%}",
        "{{ 9223372036854775807 + 1 }}",
        "{{ (0 - 9223372036854775807 - 1) // -1 }}{{ -(0 - 9223372036854775807 - 1) }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ 99999999999999999999 }}",
        "{% set ns = namespace(a=1) %}{% set ns.a = ns %}{{ ns }}",
        "{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns.a == [1] }}{{ ns.a | tojson }}",
        "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
        "{{ strftime_now('%c' * 10000) }}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        must_fail(sources[i]);
}

/* prefix, then `middle` again and again, then suffix. */
static void survive_repeated(const char *prefix, const char *middle, const char *suffix, size_t times)
{
    struct buffer b;
    buffer_init(&b, 16 << 20);
    buffer_append_text(&b, prefix);
    for (size_t i = 0; i < times; i++)
        buffer_append_text(&b, middle);
    buffer_append_text(&b, suffix);
    assert_false(buffer_failed(&b));
    survive(b.data, b.length);
    buffer_release(&b);
}

static void test_deep_and_long(void **state)
{
    static const char *const pieces[][3] = {
        {"{{ ", "(", "1"},
        {"{{ ", "[", "1"},
        {"{{ ", "not ", "1 }}"},
        {"{{ ", "-", "1 }}"},
        {"{{ 1", " + 1", " }}"},
        {"{{ 1", " ~ 1", " }}"},
        {"{{ a", ".a", " }}"},
        {"{{ 'a'", "|upper", " }}"},
        {"{{ a", "[0]", " }}"},
        {"", "{% if 1 %}", ""},
        {"", "{% for a in b %}", ""},
        {"{% if 0 %}", "{% elif 0 %}", "{% endif %}"},
        {"", "{{", ""},
        {"", "{%", ""},
        {"", "{#", ""},
        {"{{ '", "\\", "' }}"},
        {"{{ 1", " if 0 else 1", " }}"},
        {"{{ 1", " < 2", " }}"},
        {"{{ f(", "a=1,", ") }}"},
        {"{{ {", "1:1,", "} }}"},
        {"{% raw %}", "{% end", ""},
        {"", "{%    ", ""},
        {"{% macro m(", "a,", ") %}{% endmacro %}"},
        {"{% set ", "a,", " = 1 %}"},
        {"{{ 1", " and 1", " }}"},
        {"{{ f", "()", " }}"},
        {"{% for ", "(", "a in b %}"},
        {"{{ 1 ", "is defined ", "}}"},
        {"{{ 1", "0", " }}"},
        {"", "{{ x }}\r\n", ""},
        {"{% set x", " | upper", " %}a{% endset %}"},
        {"", "{#-#}  ", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        survive_repeated(pieces[i][0], pieces[i][1], pieces[i][2], 300);
        survive_repeated(pieces[i][0], pieces[i][1], pieces[i][2], 60000);
    }
    survive_repeated("", "x", "", 2 << 20);
}

/* Every prefix of a real template, and every template with one byte changed: nothing may crash. */
static void test_damaged(void **state)
{
    static const char *const files[] = {"qwen3.jinja", "llama-3.1.jinja", "qwen3-vl.jinja"};
    (void)state;
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        size_t length;
        char *source = load_file(files[f], &length);
        uint32_t random = 12345;
        for (size_t n = 0; n < length; n += 3)
            survive(source, n);
        for (int i = 0; i < 500; i++) {
            random = random * 1664525 + 1013904223;
            size_t at = random % length;
            char was = source[at];
            source[at] = "%}{\"'|([)-\n\x80"[random >> 16 & 15 ? (random >> 16) % 13 : 0];
            survive(source, length);
            source[at] = was;
        }
        free(source);
    }
}

/* Each allocation fails once in turn: an error each time, and no leak (the sanitizers see). */
static void test_no_memory(void **state)
{
    size_t length;
    char *source = load_file("qwen3-vl.jinja", &length);
    struct chat_part part = text_part("content");
    struct chat_message message = {"user", &part, 1};
    struct chat_options options = default_options();
    enum status status = STATUS_NO_MEMORY;
    (void)state;
    for (long n = 1; status != STATUS_OK; n++) {
        struct chat_template *t;
        struct chat_rendering r;
        struct error err;
        assert_true(n < 10000);
        memory_fail_after(n);
        status = chat_template_open(&t, source, length, &err);
        if (status == STATUS_OK) {
            status = chat_template_render(t, &message, 1, &options, &r, &err);
            chat_rendering_release(&r);
            chat_template_close(t);
        }
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
    }
    memory_fail_after(0);
    free(source);
}

/* A long conversation costs in proportion, and is not refused. */
static void test_large_content(void **state)
{
    size_t n = 4 << 20, length;
    char *content = xmalloc(n), *source = load_file("qwen3.jinja", &length);
    struct chat_part part = {CHAT_TEXT, content, n};
    struct chat_message message = {"user", &part, 1};
    struct chat_options options = default_options();
    struct chat_template *t;
    struct chat_rendering r;
    struct error err;
    (void)state;
    for (size_t i = 0; i < n; i++)
        content[i] = "a \xC3\xA9"[i % 4];
    assert_int_equal(chat_template_open(&t, source, length, &err), STATUS_OK);
    assert_int_equal(chat_template_render(t, &message, 1, &options, &r, &err), STATUS_OK);
    assert_int_equal(r.n_plain, 1);
    assert_int_equal(r.plain[0].end - r.plain[0].begin, n);
    chat_rendering_release(&r);
    chat_template_close(t);
    free(source);
    free(content);
}

int main(void)
{
    setenv("TZ", "UTC", 1); /* strftime_now gives local time, as Python's datetime.now() */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),       cmocka_unit_test(test_checkpoints),
        cmocka_unit_test(test_origin),        cmocka_unit_test(test_markers),
        cmocka_unit_test(test_takes_parts),   cmocka_unit_test(test_messages_of_errors),
        cmocka_unit_test(test_hostile),       cmocka_unit_test(test_deep_and_long),
        cmocka_unit_test(test_damaged),       cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_large_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
