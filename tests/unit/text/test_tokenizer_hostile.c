/* Damaged and hostile tokenizer.json files: an error that names the trouble, or a tokenizer that works; never
 * a crash. */
#include "text_test.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"

#include <math.h>

#define MODEL "'model':{'type':'BPE','vocab':{'a':0,'b':1,'ab':2},'merges':['a b']}"

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json, *message; /* message: a part of it */
    } cases[] = {
        {"", "tokenizer.json"},
        {"[]", "model"},
        {"{}", "model"},
        {"{'model':{'type':'Unigram','vocab':[],'merges':[]}}", "Unigram"},
        {"{'model':{'vocab':{'a':0}}}", "merges"},
        {"{'model':{'vocab':{'a':-1},'merges':[]}}", "id"},
        {"{'model':{'vocab':{'a':4194304},'merges':[]}}", "id"},
        {"{'model':{'vocab':{'a':0,'b':0},'merges':[]}}", "id 0"},
        {"{'model':{'vocab':{'a':0},'merges':['a']}}", "merge 0"},
        {"{'model':{'vocab':{'a':0},'merges':['a a']}}", "merge 0"},
        {"{'model':{'vocab':{'a':0},'merges':[['a']]}}", "merge 0"},
        {"{'model':{'vocab':{'a':0},'merges':[7]}}", "merge 0"},
        {"{'model':{'vocab':{'a':0},'merges':[],'dropout':0.5}}", "dropout"},
        {"{'model':{'vocab':{'a':0},'merges':[],'end_of_word_suffix':'</w>'}}", "end_of_word_suffix"},
        {"{'model':{'vocab':{'a':0},'merges':[],'fuse_unk':3}}", "fuse_unk"},
        {"{'normalizer':{'type':'Precompiled'}," MODEL "}", "Precompiled"},
        {"{'normalizer':{'type':'Sequence','normalizers':[{'type':'Nmt'}]}," MODEL "}", "Nmt"},
        {"{'normalizer':{'type':'Replace','pattern':{'Regex':'('},'content':''}," MODEL "}",
         "regular expression"},
        {"{'normalizer':{'type':'Replace','pattern':7,'content':''}," MODEL "}", "pattern"},
        {"{'pre_tokenizer':{'type':'UnicodeScripts'}," MODEL "}", "UnicodeScripts"},
        {"{'pre_tokenizer':{'type':'Split','pattern':{'Regex':'\\\\G'},'behavior':'Isolated'}," MODEL "}",
         "\\G"},
        {"{'pre_tokenizer':{'type':'Split','pattern':{'String':'a'},'behavior':'Sideways'}," MODEL "}",
         "Sideways"},
        {"{'pre_tokenizer':{'type':'Metaspace','replacement':'aa'}," MODEL "}", "replacement"},
        {"{'pre_tokenizer':{'type':'FixedLength','length':0}," MODEL "}", "length"},
        {"{'pre_tokenizer':7," MODEL "}", "pre_tokenizer"},
        {"{'decoder':{'type':'CTC'}," MODEL "}", "CTC"},
        {"{'decoder':{'type':'Strip','content':'a','start':-1,'stop':0}," MODEL "}", "start"},
        {"{'post_processor':{'type':'Odd'}," MODEL "}", "Odd"},
        {"{'post_processor':{'type':'TemplateProcessing','single':[]}," MODEL "}", "sequence A"},
        {"{'post_processor':{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'x'}}]}," MODEL "}",
         "ids"},
        {"{'added_tokens':7," MODEL "}", "added_tokens"},
        {"{'added_tokens':[7]," MODEL "}", "content"},
        {"{'added_tokens':[{'content':'x','lstrip':1}]," MODEL "}", "lstrip"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tokenizer *t = NULL;
        struct error err;
        if (open_quoted(&t, cases[i].json, &err) != STATUS_BAD_FILE || t)
            fail_msg("%s was not refused", cases[i].json);
        if (!strstr(err.message, cases[i].message))
            fail_msg("%s: \"%s\" does not tell of %s", cases[i].json, err.message, cases[i].message);
    }
}

