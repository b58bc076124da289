/* Resizing against Pillow: tests/golden/pictures/resizes.txt has the hashes of what it makes of made-up
 * pictures. */
#include "picture_test.h"

#include "base/memory.h"
#include "engine/picture/resample.h"

static void equals_pillow(void **state)
{
    (void)state;
    size_t length;
    int n = 0;
    char *cases = (char *)read_file(PICTURES "resizes.txt", &length), *text = cases, *line;
    while ((line = next_line(&text)) != NULL) {
        char expected[72], hex[2 * SHA256_BYTES + 1];
        int method, width, height, to_width, to_height;
        assert_int_equal(
            sscanf(line, "%d %d %d %d %d %71s", &method, &width, &height, &to_width, &to_height, expected),
            6);
        struct picture p = made_up_picture(width, height);
        struct resample_window all = {
            .full_width = to_width, .full_height = to_height, .width = to_width, .height = to_height};
        size_t size = 3 * (size_t)to_width * (size_t)to_height;
        uint8_t *out = malloc(size);
        assert_int_equal(resample_picture(&p, (enum resample)method, &all, out, NULL), STATUS_OK);
        hash_bytes(out, size, hex);
        if (strcmp(hex, expected) != 0)
            fail_msg("%d x %d to %d x %d by method %d: other pixels than Pillow's", width, height, to_width,
                     to_height, method);
        if (method == RESAMPLE_BICUBIC) {
            struct picture resized;
            assert_int_equal(picture_resize(&p, to_width, to_height, &resized, NULL), STATUS_OK);
            assert_int_equal(resized.width, to_width);
            assert_int_equal(resized.height, to_height);
            assert_memory_equal(resized.rgb, out, size);
            picture_release(&resized);
        }
        free(out);
        picture_release(&p);
        n++;
    }
    assert_true(n > 100);
    free(cases);
}

/* Any window of a resized picture has the pixels that the whole has there. */
static void windows_are_parts(void **state)
{
    (void)state;
    static const int sizes[][4] = {
        {50, 40, 20, 90}, {7, 90, 60, 13}, {33, 33, 33, 12}, {33, 33, 8, 33}, {2, 3, 41, 39}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct picture p = made_up_picture(sizes[i][0], sizes[i][1]);
        int width = sizes[i][2], height = sizes[i][3];
        for (int method = RESAMPLE_NEAREST; method <= RESAMPLE_BICUBIC; method++) {
            uint8_t *whole = malloc(3 * (size_t)(width * height)),
                    *part = malloc(3 * (size_t)(width * height));
            struct resample_window all = {
                .full_width = width, .full_height = height, .width = width, .height = height};
            assert_int_equal(resample_picture(&p, (enum resample)method, &all, whole, NULL), STATUS_OK);
            for (int k = 0; k < 12; k++) {
                struct resample_window w = all;
                w.left = k * width / 13;
                w.top = (k * 5 % 12) * height / 13;
                w.width = 1 + (k * 7 % 12) * (width - w.left - 1) / 11;
                w.height = 1 + (k * 11 % 12) * (height - w.top - 1) / 11;
                assert_int_equal(resample_picture(&p, (enum resample)method, &w, part, NULL), STATUS_OK);
                for (int y = 0; y < w.height; y++)
                    assert_memory_equal(part + 3 * y * w.width, whole + 3 * ((w.top + y) * width + w.left),
                                        3 * (size_t)w.width);
            }
            free(part);
            free(whole);
        }
        picture_release(&p);
    }
}

static void failed_allocations_are_errors(void **state)
{
    (void)state;
    struct picture p = made_up_picture(30, 20), out;
    struct error err;
    int failures = 0;
    for (long n = 1; n < 15; n++) {
        memory_fail_after(n);
        enum status status = picture_resize(&p, 12, 13, &out, &err);
        memory_fail_after(0);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        failures += status != STATUS_OK;
        if (!status)
            picture_release(&out);
    }
    assert_int_equal(failures, 11); /* the picture; four for each axis' taps; the sums; the ring */
    picture_release(&p);
}

static void sizes_are_checked(void **state)
{
    (void)state;
    struct picture p = made_up_picture(3, 3), out;
    assert_int_equal(picture_resize(&p, 0, 5, &out, NULL), STATUS_BAD_REQUEST);
    assert_int_equal(picture_resize(&p, 5, -1, &out, NULL), STATUS_BAD_REQUEST);
    assert_int_equal(picture_resize(&p, 65536, 1, &out, NULL), STATUS_TOO_LARGE);
    picture_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_pillow),
        cmocka_unit_test(windows_are_parts),
        cmocka_unit_test(failed_allocations_are_errors),
        cmocka_unit_test(sizes_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
