/* Damaged and malicious pictures: cut at every byte, mutated, bombs, failing memory. Run it under ASan and
 * UBSan. */
#include "picture_test.h"

#include "base/clock.h"
#include "base/memory.h"
#include "engine/picture/deflate.h"
#include "engine/picture/png_chunks.h"

#include <dirent.h>

static const struct picture_limits limits = {.max_bytes = 1 << 20, .max_pixels = 1 << 18};

static struct error last; /* of try_bytes */

/* Decodes a copy with nothing behind it, so that a read past the end is seen. Returns the status. */
static enum status try_bytes(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);
    memcpy(copy, bytes, length);
    struct picture p = {0};
    last = (struct error){0};
    enum status status = picture_decode(&p, copy, length, &limits, &last);
    if (status) {
        assert_true(status == STATUS_BAD_REQUEST || status == STATUS_TOO_LARGE);
        assert_true(last.message[0] && !strstr(last.message, "0x"));
        assert_null(p.rgb);
    } else {
        assert_true(p.width > 0 && p.height > 0 && (int64_t)p.width * p.height <= limits.max_pixels);
        volatile uint8_t sum = 0;
        for (size_t i = 0; i < 3 * (size_t)p.width * (size_t)p.height; i++)
            sum = (uint8_t)(sum + p.rgb[i]);
        int32_t *codes;
        size_t n_codes;
        uint64_t seed;
        uint32_t ordinal;
        if (picture_read_origin(copy, length, &p, &codes, &n_codes, &seed, &ordinal))
            free(codes);
        picture_release(&p);
    }
    free(copy);
    return status;
}

typedef void check_file(const char *name, const uint8_t *bytes, size_t length);

static void for_each_picture(check_file *check)
{
    DIR *folder = opendir(PICTURES);
    assert_non_null(folder);
    int n = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[512];
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || dot == entry->d_name || strcmp(dot, ".txt") == 0 || strcmp(dot, ".ppm") == 0 || !dot[1])
            continue;
        snprintf(path, sizeof path, PICTURES "%s", entry->d_name);
        size_t length;
        uint8_t *bytes = read_file(path, &length);
        check(entry->d_name, bytes, length);
        free(bytes);
        n++;
    }
    closedir(folder);
    assert_true(n > 90);
}

static void cut_everywhere(const char *name, const uint8_t *bytes, size_t length)
{
    (void)name;
    size_t step = length > 2000 ? 7 : 1;
    for (size_t n = 0; n < length; n += step)
        try_bytes(bytes, n);
}

static void cut_files(void **state)
{
    (void)state;
    for_each_picture(cut_everywhere);
}

/* Half a picture is an error and not half a picture. */
static void half_is_refused(const char *name, const uint8_t *bytes, size_t length)
{
    if (try_bytes(bytes, length / 2) == STATUS_OK && !strstr(name, "animated"))
        fail_msg("half of %s was accepted", name);
}

static void halves(void **state)
{
    (void)state;
    for_each_picture(half_is_refused);
}

static void mend_check_sums(uint8_t *file, size_t length)
{
    size_t offset = PNG_SIGNATURE_BYTES;
    struct png_chunk chunk;
    while (length >= PNG_SIGNATURE_BYTES && png_next_chunk(file, length, &offset, &chunk)) {
        uint32_t crc = png_crc(0, chunk.data - 4, chunk.length + 4);
        for (int i = 0; i < 4; i++)
            file[offset - 4 + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    }
}

static uint32_t random_state = 12345;
static int mutants, survivors;
static double slowest;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)(random_state >> 4) * n >> 28);
}

/* One to four changes: a bit, a byte, an extreme value, a stretch moved within the file. */
static void mutate(uint8_t *bytes, size_t length)
{
    static const uint8_t extremes[] = {0, 1, 0x7f, 0x80, 0xff, 0xda, 0xc4};
    for (uint32_t n = 1 + random_below(4); n; n--) {
        /* headers are where the decisions are: half of the changes fall into the first 64 bytes */
        uint32_t range = random_below(2) && length > 64 ? 64 : (uint32_t)length, at = random_below(range);
        switch (random_below(4)) {
        case 0: bytes[at] ^= (uint8_t)(1u << random_below(8)); break;
        case 1: bytes[at] = (uint8_t)random_below(256); break;
        case 2: bytes[at] = extremes[random_below(sizeof extremes)]; break;
        case 3: {
            size_t from = random_below((uint32_t)length), run = 1 + random_below(16);
            size_t left = length - (from > at ? from : at);
            memmove(bytes + at, bytes + from, run < left ? run : left);
            break;
        }
        }
    }
}