static void use(const struct tokenizer *t)
{
    static const char text[] = "a <s> ab\n\n<image>b'ab  1234 \xC3\xA9\xE4\xB8\xAD\xFF"
                               "A\xCC\x81 end  ";
    const struct byte_range plain[] = {{1, 4}, {9, 12}};
    for (unsigned flags = 0; flags < 4; flags++) {
        struct token_list ids = encode_part(t, text, sizeof text - 1, plain, flags & 1 ? 2 : 0, flags);
        struct buffer decoded = decode(t, ids.ids, ids.count, flags & 1),
                      streamed = stream(t, ids.ids, ids.count, flags & 1);
        assert_int_equal(decoded.length, streamed.length);
        assert_memory_equal(decoded.data, streamed.data, decoded.length);
        buffer_release(&decoded);
        buffer_release(&streamed);
        token_list_release(&ids);
    }
    for (int32_t id = -2; id < 40; id++) {
        struct buffer piece;
        buffer_init(&piece, BUFFER_NO_LIMIT);
        tokenizer_token_bytes(t, id, &piece);
        tokenizer_is_special(t, id);
        buffer_release(&piece);
    }
    tokenizer_find(t, "a");
    tokenizer_bos(t);
}

static const char *const seeds[] = {
    "{'added_tokens':[{'id':0,'content':'<s>','special':true,'lstrip':true},{'id':7,'content':'<image>','"
    "rstrip':true,"
    "'normalized':true}],'normalizer':{'type':'Sequence','normalizers':[{'type':'Prepend','prepend':'_'},"
    "{'type':'Replace','pattern':{'String':' '},'content':'_'},{'type':'NFKC'},{'type':'Lowercase'}]},"
    "'pre_tokenizer':{'type':'Metaspace','replacement':'_','prepend_scheme':'first','split':true},"
    "'post_processor':{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'<s>','type_id':0}},"
    "{'Sequence':{'id':'A','type_id':0}}],'special_tokens':{'<s>':{'id':'<s>','ids':[0],'tokens':['<s>']}}},"
    "'decoder':{'type':'Sequence','decoders':[{'type':'Replace','pattern':{'String':'_'},'content':' '},"
    "{'type':'ByteFallback'},{'type':'Fuse'},{'type':'Strip','content':' ','start':1,'stop':1}]},"
    "'model':{'type':'BPE','unk_token':'<u>','fuse_unk':true,'byte_fallback':true,'vocab':{'<s>':0,'<u>':1,'"
    "a':2,'b':3,"
    "'_':4,'ab':5,'_a':6,'<0xE4>':7,'<0xB8>':8},'merges':['a b',['_','a']]}}",
    "{'added_tokens':[{'id':4,'content':'w','single_word':true,'normalized':false}],'normalizer':{'type':'"
    "NFC'},"
    "'pre_tokenizer':{'type':'Sequence','pretokenizers':[{'type':'Split','pattern':{'Regex':'(?i:a|b)|\\\\p{"
    "N}{1,3}|"
    "[^\\\\s]+|\\\\s+(?!\\\\S)'},'behavior':'MergedWithNext','invert':false},{'type':'Digits','individual_"
    "digits':true},"
    "{'type':'Punctuation','behavior':'Contiguous'},{'type':'ByteLevel','add_prefix_space':true,'use_regex':"
    "true}]},"
    "'post_processor':{'type':'Sequence','processors':[{'type':'ByteLevel'},{'type':'RobertaProcessing','cls'"
    ":['a',0],"
    "'sep':['b',1]}]},'decoder':{'type':'ByteLevel'},"
    "'model':{'type':'BPE','ignore_merges':true,'vocab':{'a':0,'b':1,'ab':2,'1':3},'merges':['a b']}}",
};

