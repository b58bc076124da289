/* The tokenizer against what the tokenizers library says (tests/golden), and the parts of its contract that
 * the library does not have: plain ranges, vocabularies of GGUF files. */
#include "text_test.h"

struct golden {
    const char *tokenizer, *strings;
};

static const struct golden goldens[] = {
    {GOLDEN "tiny-a/checkpoint/tokenizer.json", GOLDEN "tiny-a/tokenizer.jsonl"},
    {GOLDEN "tiny-b/checkpoint/tokenizer.json", GOLDEN "tiny-b/tokenizer.jsonl"},
    {GOLDEN "tokenizer-32k/tokenizer.json", GOLDEN "tokenizer-32k/tokenizer.jsonl"},
    {GOLDEN "tokenizer-bytelevel/tokenizer.json", GOLDEN "tokenizer-bytelevel/tokenizer.jsonl"},
};

static void expect_list(const struct token_list *ids, const json_t *expected, const char *text)
{
    if (ids->count != json_array_size(expected))
        fail_msg("\"%s\": %zu ids, not %zu", text, ids->count, json_array_size(expected));
    for (size_t i = 0; i < ids->count; i++)
        if (ids->ids[i] != json_integer_value(json_array_get(expected, i)))
            fail_msg("\"%s\": id %zu is %d, not %d", text, i, (int)ids->ids[i],
                     (int)json_integer_value(json_array_get(expected, i)));
}

/* The library puts its prefix in front of a text that spells it, too; a prompt has it once. */
static void check_once(const struct tokenizer *t, const json_t *text, const struct token_list *all)
{
    int32_t bos = tokenizer_bos(t);
    size_t twice = bos >= 0 && all->count > 1 && all->ids[0] == bos && all->ids[1] == bos;
    struct token_list ids =
        encode_part(t, json_string_value(text), json_string_length(text), NULL, 0, TOKENIZER_ADD_ONCE);
    assert_int_equal(ids.count, all->count - twice);
    assert_memory_equal(ids.ids, all->ids + twice, ids.count * sizeof *ids.ids);
    token_list_release(&ids);
}

/* One line of a golden file. */
static void check_line(const struct tokenizer *t, const json_t *line)
{
    const json_t *text = json_object_get(line, "text"), *all = json_object_get(line, "ids");
    const json_t *without = json_object_get(line, "ids_no_special");
    const char *s = json_string_value(text);
    size_t length = json_string_length(text);
    struct token_list ids = encode_part(t, s, length, NULL, 0, 0);
    expect_list(&ids, without, s);
    token_list_release(&ids);
    ids = encode_part(t, s, length, NULL, 0, TOKENIZER_ADD_SPECIAL);
    expect_list(&ids, all, s);
    check_once(t, text, &ids);
    const json_t *shown = json_object_get(line, "decoded"),
                 *full = json_object_get(line, "decoded_with_special");
    expect_text(t, ids.ids, ids.count, true, json_string_value(shown), json_string_length(shown));
    expect_text(t, ids.ids, ids.count, false, json_string_value(full), json_string_length(full));
    token_list_release(&ids);
}

static void each_line(const char *path, const struct tokenizer *t,
                      void (*check)(const struct tokenizer *, const json_t *))
{
    size_t length, lines = 0;
    char *text = read_text(path, &length), *at = text;
    while (at < text + length) {
        json_t *line = json_loadb(at, strcspn(at, "\n"), JSON_ALLOW_NUL, NULL);
        assert_non_null(line);
        check(t, line);
        json_decref(line);
        at += strcspn(at, "\n") + 1;
        lines++;
    }
    assert_true(lines >= 260);
    free(text);
}

static void test_golden(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goldens / sizeof goldens[0]; i++) {
        struct tokenizer *t = open_file(goldens[i].tokenizer);
        each_line(goldens[i].strings, t, check_line);
        tokenizer_close(t);
    }
}

/* A vocabulary as a GGUF file has it, made from a tokenizer.json. A piece scores the better the sooner it is
 * merged. */
