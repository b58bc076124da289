/* Which way up: EXIF in both byte orders, what is not one, XMP; and the eight ways to turn a picture. */
#include "picture_test.h"

#include "engine/picture/exif.h"

#define LITTLE "II\x2a\0\x08\0\0\0\1\0"
#define BIG    "MM\0\x2a\0\0\0\x08\0\1"

struct exif_case {
    const char *bytes;
    size_t length;
    int orientation;
};
#define CASE(literal, orientation)                                                                           \
    {                                                                                                        \
        literal, sizeof(literal) - 1, orientation                                                            \
    }

static void exif_blocks(void **state)
{
    (void)state;
    static const struct exif_case cases[] = {
        CASE(LITTLE "\x12\1\3\0\1\0\0\0\6\0\0\0", 6),
        CASE(BIG "\1\x12\0\3\0\0\0\1\0\x08\0\0", 8),
        CASE("Exif\0\0" BIG "\1\x12\0\3\0\0\0\1\0\x08\0\0", 8),
        CASE("Exif\0\0Exif\0\0" BIG "\1\x12\0\3\0\0\0\1\0\x08\0\0", 8),
        CASE(LITTLE "\x12\1\1\0\1\0\0\0\5\0\0\0", 5),                /* a byte */
        CASE(BIG "\1\x12\0\4\0\0\0\1\0\0\0\3", 3),                   /* a long */
        CASE(LITTLE "\x12\1\3\0\1\0\0\0\x09\0\0\0", 0),              /* no such orientation */
        CASE(LITTLE "\x12\1\3\0\2\0\0\0\6\0\6\0", 0),                /* two values */
        CASE(LITTLE "\x12\1\5\0\1\0\0\0\6\0\0\0", 0),                /* a fraction */
        CASE(LITTLE "\x13\1\3\0\1\0\0\0\6\0\0\0", 0),                /* another tag */
        CASE("II\x2b\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0", 0), /* not TIFF */
        CASE("II\x2a\0\xff\xff\xff\xff\1\0\x12\1\3\0\1\0\0\0\6\0\0\0", 0),
        CASE("II\x2a\0\x08\0\0\0\xff\xff\x12\1\3\0\1\0\0\0\6\0\0\0", 6), /* counts more than there is */
        CASE("", 0),
        CASE("Exif\0\0", 0),
        CASE("II\x2a\0\x08\0\0\0", 0),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t n = 0; n <= cases[i].length; n++) { /* cut short, in memory of just that size */
            uint8_t *copy = malloc(n ? n : 1);
            memcpy(copy, cases[i].bytes, n);
            int found = exif_orientation(copy, n);
            if (n == cases[i].length && found != cases[i].orientation)
                fail_msg("case %zu: %d instead of %d", i, found, cases[i].orientation);
            assert_true(found == 0 || found == cases[i].orientation);
            free(copy);
        }
    }
}

static void xmp_packets(void **state)
{
    (void)state;
    static const struct exif_case cases[] = {
        CASE("<a tiff:Orientation=\"6\">", 6),
        CASE("<tiff:Orientation>3</tiff:Orientation>", 3),
        CASE("tiff:Orientation='6'", 0),
        CASE("tiff:Orientation=\"x\" tiff:Orientation=\"8\"", 8),
        CASE("tiff:Orientatio", 0),
        CASE("", 0),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t n = 0; n <= cases[i].length; n++) {
            uint8_t *copy = malloc(n ? n : 1);
            memcpy(copy, cases[i].bytes, n);
            int found = xmp_orientation(copy, n);
            assert_true(found == cases[i].orientation || (found == 0 && n < cases[i].length));
            free(copy);
        }
    }
}

/* Where each upright pixel of a 3 x 2 picture abc/def comes from. */
static void turning(void **state)
{
    (void)state;
    static const char *const upright[9] = {"abcdef", "abcdef", "cbafed", "fedcba", "defabc",
                                           "adbecf", "daebfc", "fcebda", "cfbead"};
    for (int orientation = 0; orientation <= 9; orientation++) {
        struct picture p = {.width = 3, .height = 2, .rgb = malloc(18)};
        for (int i = 0; i < 18; i++)
            p.rgb[i] = (uint8_t)("abcdef"[i / 3] + 100 * (i % 3 == 1));
        assert_int_equal(orientation_apply(&p, orientation, NULL), STATUS_OK);
        assert_int_equal(p.width, orientation >= 5 && orientation <= 8 ? 2 : 3);
        assert_int_equal(p.width * p.height, 6);
        for (int i = 0; i < 18; i++)
            assert_int_equal(p.rgb[i], (uint8_t)(upright[orientation % 9][i / 3] + 100 * (i % 3 == 1)));
        picture_release(&p);
    }
}

/* Pictures wider than the strips that are turned at a time. */
static void turning_back(void **state)
{
    (void)state;
    static const int inverse[9] = {0, 1, 2, 3, 4, 5, 8, 7, 6};
    for (int orientation = 1; orientation <= 8; orientation++) {
        struct picture p = made_up_picture(101, 67), same = made_up_picture(101, 67);
        assert_int_equal(orientation_apply(&p, orientation, NULL), STATUS_OK);
        assert_int_equal(orientation_apply(&p, inverse[orientation], NULL), STATUS_OK);
        assert_int_equal(p.width, 101);
        assert_memory_equal(p.rgb, same.rgb, 3 * 101 * 67);
        picture_release(&same);
        picture_release(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exif_blocks),
        cmocka_unit_test(xmp_packets),
        cmocka_unit_test(turning),
        cmocka_unit_test(turning_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