static void mutate_many_times(const char *name, const uint8_t *bytes, size_t length)
{
    enum { TIMES = 60 };
    uint8_t *copy = malloc(length);
    for (int i = 0; i < TIMES; i++) {
        memcpy(copy, bytes, length);
        mutate(copy, length);
        if (strstr(name, ".png") && i % 4)
            mend_check_sums(copy, length);
        double start = clock_seconds();
        survivors += try_bytes(copy, length) == STATUS_OK;
        double took = clock_seconds() - start;
        slowest = took > slowest ? took : slowest;
        mutants++;
    }
    free(copy);
}

static void mutated_files(void **state)
{
    (void)state;
    for_each_picture(mutate_many_times);
    assert_true(mutants > 5000);
    assert_true(survivors > mutants / 20 &&
                survivors < mutants * 19 / 20); /* neither all noise nor all harmless */
    assert_true(slowest < 2.0);
}

static void each_allocation_fails(const char *name, const uint8_t *bytes, size_t length)
{
    (void)name;
    for (long n = 1; n < 40; n++) {
        struct picture p = {0};
        struct error err;
        memory_fail_after(n);
        enum status status = picture_decode(&p, bytes, length, &limits, &err);
        memory_fail_after(0);
        if (!status)
            n = 40; /* nothing left to fail */
        else
            assert_null(p.rgb);
        picture_release(&p);
    }
}

static void failing_memory(void **state)
{
    (void)state;
    for_each_picture(each_allocation_fails);
}

/* ---- written to do harm ---- */

static void put_u32be(struct buffer *b, uint32_t v)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        buffer_append_char(b, (char)(v >> shift));
}

static void put_chunk(struct buffer *b, const char *type, const void *data, size_t n)
{
    put_u32be(b, (uint32_t)n);
    size_t start = b->length;
    buffer_append(b, type, 4);
    buffer_append(b, data, n);
    put_u32be(b, png_crc(0, (const uint8_t *)b->data + start, n + 4));
}

static struct buffer begin_png(uint32_t width, uint32_t height, int depth, int color)
{
    struct buffer b;
    buffer_init(&b, BUFFER_NO_LIMIT);
    buffer_append(&b, PNG_SIGNATURE, PNG_SIGNATURE_BYTES);
    uint8_t header[13] = {(uint8_t)(width >> 24),
                          (uint8_t)(width >> 16),
                          (uint8_t)(width >> 8),
                          (uint8_t)width,
                          (uint8_t)(height >> 24),
                          (uint8_t)(height >> 16),
                          (uint8_t)(height >> 8),
                          (uint8_t)height,
                          (uint8_t)depth,
                          (uint8_t)color,
                          0,
                          0,
                          0};
    put_chunk(&b, "IHDR", header, sizeof header);
    return b;
}

/* A little file that unpacks to 64 MB is read as far as its 4 x 4 pixels go, and costs no more. */
static void zip_bomb(void **state)
{
    (void)state;
    enum { UNPACKED = 64 << 20 };
    uint8_t *zeros = calloc(1, UNPACKED);
    struct buffer packed, b = begin_png(4, 4, 8, 2);
    buffer_init(&packed, BUFFER_NO_LIMIT);
    assert_true(deflate_zlib(&packed, zeros, UNPACKED));
    free(zeros);
    put_chunk(&b, "IDAT", packed.data, packed.length);
    put_chunk(&b, "IEND", "", 0);
    double start = clock_seconds();
    assert_int_equal(try_bytes((const uint8_t *)b.data, b.length), STATUS_OK);
    assert_true(clock_seconds() - start < 1.0);
    buffer_release(&packed);
    buffer_release(&b);
}