struct made {
    struct tokenizer_vocab vocab;
    json_t *root;
    const char **piece, **merge;
    float *score;
    int32_t *type;
};

static struct made make_vocab(const char *path, const char *model)
{
    size_t length, i;
    char *json = read_text(path, &length);
    struct made m = {.root = json_loadb(json, length, 0, NULL)};
    free(json);
    assert_non_null(m.root);
    json_t *part = json_object_get(m.root, "model"), *vocab = json_object_get(part, "vocab"), *value;
    json_t *merges = json_object_get(part, "merges"), *added = json_object_get(m.root, "added_tokens");
    size_t room = json_object_size(vocab) + json_array_size(added), count = 0;
    m.piece = calloc(room, sizeof *m.piece);
    m.score = calloc(room, sizeof *m.score);
    m.type = calloc(room, sizeof *m.type);
    m.merge = calloc(json_array_size(merges) + 1, sizeof *m.merge);
    const char *piece;
    json_object_foreach(vocab, piece, value)
    {
        i = (size_t)json_integer_value(value);
        m.piece[i] = piece;
        m.score[i] = -(float)json_array_size(merges);
        m.type[i] = strlen(piece) == 6 && strncmp(piece, "<0x", 3) == 0 ? 6 : 1;
        count++;
    }
    json_array_foreach(added, i, value)
    {
        size_t id = (size_t)json_integer_value(json_object_get(value, "id"));
        if (id >= count)
            count = id + 1;
        m.piece[id] = json_string_value(json_object_get(value, "content"));
        m.type[id] = 3;
    }
    json_array_foreach(merges, i, value)
    {
        char *both = NULL;
        assert_true(asprintf(&both, "%s %s", json_string_value(json_array_get(value, 0)),
                             json_string_value(json_array_get(value, 1))) > 0);
        m.merge[i] = both;
        char *joined = NULL;
        assert_true(asprintf(&joined, "%s%s", json_string_value(json_array_get(value, 0)),
                             json_string_value(json_array_get(value, 1))) > 0);
        float *score = &m.score[json_integer_value(json_object_get(vocab, joined))];
        if (*score < -(float)i)
            *score = -(float)i;
        free(joined);
    }
    m.vocab = (struct tokenizer_vocab){.model = model,
                                       .count = count,
                                       .piece = m.piece,
                                       .score = m.score,
                                       .type = m.type,
                                       .merge = m.merge,
                                       .merges = json_array_size(merges),
                                       .bos = 1,
                                       .eos = 2,
                                       .unk = -1};
    return m;
}

static void free_vocab(struct made *m)
{
    for (size_t i = 0; i < m->vocab.merges; i++)
        free((char *)m->merge[i]);
    free(m->merge);
    free(m->piece);
    free(m->score);
    free(m->type);
    json_decref(m->root);
}

static void check_ids(const struct tokenizer *t, const json_t *line)
{
    const json_t *text = json_object_get(line, "text"), *full = json_object_get(line, "decoded_with_special");
    struct token_list ids = encode_part(t, json_string_value(text), json_string_length(text), NULL, 0, 0);
    expect_list(&ids, json_object_get(line, "ids_no_special"), json_string_value(text));
    if (json_equal(json_object_get(line, "ids_no_special"), json_object_get(line, "ids")))
        expect_text(t, ids.ids, ids.count, false, json_string_value(full), json_string_length(full));
    token_list_release(&ids);
}

static void test_vocab_llama(void **state)
{
    (void)state;
    struct made m = make_vocab(GOLDEN "tokenizer-32k/tokenizer.json", "llama");
    m.vocab.unk = 0;
    m.vocab.add_space_prefix = m.vocab.add_bos = true;
    m.type[0] = 1; /* this checkpoint does not look for <unk> in a text */
    struct tokenizer *t = NULL;
    struct error err = {0};
    assert_int_equal(tokenizer_open_vocab(&t, &m.vocab, &err), STATUS_OK);
    free_vocab(&m);
    each_line(GOLDEN "tokenizer-32k/tokenizer.jsonl", t, check_ids);
    assert_int_equal(tokenizer_bos(t), 1);
    assert_true(tokenizer_is_special(t, 2));
    assert_false(tokenizer_is_special(t, 300));
    tokenizer_close(t);
}

