/* Decoding against Pillow (tests/golden/pictures, made by tools/make_picture_goldens.py), and what is
 * refused. */
#include "picture_test.h"

static struct picture decode_file(const char *path)
{
    size_t length;
    uint8_t *bytes = read_file(path, &length);
    struct picture p = {0};
    struct error err = {0};
    if (picture_decode(&p, bytes, length, &picture_default_limits, &err))
        fail_msg("%s: %s", path, err.message);
    free(bytes);
    return p;
}

/* How far two pictures' bytes are apart, on average. */
static double mean_difference(const struct picture *p, const uint8_t *rgb)
{
    size_t n = 3 * (size_t)p->width * (size_t)p->height;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += abs(p->rgb[i] - rgb[i]);
    return sum / (double)n;
}

static void check_against_ppm(const char *path, const struct picture *p, double allowed)
{
    char ppm_path[256];
    snprintf(ppm_path, sizeof ppm_path, "%s.ppm", path);
    size_t length, pixels = 3 * (size_t)p->width * (size_t)p->height;
    uint8_t *ppm = read_file(ppm_path, &length);
    assert_true(length > pixels);
    double mean = mean_difference(p, ppm + length - pixels);
    if (mean > allowed)
        fail_msg("%s is %g levels off on average; %g is allowed", path, mean, allowed);
    free(ppm);
}

static void equals_pillow(void **state)
{
    (void)state;
    size_t length;
    int n = 0;
    char *manifest = (char *)read_file(PICTURES "manifest.txt", &length), *text = manifest, *line;
    while ((line = next_line(&text)) != NULL) {
        char name[64], kind[8], expected[72], path[128], hex[2 * SHA256_BYTES + 1];
        int width, height;
        assert_int_equal(sscanf(line, "%63s %d %d %7s %71s", name, &width, &height, kind, expected), 5);
        snprintf(path, sizeof path, PICTURES "%s", name);
        struct picture p = decode_file(path);
        if (p.width != width || p.height != height)
            fail_msg("%s is %d x %d, should be %d x %d", name, p.width, p.height, width, height);
        if (strcmp(kind, "mean") == 0) {
            check_against_ppm(path, &p, strtod(expected, NULL));
        } else {
            hash_bytes(p.rgb, 3 * (size_t)width * (size_t)height, hex);
            if (strcmp(hex, expected) != 0)
                fail_msg("%s: other pixels than Pillow's", name);
        }
        picture_release(&p);
        n++;
    }
    assert_true(n > 90);
    free(manifest);
}

static enum status decode(const void *bytes, size_t length, struct picture_limits limits, struct error *err)
{
    struct picture p = {.width = 123, .height = 45, .rgb = NULL};
    enum status status = picture_decode(&p, bytes, length, &limits, err);
    if (!status) {
        picture_release(&p);
    } else { /* untouched */
        assert_int_equal(p.width, 123);
        assert_int_equal(p.height, 45);
        assert_null(p.rgb);
        assert_int_equal(status, err->status);
    }
    return status;
}

static void limits_are_named(void **state)
{
    (void)state;
    size_t length;
    struct error err;
    uint8_t *bytes = read_file(PICTURES "png-2-8.png", &length); /* 13 x 11 */
    struct picture_limits limits = {.max_bytes = length, .max_pixels = 143};
    assert_int_equal(decode(bytes, length, limits, &err), STATUS_OK);
    limits.max_pixels = 142;
    assert_int_equal(decode(bytes, length, limits, &err), STATUS_TOO_LARGE);
    assert_string_equal(err.message, "the picture is 13 x 11 pixels; the limit is 142 in all");
    limits.max_pixels = 143;
    limits.max_bytes = length - 1;
    assert_int_equal(decode(bytes, length, limits, &err), STATUS_TOO_LARGE);
    assert_non_null(strstr(err.message, "bytes; the limit is"));
    free(bytes);
}

/* The pixel limit comes before memory is taken and before the file turns out to be short, in every format. */
static void huge_sizes_are_refused_from_the_header(void **state)
{
    (void)state;
    static const uint8_t gif[] = "GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x01\0\0;";
    static const uint8_t jpeg[] = "\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\1\1\x11\0\xff\xd9";
    static const uint8_t bmp[] =
        "BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\xff\xff\0\0\xff\xff\0\0\1\0\x18\0\0\0\0\0"
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    static const uint8_t png[] =
        "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\2\0\0\0\x39\x67\x4e\x07";
    static const uint8_t webp[] = "RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xfe\xff\0\xfe\xff\0";
    struct error err;
    struct picture_limits limits = picture_default_limits;
    assert_int_equal(decode(gif, sizeof gif - 1, limits, &err), STATUS_TOO_LARGE);
    assert_int_equal(decode(jpeg, sizeof jpeg - 1, limits, &err), STATUS_TOO_LARGE);
    assert_int_equal(decode(bmp, sizeof bmp - 1, limits, &err), STATUS_TOO_LARGE);
    assert_int_equal(decode(png, sizeof png - 1, limits, &err), STATUS_TOO_LARGE);
    assert_int_not_equal(decode(webp, sizeof webp - 1, limits, &err),
                         STATUS_OK); /* libwebp wants a frame first */
}

static void what_is_no_picture_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "x",
                                        "hello",
                                        "BM",
                                        "GIF89a",
                                        "GIF87a\1\0\1\0",
                                        "RIFF....WEBP",
                                        "RIFF",
                                        "RIFF1234WEBPVP8 ",
                                        "\xff\xd8\xff",
                                        "\x89PNG\r\n\x1a\n",
                                        "<svg></svg>"};
    struct error err;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(decode(texts[i], strlen(texts[i]), picture_default_limits, &err),
                         STATUS_BAD_REQUEST);
    assert_string_equal(err.message, "the picture is not a PNG, JPEG, WebP, GIF or BMP file");
}

static void formats_have_names(void **state)
{
    (void)state;
    enum picture_format format;
    static const char *const names[] = {"png", "jpeg", "webp"};
    for (int i = 0; i < 3; i++) {
        assert_true(picture_format_parse(names[i], &format));
        assert_int_equal(format, i);
        assert_string_equal(picture_format_name(format), names[i]);
    }
    assert_true(picture_format_parse("jpg", &format));
    assert_int_equal(format, PICTURE_JPEG);
    assert_false(picture_format_parse("gif", &format));
    assert_false(picture_format_parse("", &format));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_pillow),
        cmocka_unit_test(limits_are_named),
        cmocka_unit_test(huge_sizes_are_refused_from_the_header),
        cmocka_unit_test(what_is_no_picture_is_refused),
        cmocka_unit_test(formats_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