/* A byte changed, a stretch cut out or doubled. */
static char *mutate(const char *seed, uint32_t round, size_t *length)
{
    size_t n = strlen(seed);
    char *json = malloc(2 * n + 1);
    memcpy(json, seed, n + 1);
    for (size_t i = 0; i < n; i++)
        if (json[i] == '\'')
            json[i] = '"';
    for (uint32_t k = 0; k <= round % 3; k++) {
        struct random_words r = random_philox(11, k, round, 0, 0);
        size_t at = r.x[0] % n, size = 1 + r.x[1] % 24;
        if (size > n - at)
            size = n - at;
        if (r.x[2] % 4 == 0 && n - size > 2) {
            memmove(json + at, json + at + size, n - at - size);
            n -= size;
        } else if (r.x[2] % 4 == 1 && n + size < 2 * strlen(seed)) {
            memmove(json + at + size, json + at, n - at);
            n += size;
        } else if (r.x[2] % 4 == 2) {
            json[at] = "{}[]\",:0123456789-abn_<>\\ul.+*?()|^$"[r.x[3] % 36];
        } else {
            size_t from = r.x[3] % n;
            memmove(json + at, json + from, size < n - from ? size : n - from);
        }
    }
    json[n] = 0;
    *length = n;
    return json;
}

static void test_mutated(void **state)
{
    (void)state;
    size_t opened = 0;
    int64_t slowest = 0;
    const char *rounds = getenv("TOKENIZER_FUZZ_ROUNDS");
    long most = rounds ? strtol(rounds, NULL, 10) : 3000;
    for (uint32_t round = 0; round < (uint32_t)most; round++) {
        size_t length;
        char *json = mutate(seeds[round % 2], round, &length);
        struct tokenizer *t = NULL;
        struct error err = {0};
        int64_t start = clock_ns();
        if (tokenizer_open_json(&t, json, length, &err) == STATUS_OK) {
            use(t);
            opened++;
        } else {
            assert_null(t);
            assert_true(err.message[0] != 0);
        }
        tokenizer_close(t);
        free(json);
        if (clock_ns() - start > slowest)
            slowest = clock_ns() - start;
    }
    assert_true(opened > 50);
    assert_true(slowest < 20 * (int64_t)1000000000);
}

/* GGUF vocabularies of random pieces, types, scores and merges. */
static void test_random_vocab(void **state)
{
    (void)state;
    enum { PIECES = 24, MERGES = 20 };
    static const char *const parts[] = {"a",        "b", "\xE2\x96\x81", "<0x41>", "\xC4\xA0",
                                        "\xC3\xA9", " ", "<s>"};
    static const char *const pres[] = {NULL, "gpt-2", "smollm", "llama-bpe", "nonsense"};
    size_t opened = 0;
    for (uint32_t round = 0; round < 600; round++) {
        char piece[PIECES][40], merge[MERGES][40];
        const char *pieces[PIECES], *merges[MERGES];
        float score[PIECES];
        int32_t type[PIECES];
        for (uint32_t i = 0; i < PIECES; i++) {
            struct random_words r = random_philox(3, i, round, 1, 0), m = random_philox(3, i, round, 2, 0);
            snprintf(piece[i], sizeof piece[i], "%s%s%s", parts[r.x[0] % 8],
                     r.x[1] % 2 ? parts[r.x[1] / 2 % 8] : "", r.x[1] % 3 ? "" : parts[m.x[2] % 8]);
            if (r.x[3] % 30 == 0)
                piece[i][0] = r.x[3] % 60 ? 0 : (char)0xE4;
            score[i] = r.x[2] % 40 ? (float)(r.x[2] % 9) - 4.0f : INFINITY;
            type[i] = (int32_t)(m.x[0] % 9) - 1;
            pieces[i] = piece[i];
            if (i < MERGES) {
                snprintf(merge[i], sizeof merge[i], "%s %s", parts[m.x[1] % 8],
                         m.x[2] % 2 ? parts[m.x[3] % 8] : "ab");
                merges[i] = merge[i];
            }
        }
        struct random_words r = random_philox(3, 99, round, 3, 0);
        struct tokenizer_vocab v = {.model = r.x[0] % 2 ? "llama" : "gpt2",
                                    .pre = pres[r.x[1] % 5],
                                    .count = PIECES,
                                    .piece = pieces,
                                    .score = score,
                                    .type = r.x[0] % 8 ? type : NULL,
                                    .merge = merges,
                                    .merges = MERGES,
                                    .bos = (int32_t)(r.x[2] % (PIECES + 2)) - 1,
                                    .eos = -1,
                                    .unk = r.x[3] % 2 ? 0 : -1,
                                    .add_bos = true,
                                    .add_space_prefix = r.x[3] % 3};
        struct tokenizer *t = NULL;
        struct error err = {0};
        if (tokenizer_open_vocab(&t, &v, &err) == STATUS_OK) {
            use(t);
            opened++;
        }
        tokenizer_close(t);
    }
    assert_true(opened > 100);
}