/* A stream that is whole, but holds fewer rows than the header says; and one row more, which is ignored. */
static void png_too_few_rows(void **state)
{
    (void)state;
    const uint8_t raw[6 * 5] = {0};
    for (size_t rows = 3; rows <= 5; rows++) {
        struct buffer packed, b = begin_png(5, 4, 8, 0);
        buffer_init(&packed, BUFFER_NO_LIMIT);
        assert_true(deflate_zlib(&packed, raw, 6 * rows));
        put_chunk(&b, "IDAT", packed.data, packed.length);
        enum status status = try_bytes((const uint8_t *)b.data, b.length);
        assert_int_equal(status, rows < 4 ? STATUS_BAD_REQUEST : STATUS_OK);
        buffer_release(&packed);
        buffer_release(&b);
    }
}

static void png_sizes(void **state)
{
    (void)state;
    static const uint32_t sides[] = {0, 1, 65535, 65536, 0x7fffffff, 0x80000000, 0xffffffff};
    for (int i = 0; i < 7; i++) {
        for (int j = 0; j < 7; j++) {
            struct buffer b = begin_png(sides[i], sides[j], 16, 6);
            put_chunk(&b, "IDAT", "x", 1);
            enum status status = try_bytes((const uint8_t *)b.data, b.length);
            bool empty = !sides[i] || !sides[j], small = (uint64_t)sides[i] * sides[j] <= 65535;
            assert_int_equal(status, empty || (small && sides[i] < 65536 && sides[j] < 65536)
                                         ? STATUS_BAD_REQUEST
                                         : STATUS_TOO_LARGE);
            buffer_release(&b);
        }
    }
}

/* Chunks whose length runs past the file, or around the end of an int. */
static void png_chunk_lengths(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {2, 13, 0x7fffffff, 0x80000000, 0xfffffff3, 0xfffffff4, 0xffffffff};
    for (int i = 0; i < 7; i++) {
        struct buffer b = begin_png(4, 4, 8, 0);
        put_u32be(&b, lengths[i]);
        buffer_append(&b, "IDATxx", 6);
        assert_int_equal(try_bytes((const uint8_t *)b.data, b.length), STATUS_BAD_REQUEST);
        buffer_release(&b);
    }
}

/* Many empty chunks cost time in proportion to the file. */
static void png_many_chunks(void **state)
{
    (void)state;
    struct buffer b = begin_png(4, 4, 8, 0);
    for (int i = 0; i < 80000; i++)
        put_chunk(&b, i % 2 ? "IDAT" : "tEXt", "", 0);
    double start = clock_seconds();
    assert_int_equal(try_bytes((const uint8_t *)b.data, b.length), STATUS_BAD_REQUEST);
    assert_true(clock_seconds() - start < 2.0);
    buffer_release(&b);
}

#define APPEND(buffer, literal) buffer_append(buffer, literal, sizeof(literal) - 1)

/* A Huffman table that claims 16 * 255 codes, which stb would write past its array. */
static void jpeg_huffman_overflow(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, BUFFER_NO_LIMIT);
    enum { SYMBOLS = 16 * 255, LENGTH = 2 + 17 + SYMBOLS };
    uint8_t head[] = {0xff, 0xd8, 0xff, 0xc4, LENGTH >> 8, LENGTH & 255, 0};
    buffer_append(&b, head, sizeof head);
    for (int i = 0; i < 16; i++)
        buffer_append_char(&b, (char)255);
    for (int i = 0; i < SYMBOLS; i++)
        buffer_append_char(&b, 'A');
    APPEND(&b, "\xff\xc0\0\x0b\x08\0\x10\0\x10\1\1\x11\0\xff\xd9");
    assert_int_equal(try_bytes((const uint8_t *)b.data, b.length), STATUS_BAD_REQUEST);
    assert_non_null(strstr(last.message, "a table or header contradicts itself"));
    buffer_release(&b);
}