static void test_vocab_gpt2(void **state)
{
    (void)state;
    struct made m = make_vocab(GOLDEN "tokenizer-bytelevel/tokenizer.json", "gpt2");
    m.vocab.pre = "smollm";
    struct tokenizer *t = NULL;
    struct error err = {0};
    assert_int_equal(tokenizer_open_vocab(&t, &m.vocab, &err), STATUS_OK);
    each_line(GOLDEN "tokenizer-bytelevel/tokenizer.jsonl", t, check_ids);
    assert_int_equal(tokenizer_bos(t), -1);
    tokenizer_close(t);
    m.vocab.pre = "no such rule";
    assert_int_equal(tokenizer_open_vocab(&t, &m.vocab, &err), STATUS_BAD_FILE);
    assert_non_null(strstr(err.message, "no such rule"));
    static const char *const names[] = {"default", "gpt-2",  "llama-bpe",   "qwen2",      "qwen35",
                                        "tekken",  "gpt-4o", "deepseek-v3", "falcon",     "deepseek-coder",
                                        "bloom",   "viking", "bailingmoe",  "seed-coder", "dbrx"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        m.vocab.pre = names[i];
        if (tokenizer_open_vocab(&t, &m.vocab, &err))
            fail_msg("%s: %s", names[i], err.message);
        const char *sample = "It's 12345 caf\xC3\xA9s!\n\n  ok";
        struct token_list ids = encode_part(t, sample, strlen(sample), NULL, 0, 0);
        struct buffer text = decode(t, ids.ids, ids.count, false);
        assert_string_equal(text.data, sample);
        buffer_release(&text);
        token_list_release(&ids);
        tokenizer_close(t);
    }
    free_vocab(&m);
}

static void test_vocab_hostile(void **state)
{
    (void)state;
    static const char *const piece[] = {"<unk>", "\xE2\x96\x81", "a", "\xFF"};
    static const float score[] = {0, -1, -2, -3};
    struct tokenizer_vocab v = {
        .model = "llama", .count = 3, .piece = piece, .score = score, .bos = -1, .eos = -1, .unk = 0};
    struct tokenizer *t;
    struct error err = {0};
    assert_int_equal(tokenizer_open_vocab(&t, &v, &err), STATUS_OK);
    tokenizer_close(t);
    v.bos = 3;
    assert_int_equal(tokenizer_open_vocab(&t, &v, &err), STATUS_BAD_FILE);
    v.bos = -2;
    assert_int_equal(tokenizer_open_vocab(&t, &v, &err), STATUS_BAD_FILE);
    v.bos = -1;
    v.count = 4; /* a piece that is not UTF-8 */
    assert_int_equal(tokenizer_open_vocab(&t, &v, &err), STATUS_BAD_FILE);
    v.count = 3;
    v.score = NULL;
    assert_int_equal(tokenizer_open_vocab(&t, &v, &err), STATUS_BAD_FILE);
    v.model = "bert";
    assert_int_equal(tokenizer_open_vocab(&t, &v, &err), STATUS_BAD_FILE);
    v.model = NULL;
    assert_int_equal(tokenizer_open_vocab(&t, &v, &err), STATUS_BAD_FILE);
    v.model = "gpt2";
    assert_int_equal(tokenizer_open_vocab(&t, &v, &err), STATUS_BAD_FILE);
    v.count = 0;
    assert_int_equal(tokenizer_open_vocab(&t, &v, &err), STATUS_BAD_FILE);
    assert_null(t);
}

