/* The vision tower's pixels: against the golden vectors of the reference (tests/golden/tiny-*), and against
 * transformers' arithmetic on made-up pictures of all shapes (tests/golden/pictures/vision-inputs.txt). */
#include "picture_test.h"

#include "base/memory.h"
#include "engine/picture/vision_input.h"

#include <math.h>

static struct vision_preprocess clip(int edge, int crop_width, int crop_height)
{
    return (struct vision_preprocess){.resize = true,
                                      .center_crop = true,
                                      .rescale = true,
                                      .normalize = true,
                                      .shortest_edge = edge,
                                      .crop_width = crop_width,
                                      .crop_height = crop_height,
                                      .resample = RESAMPLE_BICUBIC,
                                      .rescale_factor = 1.0 / 255,
                                      .mean = {0.48145466f, 0.4578275f, 0.40821073f},
                                      .std = {0.26862954f, 0.26130258f, 0.27577711f}};
}

/* A float32 tensor's bytes in a safetensors file, found by its name in the JSON header; n: how many floats it
 * must have. */
static const float *find_tensor(const uint8_t *file, const char *name, size_t n)
{
    char key[128];
    snprintf(key, sizeof key, "\"%s\":", name);
    uint64_t header;
    memcpy(&header, file, 8);
    const char *at = memmem(file + 8, header, key, strlen(key));
    if (!at)
        fail_msg("no tensor %s", name);
    const char *offsets = strstr(at, "\"data_offsets\":[");
    unsigned long long from, to;
    assert_int_equal(sscanf(offsets, "\"data_offsets\":[%llu,%llu]", &from, &to), 2);
    assert_int_equal(to - from, n * sizeof(float));
    return (const float *)(const void *)(file + 8 + header + from);
}

static void check_golden(const char *folder, int edge)
{
    static const char *const names[] = {"wide.png",  "tall.png",    "dot.png",    "small.png", "gray.png",
                                        "alpha.png", "palette.png", "square.png", "big.png",   "photo.jpg"};
    char path[128];
    size_t length, n = 3 * (size_t)edge * (size_t)edge;
    snprintf(path, sizeof path, "tests/golden/%s/expected.safetensors", folder);
    uint8_t *expected = read_file(path, &length);
    float *pixels = malloc(n * sizeof *pixels), *want = malloc(n * sizeof *want);
    struct vision_preprocess v = clip(edge, edge, edge);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char tensor[64];
        struct picture p;
        struct error err;
        snprintf(path, sizeof path, "tests/golden/%s/images/%s", folder, names[i]);
        uint8_t *bytes = read_file(path, &length);
        assert_int_equal(picture_decode(&p, bytes, length, &picture_default_limits, &err), STATUS_OK);
        assert_int_equal(vision_input_make(&p, &v, pixels, &err), STATUS_OK);
        snprintf(tensor, sizeof tensor, "preprocess.%s", names[i]);
        memcpy(want, find_tensor(expected, tensor, n), n * sizeof *want);
        double worst = 0, sum = 0;
        for (size_t k = 0; k < n; k++) {
            double d = fabs((double)pixels[k] - (double)want[k]);
            worst = d > worst ? d : worst;
            sum += d;
        }
        if (strstr(names[i], ".jpg") ? sum / (double)n > 0.02 : worst > 0)
            fail_msg("%s %s: worst %g, mean %g", folder, names[i], worst, sum / (double)n);
        picture_release(&p);
        free(bytes);
    }
    free(want);
    free(pixels);
    free(expected);
}

static void equals_the_golden_vectors(void **state)
{
    (void)state;
    check_golden("tiny-a", 56);
    check_golden("tiny-b", 70);
}

