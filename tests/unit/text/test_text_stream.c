/* Streaming: held-back bytes, long runs, and equality with decoding at once. */
#include "text_test.h"

#include "base/random.h"

static const char llama[] =
    "{'added_tokens':[{'id':0,'content':'<s>','special':true}],"
    "'decoder':{'type':'Sequence','decoders':[{'type':'Replace','pattern':{'String':'_'},'content':' '},"
    "{'type':'ByteFallback'},{'type':'Fuse'},{'type':'Strip','content':' ','start':1,'stop':0}]},"
    "'model':{'type':'BPE','byte_fallback':true,'vocab':{'<s>':0,'_a':1,'b':2,'_':3,'<0xE4>':4,'<0xB8>':5,'<"
    "0xAD>':6,"
    "'<0x41>':7,'<0xFF>':8,'<0x+F>':9,'<0xgg>':10},'merges':[]}}";

static const char *const bytes_of = "\xE4\xB8\xAD";

#define REPLACED "\xEF\xBF\xBD"

static void expect(const struct tokenizer *t, const int32_t *ids, size_t n, const char *text)
{
    expect_text(t, ids, n, true, text, strlen(text));
}

static void test_runs(void **state)
{
    (void)state;
    struct tokenizer *t = open_good(llama);
    expect(t, (const int32_t[]){1, 1, 2}, 3, "a ab");
    expect(t, (const int32_t[]){3, 3, 1}, 3, "  a");
    expect(t, (const int32_t[]){4, 5, 6, 2}, 4,
           "\xE4\xB8\xAD"
           "b");
    expect(t, (const int32_t[]){7, 4, 5, 6, 7}, 5,
           "A\xE4\xB8\xAD"
           "A");
    expect(t, (const int32_t[]){7, 4, 5, 2}, 4,
           REPLACED REPLACED REPLACED "b"); /* all bytes of the run, the A too */
    expect(t, (const int32_t[]){7, 4, 5}, 3, REPLACED REPLACED REPLACED);
    expect(t, (const int32_t[]){8, 7}, 2, REPLACED REPLACED);
    expect(t, (const int32_t[]){4, 5, 0, 6, 99, -1, 2}, 7,
           "\xE4\xB8\xAD"
           "b"); /* what gives no text ends no run */
    expect(t, (const int32_t[]){9, 10}, 2, "\x0F<0xgg>");
    expect(t, NULL, 0, "");
    tokenizer_close(t);
}

/* A run that is long lets whole characters go as they come, and breaks only from where it is not UTF-8. */
static void test_long_run(void **state)
{
    (void)state;
    struct tokenizer *t = open_good(llama);
    struct text_stream *s = text_stream_open(t, true);
    struct buffer out, want;
    buffer_init(&out, BUFFER_NO_LIMIT);
    buffer_init(&want, BUFFER_NO_LIMIT);
    int32_t ids[240];
    for (size_t i = 0; i < 240; i++) {
        ids[i] = (int32_t)(4 + i % 3);
        if (i % 3 == 2)
            buffer_append_text(&want, bytes_of);
        text_stream_push(s, ids[i], &out);
        if (i < 64)
            assert_int_equal(out.length, 0);
        else if (i % 3 == 2)
            assert_int_equal(out.length, i + 1);
    }
    text_stream_finish(s, &out);
    assert_string_equal(out.data, want.data);
    text_stream_close(s);
    expect_text(t, ids, 240, true, want.data, want.length);
    ids[239] = 2; /* the last character is cut short */
    buffer_clear(&want);
    for (size_t i = 0; i < 79; i++)
        buffer_append_text(&want, bytes_of);
    buffer_append_text(&want, REPLACED REPLACED "b");
    expect_text(t, ids, 240, true, want.data, want.length);
    buffer_release(&want);
    buffer_release(&out);
    tokenizer_close(t);
}

/* Every decoder, on random ids: what streams is what is decoded at once, and is UTF-8. */
static void test_random(void **state)
{
    (void)state;
    static const char *const decoders[] = {
        "null",
        "{'type':'ByteFallback'}",
        "{'type':'ByteLevel'}",
        "{'type':'Metaspace','replacement':'_','prepend_scheme':'always'}",
        "{'type':'BPEDecoder','suffix':'b'}",
        "{'type':'Fuse'}",
        "{'type':'Strip','content':'b','start':1,'stop':1}",
        "{'type':'Sequence','decoders':[{'type':'ByteFallback'},{'type':'Fuse'},"
        "{'type':'Strip','content':'b','start':2,'stop':2}]}",
        "{'type':'Sequence','decoders':[{'type':'Fuse'},{'type':'Replace','pattern':{'Regex':'b+_?'},'"
        "content':'-'},"
        "{'type':'ByteFallback'},{'type':'Strip','content':'-','start':1,'stop':0}]}",
        "{'type':'Sequence','decoders':[{'type':'ByteLevel'},{'type':'ByteLevel'}]}",
    };
    for (size_t k = 0; k < sizeof decoders / sizeof decoders[0]; k++) {
        char json[2000];
        const char *behind = strstr(llama, "'model'");
        snprintf(json, sizeof json,
                 "{'added_tokens':[{'id':0,'content':'<s>','special':true}],'decoder':%s,%s", decoders[k],
                 behind);
        struct tokenizer *t = open_good(json);
        for (uint32_t round = 0; round < 300; round++) {
            int32_t ids[100];
            size_t n = round % 100;
            for (size_t i = 0; i < n; i++)
                ids[i] = (int32_t)(random_philox(7, (uint32_t)i, round, 0, (uint32_t)k).x[0] % 12);
            struct buffer text = decode(t, ids, n, round & 1);
            expect_text(t, ids, n, round & 1, text.data, text.length);
            buffer_release(&text);
            for (int32_t id = -1; id < 13; id++) {
                struct buffer piece;
                buffer_init(&piece, BUFFER_NO_LIMIT);
                tokenizer_token_bytes(t, id, &piece);
                assert_false(buffer_failed(&piece));
                buffer_release(&piece);
            }
        }
        tokenizer_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_long_run),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
