/* Encoding: what we write reads back, PNG exactly; the image tokens in a PNG survive, and nothing else passes
 * for them. */
#include "picture_test.h"

#include "base/memory.h"
#include "engine/picture/deflate.h"
#include "engine/picture/png_chunks.h"
#include "engine/picture/stb.h"

static struct buffer encode(const struct picture *p, enum picture_format format, int quality,
                            const struct picture_origin *origin)
{
    struct buffer out;
    struct error err;
    buffer_init(&out, BUFFER_NO_LIMIT);
    assert_int_equal(picture_encode(p, format, quality, origin, &out, &err), STATUS_OK);
    return out;
}

static struct picture decode(const struct buffer *file)
{
    struct picture p;
    struct error err;
    if (picture_decode(&p, file->data, file->length, &picture_default_limits, &err))
        fail_msg("%s", err.message);
    return p;
}

static struct picture smooth_picture(int width, int height)
{
    struct picture p = made_up_picture(width, height);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                p.rgb[3 * (y * width + x) + c] = (uint8_t)(128 + (x * (c + 1) - y * 2) % 100);
    return p;
}

static void png_is_lossless(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {1, 70}, {70, 1}, {2, 3}, {16, 16}, {97, 61}, {256, 256}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct picture made[2] = {made_up_picture(sizes[i][0], sizes[i][1]),
                                  smooth_picture(sizes[i][0], sizes[i][1])};
        for (int k = 0; k < 2; k++) {
            struct buffer file = encode(&made[k], PICTURE_PNG, 0, NULL);
            struct picture read = decode(&file);
            assert_int_equal(read.width, made[k].width);
            assert_int_equal(read.height, made[k].height);
            assert_memory_equal(read.rgb, made[k].rgb, 3 * (size_t)read.width * (size_t)read.height);
            picture_release(&read);
            buffer_release(&file);
            picture_release(&made[k]);
        }
    }
}

static void lossy_formats_come_close(void **state)
{
    (void)state;
    struct picture p = smooth_picture(64, 48);
    size_t last_size[2] = {0, 0};
    for (int quality = 10; quality <= 100; quality += 45) {
        for (int format = PICTURE_JPEG; format <= PICTURE_WEBP; format++) {
            struct buffer file = encode(&p, (enum picture_format)format, quality, NULL);
            struct picture read = decode(&file);
            assert_int_equal(read.width, 64);
            assert_int_equal(read.height, 48);
            double sum = 0;
            for (size_t i = 0; i < 3 * 64 * 48; i++)
                sum += abs(read.rgb[i] - p.rgb[i]);
            assert_true(sum / (3 * 64 * 48) < (quality == 10 ? 15 : 6));
            assert_true(file.length > last_size[format - 1]); /* quality is heeded */
            last_size[format - 1] = file.length;
            picture_release(&read);
            buffer_release(&file);
        }
    }
    picture_release(&p);
}

static void quality_is_clamped(void **state)
{
    (void)state;
    struct picture p = smooth_picture(16, 16);
    for (int format = PICTURE_JPEG; format <= PICTURE_WEBP; format++) {
        struct buffer low = encode(&p, (enum picture_format)format, -5, NULL);
        struct buffer zero = encode(&p, (enum picture_format)format, 0, NULL);
        struct buffer high = encode(&p, (enum picture_format)format, 1000, NULL);
        assert_int_equal(low.length, zero.length);
        assert_true(high.length > low.length);
        buffer_release(&low);
        buffer_release(&zero);
        buffer_release(&high);
    }
    picture_release(&p);
}

static void a_full_buffer_is_an_error(void **state)
{
    (void)state;
    struct picture p = made_up_picture(40, 40);
    struct buffer out;
    struct error err;
    for (int format = PICTURE_PNG; format <= PICTURE_WEBP; format++) {
        buffer_init(&out, 100);
        assert_int_equal(picture_encode(&p, (enum picture_format)format, 90, NULL, &out, &err),
                         STATUS_NO_MEMORY);
        buffer_release(&out);
    }
    picture_release(&p);
}

static void failed_allocations_are_errors(void **state)
{
    (void)state;
    struct picture p = made_up_picture(40, 40);
    const int32_t codes[3] = {1, 2, 3};
    const struct picture_origin origin = {.codes = codes, .n_codes = 3};
    int failures = 0;
    for (int format = PICTURE_PNG; format <= PICTURE_WEBP; format++) {
        for (long n = 1; n < 50; n++) {
            struct buffer out;
            struct error err;
            buffer_init(&out, BUFFER_NO_LIMIT);
            memory_fail_after(n);
            enum status status = picture_encode(&p, (enum picture_format)format, 90, &origin, &out, &err);
            memory_fail_after(0);
            assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
            failures += status != STATUS_OK;
            buffer_release(&out);
        }
    }
    assert_true(failures > 5);
    picture_release(&p);
}