/* A scan that decodes with a table the file never set. */
static void jpeg_missing_tables(void **state)
{
    (void)state;
    for (int with_quantizers = 0; with_quantizers < 2; with_quantizers++) {
        struct buffer b;
        buffer_init(&b, BUFFER_NO_LIMIT);
        APPEND(&b, "\xff\xd8");
        if (with_quantizers) {
            APPEND(&b, "\xff\xdb\0\x43\0");
            for (int i = 0; i < 64; i++)
                buffer_append_char(&b, 1);
        }
        APPEND(&b, "\xff\xc0\0\x0b\x08\0\x08\0\x08\1\1\x11\0");
        APPEND(&b, "\xff\xda\0\x08\1\1\0\0\x3f\0\x55\x55\x55\x55\xff\xd9");
        assert_int_equal(try_bytes((const uint8_t *)b.data, b.length), STATUS_BAD_REQUEST);
        assert_non_null(strstr(last.message, "contradicts itself"));
        buffer_release(&b);
    }
}

/* A gray progressive JPEG of 8 x 8, with n scans that refine its first coefficient. */
static struct buffer jpeg_with_scans(int n)
{
    struct buffer b;
    buffer_init(&b, BUFFER_NO_LIMIT);
    APPEND(&b, "\xff\xd8\xff\xdb\0\x43\0");
    for (int i = 0; i < 64; i++)
        buffer_append_char(&b, 1);
    APPEND(&b, "\xff\xc2\0\x0b\x08\0\x08\0\x08\1\1\x11\0");
    APPEND(&b, "\xff\xc4\0\x14\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    for (int i = 0; i < n; i++)
        APPEND(&b, "\xff\xda\0\x08\1\1\0\0\0\x10\0");
    APPEND(&b, "\xff\xd9");
    return b;
}

/* A thousand scans of nothing, each of which would visit every block. */
static void jpeg_many_scans(void **state)
{
    (void)state;
    struct buffer few = jpeg_with_scans(64), many = jpeg_with_scans(1000);
    assert_int_equal(try_bytes((const uint8_t *)few.data, few.length), STATUS_OK);
    assert_int_equal(try_bytes((const uint8_t *)many.data, many.length), STATUS_BAD_REQUEST);
    assert_non_null(strstr(last.message, "more scans"));
    buffer_release(&few);
    buffer_release(&many);
}

/* A few hundred bytes cannot hold 512 x 512 pixels, however they are packed: no memory is taken to find out.
 */
static void too_short_for_their_size(void **state)
{
    (void)state;
    struct buffer jpeg = jpeg_with_scans(1), png = begin_png(512, 512, 8, 2);
    memcpy(jpeg.data + 76, "\2\0\2\0", 4); /* height and width */
    put_chunk(&png, "IDAT", "\x78\x9c", 2);
    assert_int_equal(try_bytes((const uint8_t *)jpeg.data, jpeg.length), STATUS_BAD_REQUEST);
    assert_non_null(strstr(last.message, "too short for its size"));
    assert_int_equal(try_bytes((const uint8_t *)png.data, png.length), STATUS_BAD_REQUEST);
    assert_non_null(strstr(last.message, "too short for its size"));
    buffer_release(&jpeg);
    buffer_release(&png);
}

/* A GIF of 64 bytes that claims 65535 x 65535, and one whose frame lies outside its screen. */
static void gif_sizes(void **state)
{
    (void)state;
    static const uint8_t far_frame[] = "GIF89a\1\0\1\0\0\0\0,\xff\xff\xff\xff\1\0\1\0\0\2\2\x44\1\0;";
    static const uint8_t empty_frame[] = "GIF89a\1\0\1\0\0\0\0,\0\0\0\0\0\0\0\0\0\2\2\x44\1\0;";
    assert_int_equal(try_bytes(far_frame, sizeof far_frame - 1), STATUS_TOO_LARGE);
    assert_int_equal(try_bytes(empty_frame, sizeof empty_frame - 1), STATUS_BAD_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_files),
        cmocka_unit_test(halves),
        cmocka_unit_test(mutated_files),
        cmocka_unit_test(failing_memory),
        cmocka_unit_test(zip_bomb),
        cmocka_unit_test(png_sizes),
        cmocka_unit_test(png_chunk_lengths),
        cmocka_unit_test(png_many_chunks),
        cmocka_unit_test(jpeg_huffman_overflow),
        cmocka_unit_test(jpeg_missing_tables),
        cmocka_unit_test(png_too_few_rows),
        cmocka_unit_test(jpeg_many_scans),
        cmocka_unit_test(too_short_for_their_size),
        cmocka_unit_test(gif_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