/* Nesting and patterns meant to take for ever. */
static void test_costly(void **state)
{
    (void)state;
    struct buffer json;
    buffer_init(&json, BUFFER_NO_LIMIT);
    buffer_append_text(&json, "{'normalizer':");
    for (int i = 0; i < 500; i++)
        buffer_append_text(&json, "{'type':'Sequence','normalizers':[");
    for (int i = 0; i < 500; i++)
        buffer_append_text(&json, "]}");
    buffer_append_text(&json, "," MODEL "}");
    struct tokenizer *t = NULL;
    struct error err;
    assert_int_equal(open_quoted(&t, json.data, &err), STATUS_BAD_FILE);
    buffer_release(&json);

    t = open_good(
        "{'pre_tokenizer':{'type':'Split','pattern':{'Regex':'(a|a)*(a|aa)+c'},'behavior':'Isolated'}," MODEL
        "}");
    char *text = malloc(100000);
    memset(text, 'a', 100000);
    int64_t start = clock_ns();
    struct token_list ids = encode_part(t, text, 100000, NULL, 0, 0);
    assert_int_equal(ids.count, 100000);
    assert_true(clock_ns() - start < 30 * (int64_t)1000000000);
    token_list_release(&ids);
    free(text);
    tokenizer_close(t);
}

/* Whichever piece of memory cannot be had: an error, and nothing is lost. */
static void test_no_memory(void **state)
{
    (void)state;
    char *json = strdup(seeds[0]);
    for (char *c = json; *c; c++)
        if (*c == '\'')
            *c = '"';
    enum status status = STATUS_NO_MEMORY;
    struct tokenizer *t = NULL;
    for (long n = 1; status != STATUS_OK; n++) {
        struct error err = {0};
        memory_fail_after(n);
        status = tokenizer_open_json(&t, json, strlen(json), &err);
        memory_fail_after(0);
        assert_true(status == STATUS_OK || !t);
        assert_true(n < 1000);
    }
    free(json);
    status = STATUS_NO_MEMORY;
    struct token_list ids = {0};
    token_list_append(&ids, 5);
    char text[400];
    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < sizeof text; i += 2)
        text[i] = 'b';
    const struct byte_range plain = {0, 3};
    for (long n = 1; status != STATUS_OK; n++) {
        struct error err = {0};
        memory_fail_after(n);
        status = tokenizer_encode(t, text, sizeof text, &plain, 1, TOKENIZER_ADD_SPECIAL, &ids, &err);
        memory_fail_after(0);
        assert_true(status == STATUS_OK || (status == STATUS_NO_MEMORY && ids.count == 1 && ids.ids[0] == 5));
        assert_true(n < 1000);
    }
    token_list_release(&ids);
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused), cmocka_unit_test(test_mutated),   cmocka_unit_test(test_random_vocab),
        cmocka_unit_test(test_costly),  cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