static void equals_transformers(void **state)
{
    (void)state;
    size_t length;
    int n = 0;
    char *cases = (char *)read_file(PICTURES "vision-inputs.txt", &length), *text = cases, *line;
    while ((line = next_line(&text)) != NULL) {
        char expected[72], hex[2 * SHA256_BYTES + 1];
        int width, height, edge, crop_width, crop_height;
        assert_int_equal(
            sscanf(line, "%d %d %d %d %d %71s", &width, &height, &edge, &crop_width, &crop_height, expected),
            6);
        struct picture p = made_up_picture(width, height);
        struct vision_preprocess v = clip(edge, crop_width, crop_height);
        size_t size = 3 * (size_t)crop_width * (size_t)crop_height * sizeof(float);
        float *pixels = malloc(size);
        assert_int_equal(vision_input_make(&p, &v, pixels, NULL), STATUS_OK);
        hash_bytes(pixels, size, hex);
        if (strcmp(hex, expected) != 0)
            fail_msg("%d x %d, edge %d, crop %d x %d differs", width, height, edge, crop_width, crop_height);
        free(pixels);
        picture_release(&p);
        n++;
    }
    assert_true(n >= 60);
    free(cases);
}

static void steps_can_be_left_out(void **state)
{
    (void)state;
    struct picture p = made_up_picture(6, 4);
    float pixels[3 * 6 * 4];
    struct vision_preprocess v = {.crop_width = 6, .crop_height = 4};
    assert_int_equal(vision_input_make(&p, &v, pixels, NULL), STATUS_OK);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 24; i++)
            assert_true(pixels[24 * c + i] == p.rgb[3 * i + c]);
    v.rescale = true;
    v.rescale_factor = 0.5;
    assert_int_equal(vision_input_make(&p, &v, pixels, NULL), STATUS_OK);
    assert_true(pixels[24 + 7] == p.rgb[3 * 7 + 1] * 0.5f);
    v.resize = true;
    v.resize_width = 6;
    v.resize_height = 4;
    assert_int_equal(vision_input_make(&p, &v, pixels, NULL), STATUS_OK);
    struct error err;
    v.resize_width = 7; /* without a crop, only the exact size will do */
    assert_int_equal(vision_input_make(&p, &v, pixels, &err), STATUS_BAD_REQUEST);
    picture_release(&p);
}

/* The longest pictures there are: quickly, and without memory for what the crop throws away. */
static void extreme_shapes(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {1, 65535}, {65535, 1}, {2, 65535}, {65535, 3}};
    float *pixels = malloc(3 * 336 * 336 * sizeof *pixels);
    struct vision_preprocess v = clip(336, 336, 336);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct picture p = made_up_picture(sizes[i][0], sizes[i][1]);
        for (int method = RESAMPLE_NEAREST; method <= RESAMPLE_BICUBIC; method++) {
            v.resample = (enum resample)method;
            assert_int_equal(vision_input_make(&p, &v, pixels, NULL), STATUS_OK);
            assert_true(isfinite(pixels[0]));
        }
        picture_release(&p);
    }
    struct picture p = made_up_picture(1, 65535);
    struct error err;
    v = clip(40000, 8, 8); /* 40000 * 65535 does not fit */
    assert_int_equal(vision_input_make(&p, &v, pixels, &err), STATUS_BAD_REQUEST);
    picture_release(&p);
    free(pixels);
}

static void failed_allocations_are_errors(void **state)
{
    (void)state;
    struct picture p = made_up_picture(30, 20);
    float pixels[3 * 8 * 8];
    int failures = 0;
    for (int method = RESAMPLE_NEAREST; method <= RESAMPLE_BICUBIC; method++) {
        struct vision_preprocess v = clip(8, 8, 8);
        v.resample = (enum resample)method;
        for (long n = 1; n < 15; n++) {
            memory_fail_after(n);
            enum status status = vision_input_make(&p, &v, pixels, NULL);
            memory_fail_after(0);
            assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
            failures += status != STATUS_OK;
        }
    }
    assert_true(failures > 20);
    picture_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_golden_vectors),     cmocka_unit_test(equals_transformers),
        cmocka_unit_test(steps_can_be_left_out),         cmocka_unit_test(extreme_shapes),
        cmocka_unit_test(failed_allocations_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