/* Added tokens that touch what a person typed are text, and the text around is one. */
static void test_plain(void **state)
{
    (void)state;
    struct tokenizer *t = open_file(GOLDEN "tiny-a/checkpoint/tokenizer.json");
    const char *text = "USER: <image> hello </s> ASSISTANT:";
    size_t length = strlen(text), begin = (size_t)(strstr(text, " hello") - text),
           end = begin + strlen(" hello </s>");
    int32_t image = tokenizer_find(t, "<image>"), stop = tokenizer_find(t, "</s>");
    assert_true(image > 0 && stop > 0 && tokenizer_find(t, "no such piece") == -1);
    const struct byte_range inside = {begin, end}, last_byte = {end - 1, end},
                            first_byte = {end - 4, end - 3}, behind = {end, length}, all = {0, length},
                            none = {5, 5};
    const struct {
        const struct byte_range *plain;
        size_t n;
        unsigned flags;
        bool image, stop;
    } cases[] = {
        {NULL, 0, 0, true, true},        {&inside, 1, 0, true, false},
        {&last_byte, 1, 0, true, false}, {&first_byte, 1, 0, true, false},
        {&behind, 1, 0, true, true},     {&all, 1, 0, false, false},
        {&none, 1, 0, true, true},       {NULL, 0, TOKENIZER_PLAIN, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct token_list ids = encode_part(t, text, length, cases[i].plain, cases[i].n, cases[i].flags);
        bool has_image = false, has_stop = false;
        for (size_t k = 0; k < ids.count; k++) {
            has_image = has_image || ids.ids[k] == image;
            has_stop = has_stop || ids.ids[k] == stop;
        }
        assert_int_equal(has_image, cases[i].image);
        assert_int_equal(has_stop, cases[i].stop);
        if (!has_image && !has_stop)
            expect_text(t, ids.ids, ids.count, true, text, length);
        token_list_release(&ids);
    }
    /* a range does not cut words */
    struct token_list whole = encode_part(t, "seen in the middle", 18, NULL, 0, 0);
    const struct byte_range middle = {6, 9};
    struct token_list cut = encode_part(t, "seen in the middle", 18, &middle, 1, 0);
    assert_int_equal(whole.count, cut.count);
    assert_memory_equal(whole.ids, cut.ids, whole.count * sizeof *whole.ids);
    token_list_release(&whole);
    token_list_release(&cut);
    tokenizer_close(t);
}

static const char small[] =
    "{'added_tokens':["
    "{'id':9,'content':'<x>','special':true},{'id':10,'content':'<x><y>','special':true},"
    "{'id':11,'content':'<l>','lstrip':true,'special':true},{'id':12,'content':'<r>','rstrip':true},"
    "{'id':13,'content':'<n>','normalized':true},{'id':14,'content':'w','single_word':true}],"
    "'normalizer':{'type':'Lowercase'},'pre_tokenizer':null,'post_processor':null,'decoder':{'type':'Fuse'},"
    "'model':{'type':'BPE','unk_token':'?','fuse_unk':true,'vocab':{'?':0,'a':1,'b':2,'ab':3,' "
    "':4,'<':5,'x':6,'>':7,'n':8},"
    "'merges':['a b']}}";

static void test_added(void **state)
{
    (void)state;
    struct tokenizer *t = open_good(small);
    assert_int_equal(tokenizer_size(t), 15);
    expect_ids(t, "ab<x>ab", NULL, 0, 0, (const int32_t[]){3, 9, 3, -1});
    expect_ids(t, "<x><y><x>", NULL, 0, 0, (const int32_t[]){10, 9, -1});
    expect_ids(t, "a  <l> b", NULL, 0, 0, (const int32_t[]){1, 11, 4, 2, -1});
    expect_ids(t, "a <r>  b", NULL, 0, 0, (const int32_t[]){1, 4, 12, 2, -1});
    expect_ids(t, "A<N>b", NULL, 0, 0, (const int32_t[]){1, 13, 2, -1});
    expect_ids(t, "w aw w", NULL, 0, 0, (const int32_t[]){14, 4, 1, 0, 4, 14, -1});
    /* white space that a person typed is not taken along, and a shorter token may stand where a longer one
     * would touch */
    const struct byte_range space = {1, 2}, tail = {3, 6}, word = {1, 4};
    expect_ids(t, "a  <l> b", &space, 1, 0, (const int32_t[]){1, 4, 11, 4, 2, -1});
    expect_ids(t, "<x><y>", &tail, 1, 0, (const int32_t[]){9, 5, 0, 7, -1});
    expect_ids(t, "A<N>b", &word, 1, 0, (const int32_t[]){1, 5, 8, 7, 2, -1});
    tokenizer_close(t);
}

static void test_invalid_utf8(void **state)
{
    (void)state;
    struct tokenizer *t = open_file(GOLDEN "tokenizer-32k/tokenizer.json");
    const char *broken = "a\xFF<image>\xE4\xB8", *repaired = "a\xEF\xBF\xBD<image>\xEF\xBF\xBD";
    struct token_list a = encode_part(t, broken, strlen(broken), NULL, 0, 0);
    struct token_list b = encode_part(t, repaired, strlen(repaired), NULL, 0, 0);
    assert_int_equal(a.count, b.count);
    assert_memory_equal(a.ids, b.ids, a.count * sizeof *a.ids);
    token_list_release(&a);
    token_list_release(&b);
    const struct byte_range plain = {2, 9};
    a = encode_part(t, broken, strlen(broken), &plain, 1, 0);
    for (size_t i = 0; i < a.count; i++)
        assert_int_not_equal(a.ids[i], tokenizer_find(t, "<image>"));
    token_list_release(&a);
    a = encode_part(t, "", 0, NULL, 0, 0);
    assert_int_equal(a.count, 0);
    token_list_release(&a);
    tokenizer_close(t);
}

static void expect_bytes(const struct tokenizer *t, int32_t id, const char *expected)
{
    struct buffer bytes;
    buffer_init(&bytes, BUFFER_NO_LIMIT);
    buffer_append(&bytes, "", 0);
    tokenizer_token_bytes(t, id, &bytes);
    assert_string_equal(bytes.data, expected);
    buffer_release(&bytes);
}

static void test_token_bytes(void **state)
{
    (void)state;
    struct tokenizer *t = open_file(GOLDEN "tokenizer-32k/tokenizer.json");
    expect_bytes(t, tokenizer_find(t, "\xE2\x96\x81the"), " the");
    expect_bytes(t, tokenizer_find(t, "<0xE4>"), "\xE4");
    expect_bytes(t, tokenizer_find(t, "<image>"), "<image>");
    expect_bytes(t, -1, "");
    expect_bytes(t, 1 << 30, "");
    tokenizer_close(t);
    t = open_file(GOLDEN "tokenizer-bytelevel/tokenizer.json");
    expect_bytes(t, tokenizer_find(t, "\xC4\xA0the"), " the");
    expect_bytes(t, tokenizer_find(t, "\xC3\xA4"), "\xE4");
    expect_bytes(t, tokenizer_find(t, "<|im_end|>"), "<|im_end|>");
    tokenizer_close(t);
}

/* A megabyte of anything takes a moment: quadratic work would take minutes. */
static void test_long(void **state)
{
    (void)state;
    static const char *const units[] = {"a", " ",   "ab",           "\xE4\xB8\xAD",
                                        "'", " \n", "<|image_gen_", "a\xCC\x81\xCC\xA3"};
    for (size_t g = 2; g < 4; g++) {
        struct tokenizer *t = open_file(goldens[g].tokenizer);
        for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
            size_t n = strlen(units[i]), length = (1 << 18) / n * n;
            char *text = malloc(length);
            assert_non_null(text);
            for (size_t at = 0; at < length; at += n)
                memcpy(text + at, units[i], n);
            struct token_list ids = encode_part(t, text, length, NULL, 0, 0);
            struct buffer decoded = decode(t, ids.ids, ids.count, false);
            assert_int_equal(decoded.length, length);
            assert_memory_equal(decoded.data, text, length);
            buffer_release(&decoded);
            token_list_release(&ids);
            free(text);
        }
        tokenizer_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),       cmocka_unit_test(test_vocab_llama),
        cmocka_unit_test(test_vocab_gpt2),   cmocka_unit_test(test_vocab_hostile),
        cmocka_unit_test(test_plain),        cmocka_unit_test(test_added),
        cmocka_unit_test(test_invalid_utf8), cmocka_unit_test(test_token_bytes),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