/* ---- image tokens ---- */

struct read_back {
    int32_t *codes;
    size_t n_codes;
    uint64_t seed;
    uint32_t ordinal;
};

/* From a copy in memory of just that size. */
static bool read_origin(const struct buffer *file, const struct picture *decoded, struct read_back *r)
{
    *r = (struct read_back){0};
    uint8_t *copy = malloc(file->length ? file->length : 1);
    if (file->length)
        memcpy(copy, file->data, file->length);
    bool found =
        picture_read_origin(copy, file->length, decoded, &r->codes, &r->n_codes, &r->seed, &r->ordinal);
    free(copy);
    return found;
}

static void tokens_come_back(void **state)
{
    (void)state;
    static const int32_t largest[] = {0, 15, 16, 4095, 65535, INT32_MAX};
    struct picture p = made_up_picture(20, 10);
    int32_t codes[680];
    for (size_t k = 0; k < sizeof largest / sizeof *largest; k++) {
        for (int i = 0; i < 680; i++)
            codes[i] = (int32_t)((int64_t)largest[k] * i / 679);
        struct picture_origin origin = {.codes = codes,
                                        .n_codes = k == 0 ? 1 : 680,
                                        .seed = UINT64_MAX - k,
                                        .ordinal = UINT32_MAX - (uint32_t)k};
        struct buffer file = encode(&p, PICTURE_PNG, 0, &origin);
        struct picture decoded = decode(&file);
        struct read_back r;
        assert_true(read_origin(&file, &decoded, &r));
        assert_int_equal(r.n_codes, origin.n_codes);
        assert_memory_equal(r.codes, codes, origin.n_codes * sizeof *codes);
        assert_true(r.seed == origin.seed);
        assert_int_equal(r.ordinal, origin.ordinal);
        free(r.codes);
        decoded.rgb[100] ^= 1; /* any other picture is not the one these codes drew */
        assert_false(read_origin(&file, &decoded, &r));
        decoded.rgb[100] ^= 1;
        decoded.width = 10;
        decoded.height = 20;
        assert_false(read_origin(&file, &decoded, &r));
        picture_release(&decoded);
        buffer_release(&file);
    }
    picture_release(&p);
}

static void other_files_have_no_tokens(void **state)
{
    (void)state;
    struct picture p = made_up_picture(5, 5);
    const int32_t code = 7;
    const struct picture_origin origin = {.codes = &code, .n_codes = 1}, none = {.seed = 5};
    struct read_back r;
    for (int format = PICTURE_PNG; format <= PICTURE_WEBP; format++) {
        struct buffer file =
            encode(&p, (enum picture_format)format, 90, format == PICTURE_PNG ? &none : &origin);
        assert_false(read_origin(&file, &p, &r));
        buffer_release(&file);
    }
    struct buffer empty = {0};
    assert_false(read_origin(&empty, &p, &r));
    picture_release(&p);
}

/* The chunk's text and where it stands in the file. */
static size_t find_text(const struct buffer *file, struct png_chunk *chunk)
{
    size_t offset = PNG_SIGNATURE_BYTES;
    while (png_next_chunk((const uint8_t *)file->data, file->length, &offset, chunk))
        if (chunk->type == PNG_TYPE('t', 'E', 'X', 't'))
            return (size_t)(chunk->data - (const uint8_t *)file->data);
    fail_msg("no tEXt chunk");
    return 0;
}

static struct buffer with_text(const struct picture *p, const char *text)
{
    const int32_t code = 7;
    const struct picture_origin origin = {.codes = &code, .n_codes = 1};
    struct buffer file = encode(p, PICTURE_PNG, 0, &origin), out;
    struct png_chunk chunk;
    size_t at = find_text(&file, &chunk), n = strlen(text) + 7;
    uint8_t head[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    buffer_init(&out, BUFFER_NO_LIMIT);
    buffer_append(&out, file.data, at - 8);
    buffer_append(&out, head, 4);
    size_t start = out.length;
    buffer_append(&out, "tEXtvargpt\0", 11);
    buffer_append_text(&out, text);
    uint32_t crc = png_crc(0, (const uint8_t *)out.data + start, out.length - start);
    uint8_t tail[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};
    buffer_append(&out, tail, 4);
    buffer_append(&out, file.data + at + chunk.length + 4, file.length - at - chunk.length - 4);
    buffer_release(&file);
    return out;
}

/* Texts that are nearly right, each with the right digest. */
static void wrong_texts_are_refused(void **state)
{
    (void)state;
    struct picture p = made_up_picture(4, 4);
    const int32_t code = 7;
    const struct picture_origin origin = {.codes = &code, .n_codes = 1};
    struct buffer file = encode(&p, PICTURE_PNG, 0, &origin);
    struct png_chunk chunk;
    size_t at = find_text(&file, &chunk);
    char digest[65] = {0};
    memcpy(digest, file.data + at + chunk.length - 64, 64);
    static const struct {
        const char *text;
        bool fine;
    } cases[] = {
        {"1 seed=5 picture=6 codes=2x3:001fff sha256=", true},
        {"2 seed=5 picture=6 codes=2x3:001fff sha256=", false},
        {"1 seed= picture=6 codes=2x3:001fff sha256=", false},
        {"1 seed=-1 picture=6 codes=2x3:001fff sha256=", false},
        {"1 seed=18446744073709551615 picture=4294967295 codes=1x1:0 sha256=", true},
        {"1 seed=18446744073709551616 picture=6 codes=2x3:001fff sha256=", false},
        {"1 seed=5 picture=4294967296 codes=2x3:001fff sha256=", false},
        {"1 seed=5 picture=6 codes=0x3: sha256=", false},
        {"1 seed=5 picture=6 codes=2x0: sha256=", false},
        {"1 seed=5 picture=6 codes=1x8:7fffffff sha256=", true},
        {"1 seed=5 picture=6 codes=1x8:80000000 sha256=", false},
        {"1 seed=5 picture=6 codes=1x9:000000001 sha256=", false},
        {"1 seed=5 picture=6 codes=3x3:001fff sha256=", false},
        {"1 seed=5 picture=6 codes=1x3:001fff sha256=", false},
        {"1 seed=5 picture=6 codes=2x3:001FFF sha256=", false},
        {"1 seed=5 picture=6 codes=2x3:00-fff sha256=", false},
        {"1 seed=5 picture=6 codes=18446744073709551615x8:001fff sha256=", false},
        {"1 seed=5 picture=6 codes=9223372036854775808x2:001fff sha256=", false},
        {"1 seed=5 picture=6 codes=2x3:001fff sha256=0", false},
        {"1 seed=5 picture=6 codes=400x8:0123456789abcdef", false}, /* no more than the chunk holds is read */
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        snprintf(text, sizeof text, "%s%s", cases[i].text, strstr(cases[i].text, "sha256=") ? digest : "");
        struct buffer altered = with_text(&p, text);
        struct read_back r;
        if (read_origin(&altered, &p, &r) != cases[i].fine)
            fail_msg("\"%s\" was %s", text, cases[i].fine ? "refused" : "accepted");
        free(r.codes);
        buffer_release(&altered);
    }
    /* a byte of the chunk changed without its CRC */
    file.data[at + 10] ^= 1;
    struct read_back r;
    assert_false(read_origin(&file, &p, &r));
    buffer_release(&file);
    picture_release(&p);
}

/* ---- deflate ---- */

static void deflate_round_trips(void **state)
{
    (void)state;
    enum { MOST = 200000 };
    uint8_t *in = malloc(MOST), *back = calloc(1, MOST + STB_INFLATE_SLACK);
    assert_true(in && back);
    static const size_t lengths[] = {0, 1, 2, 3, 4, 257, 258, 259, 5000, 16384, 16385, 70000, MOST};
    uint32_t random = 1;
    for (int kind = 0; kind < 5; kind++) {
        for (size_t i = 0; i < MOST; i++) {
            random = random * 1664525 + 1013904223;
            uint8_t v = (uint8_t)(random >> 24);
            static const char words[] = "the quick brown fox jumps over the lazy dog; ";
            in[i] = kind == 0   ? 0
                    : kind == 1 ? v
                    : kind == 2 ? (uint8_t)(v & v >> 3 & 7)
                    : kind == 3
                        ? (uint8_t)words[i % (sizeof words - 1)]
                        : (uint8_t)(i % 40000 < 300 ? v : i / 1000); /* copies further back than the window */
        }
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            struct buffer out;
            buffer_init(&out, BUFFER_NO_LIMIT);
            assert_true(deflate_zlib(&out, in, lengths[k]));
            size_t n =
                stb_inflate(back, lengths[k] + STB_INFLATE_SLACK, (const uint8_t *)out.data, out.length);
            assert_int_equal(n, lengths[k]);
            assert_memory_equal(in, back, n);
            if (kind == 0 && lengths[k] == MOST)
                assert_true(out.length < MOST / 400);
            if (kind == 1 && lengths[k] == MOST)
                assert_true(out.length < MOST + MOST / 100);
            buffer_release(&out);
        }
    }
    free(back);
    free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_is_lossless),
        cmocka_unit_test(lossy_formats_come_close),
        cmocka_unit_test(quality_is_clamped),
        cmocka_unit_test(a_full_buffer_is_an_error),
        cmocka_unit_test(failed_allocations_are_errors),
        cmocka_unit_test(tokens_come_back),
        cmocka_unit_test(other_files_have_no_tokens),
        cmocka_unit_test(wrong_texts_are_refused),
        cmocka_unit_test(deflate_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
