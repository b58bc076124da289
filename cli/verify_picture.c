/* Drawing pictures, encoding them, the constants of the image decoder and the random numbers. */
#include "cli/verify.h"

#include "base/memory.h"
#include "base/random.h"
#include "engine/prompt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 128, ORDINALS_PER_CHOICE = 65536 };

static const char *join(char out[NAME_SIZE], const char *kind, const char *of, const char *what)
{
    snprintf(out, NAME_SIZE, "%s%s.%s", kind, of, what);
    return out;
}

/* ---- comparing ---- */

static void compare_codes(struct golden *g, const char *name, const int32_t *codes, size_t n)
{
    struct golden_tensor want;
    if (!golden_find(g, name, &want))
        return;
    size_t wrong = want.count > n ? want.count - n : n - want.count;
    for (size_t i = 0; i < n && i < want.count; i++)
        wrong += want.value[i] != codes[i];
    golden_tell_equal(g, name, wrong, want.count);
    golden_tensor_release(&want);
}

/* The first rows of what was shown of a scale, as many as are expected. */
static void compare_first_rows(struct golden *g, const char *name, const struct run_rows *got,
                               double tolerance)
{
    struct golden_tensor want;
    if (!golden_find(g, name, &want))
        return;
    if (!got || want.n_dims != 2 || got->rows < want.shape[0] || got->cols != want.shape[1])
        golden_tell_failure(g, name, "[%d, %d] computed, another shape expected", got ? got->rows : 0,
                            got ? got->cols : 0);
    else
        golden_compare(g, name, got->values, want.count, tolerance);
    golden_tensor_release(&want);
}

/* [cells, channels] against an expected (channels, side, side). */
static void compare_map(struct golden *g, const char *name, const struct run_rows *got, double tolerance)
{
    if (!got) {
        golden_tell_failure(g, name, "not computed");
        return;
    }
    size_t rows = (size_t)got->rows, cols = (size_t)got->cols;
    float *turned = xmalloc(rows * cols * sizeof *turned + 1);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < cols; c++)
            turned[c * rows + r] = got->values[r * cols + c];
    }
    golden_compare(g, name, turned, rows * cols, tolerance);
    free(turned);
}

/* Every step-th pixel of 8-bit RGB against an expected (height, width, 3). */
static void compare_pixels(struct golden *g, const char *name, const struct picture *got)
{
    struct golden_tensor want;
    double worst = 0;
    if (!golden_find(g, name, &want))
        return;
    int64_t height = want.shape[0], width = want.shape[1];
    if (!got->rgb || want.n_dims != 3 || want.shape[2] != 3 || height < 1 || width < 1 ||
        got->height % height || got->width % width || got->height < height || got->width < width) {
        golden_tell_failure(g, name, "%d x %d pixels drawn, another shape expected", got->width, got->height);
        goto out;
    }
    int64_t step_y = got->height / height, step_x = got->width / width;
    for (int64_t y = 0; y < height; y++) {
        for (int64_t x = 0; x < width * 3; x++) {
            int64_t at = (y * step_y * got->width + x / 3 * step_x) * 3 + x % 3;
            worst = fmax(worst, fabs(got->rgb[at] - want.value[y * width * 3 + x]));
        }
    }
    golden_tell_error(g, name, worst, 1);
out:
    golden_tensor_release(&want);
}

/* [side * side, 3] against every step-th pixel as (3, height, width). */
static void compare_shades(struct golden *g, const char *name, const struct run_rows *got,
                           const struct picture *size)
{
    struct golden_tensor want;
    double worst = 0;
    if (!golden_find(g, name, &want))
        return;
    int64_t height = want.shape[1], width = want.shape[2];
    if (!got || got->cols != 3 || got->rows != size->width * size->height || want.n_dims != 3 ||
        want.shape[0] != 3 || height < 1 || width < 1 || size->height % height || size->width % width ||
        size->height < height || size->width < width) {
        golden_tell_failure(g, name, "another shape expected");
        goto out;
    }
    int64_t step_y = size->height / height, step_x = size->width / width;
    for (int64_t i = 0; i < 3 * height * width; i++) {
        int64_t c = i / (height * width), y = i / width % height, x = i % width;
        double error = fabs(got->values[(y * step_y * size->width + x * step_x) * 3 + c] - want.value[i]);
        worst = error <= worst ? worst : error;
    }
    golden_tell_error(g, name, worst, 1e-3);
out:
    golden_tensor_release(&want);
}

static void compare_png(struct golden *g, const char *file, const struct picture *got)
{
    struct picture want = {0};
    struct error err = {0};
    double worst = 0;
    if (golden_picture(g, file, &want, &err)) {
        golden_tell_failure(g, file, "%s", err.message);
    } else if (!got->rgb || want.width != got->width || want.height != got->height) {
        golden_tell_failure(g, file, "%d x %d pixels drawn, %d x %d expected", got->width, got->height,
                            want.width, want.height);
    } else {
        for (int64_t i = 0; i < (int64_t)want.width * want.height * 3; i++)
            worst = fmax(worst, abs(got->rgb[i] - want.rgb[i]));
        golden_tell_error(g, file, worst, 1);
    }
    picture_release(&want);
}

/* ---- generate ---- */

static void check_scale(struct golden *g, const char *of, const struct traced_run *run, int scale)
{
    static const struct {
        const char *what;
        enum trace_point point;
        double tolerance;
    } part[] = {
        {"hidden", TRACE_SCALE_HIDDEN, 2e-4},
        {"cond_logits", TRACE_COND_LOGITS, 1e-3},
        {"uncond_logits", TRACE_UNCOND_LOGITS, 1e-3},
        {"f_hat", TRACE_FEATURE_MAP, 1e-4},
    };
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof name, "generate.%s.%s.%d", of, part[i].what, scale);
        const struct run_rows *got = traced_run_find(run, part[i].point, scale);
        if (!golden_has(g, name) || (part[i].point == TRACE_UNCOND_LOGITS && !got))
            continue; /* the set shows some scales only; without guidance see check_unguided */
        if (part[i].point == TRACE_FEATURE_MAP)
            compare_map(g, name, got, part[i].tolerance);
        else
            compare_first_rows(g, name, got, part[i].tolerance);
    }
}

static void check_drawing(struct golden *g, const char *of, const json_t *one, const struct traced_run *run)
{
    char name[NAME_SIZE];
    const char *png = json_string_value(json_object_get(one, "png"));
    for (int s = 0; s < engine_config(g->engine)->drawing.n_scales; s++)
        check_scale(g, of, run, s);
    compare_codes(g, join(name, "generate.", of, "tokens"), run->codes, run->n_codes);
    compare_pixels(g, join(name, "generate.", of, "image"), &run->picture);
    if (golden_has(g, join(name, "generate.", of, "image_f")))
        compare_shades(g, name, traced_run_find(run, TRACE_PICTURE, 0), &run->picture);
    if (png)
        compare_png(g, png, &run->picture);
}

static void set_drawing(struct request *request, const json_t *one)
{
    const char *mode = json_string_value(json_object_get(one, "mode"));
    json_int_t ordinal = json_integer_value(json_object_get(one, "image"));
    request->draw.mode = DRAW_NOW;
    request->draw.seed = (uint64_t)json_integer_value(json_object_get(one, "seed"));
    request->draw.guidance = (float)json_number_value(json_object_get(one, "cfg"));
    request->draw.filter = (struct choice_filter){
        .temperature = mode && !strcmp(mode, "argmax") ? 0 : 1,
        .top_k = (int)json_integer_value(json_object_get(one, "top_k")),
        .top_p = (float)json_number_value(json_object_get(one, "top_p")),
    };
    request->choice = (uint32_t)(ordinal / ORDINALS_PER_CHOICE);
    request->draw.first_picture = (uint32_t)(ordinal % ORDINALS_PER_CHOICE);
}

/* Without guidance the unconditional branch is not run at all. The set has its logits all the same: they are
 * taken from a run with guidance too small to change a logit. */
static void check_unguided(struct golden *g, const char *of, const json_t *one)
{
    char name[NAME_SIZE];
    struct traced_run run;
    struct request *request = verify_case_prompt(g, join(name, "generate.", of, "prompt"), one);
    if (!request)
        return;
    set_drawing(request, one);
    request->draw.guidance = 1e-30f;
    if (verify_run(g, join(name, "generate.", of, "uncond_logits"), request, &run)) {
        for (int s = 0; s < engine_config(g->engine)->drawing.n_scales; s++) {
            snprintf(name, sizeof name, "generate.%s.uncond_logits.%d", of, s);
            if (golden_has(g, name))
                compare_first_rows(g, name, traced_run_find(&run, TRACE_UNCOND_LOGITS, s), 1e-3);
        }
    }
    traced_run_release(&run);
}

static void check_generate(struct golden *g, const char *of, const json_t *one)
{
    char name[NAME_SIZE];
    struct traced_run run;
    struct request *request = verify_case_prompt(g, join(name, "generate.", of, "prompt"), one);
    if (!request)
        return;
    set_drawing(request, one);
    bool guided = request->draw.guidance != 0;
    if (verify_run(g, join(name, "generate.", of, "run"), request, &run))
        check_drawing(g, of, one, &run);
    traced_run_release(&run);
    if (!guided)
        check_unguided(g, of, one);
}

void verify_generate(struct golden *g)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)golden_cases(g, "generate"), i, one)
    {
        const char *of = json_string_value(json_object_get(one, "name"));
        if (of)
            check_generate(g, of, one);
        else
            golden_tell_failure(g, "generate", "cases.json: case %zu has no name", i);
    }
}

/* ---- encode ---- */

/* A prompt in which the model drew the picture itself, without codes: the engine encodes it. */
static struct request *drawn_request(struct golden *g, const char *name, const char *file)
{
    struct picture picture = {0};
    struct error err = {0};
    struct request *request = request_new();
    enum status status = golden_picture(g, file, &picture, &err);
    struct prompt_part ask = {.kind = PROMPT_TEXT, .text = "Draw.", .length = 5};
    struct prompt_part drawn = {.kind = PROMPT_DRAWN, .picture = &picture};
    struct prompt_message messages[] = {{"user", &ask, 1}, {"assistant", &drawn, 1}};
    if (status == STATUS_OK)
        status = prompt_build(g->engine, messages, 2, false, request, &err);
    picture_release(&picture);
    request->text.max_tokens = 0;
    request->draw.mode = DRAW_NEVER;
    if (status == STATUS_OK)
        return request;
    golden_tell_failure(g, name, "%s", err.message);
    request_close(request);
    return NULL;
}

static void check_encoding(struct golden *g, const char *tensors, const char *file)
{
    char name[NAME_SIZE];
    struct traced_run run;
    struct request *request = drawn_request(g, join(name, "", tensors, "f"), file);
    if (!request)
        return;
    if (verify_run(g, name, request, &run)) {
        const struct run_rows *codes = traced_run_find(&run, TRACE_CODES, 0);
        compare_map(g, name, traced_run_find(&run, TRACE_ENCODED, 0), 1e-3);
        if (codes)
            golden_compare(g, join(name, "", tensors, "tokens"), codes->values, (size_t)codes->cols, 0);
        else
            golden_tell_failure(g, join(name, "", tensors, "tokens"), "not computed");
    }
    traced_run_release(&run);
}

/* A picture drawn with all its codes given: nothing is left to choose. */
static void check_decoding(struct golden *g, const char *tensors)
{
    char name[NAME_SIZE];
    struct golden_tensor codes;
    struct traced_run run;
    if (!golden_find(g, join(name, "", tensors, "tokens"), &codes))
        return;
    json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content", "Draw.");
    struct request *request = verify_prompt(g, name, messages, NULL, 0, true);
    json_decref(messages);
    if (request && codes.count != (size_t)engine_picture_tokens(g->engine)) {
        golden_tell_failure(g, name, "%zu codes, the model has %d", codes.count,
                            engine_picture_tokens(g->engine));
        request_close(request);
    } else if (request) {
        request->draw.mode = DRAW_NOW;
        request->draw.given = xmalloc(codes.count * sizeof *request->draw.given + 1);
        request->draw.n_given = codes.count;
        for (size_t i = 0; i < codes.count; i++)
            request->draw.given[i] = (int32_t)codes.value[i];
        if (verify_run(g, join(name, "", tensors, "reconstruction"), request, &run))
            compare_pixels(g, name, &run.picture);
        traced_run_release(&run);
    }
    golden_tensor_release(&codes);
}

void verify_encode(struct golden *g)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)golden_cases(g, "encode"), i, one)
    {
        const char *file = json_string_value(json_object_get(one, "image"));
        const char *tensors = json_string_value(json_object_get(one, "tensors"));
        if (file && tensors) {
            check_encoding(g, tensors, file);
            check_decoding(g, tensors);
        } else {
            golden_tell_failure(g, "encode", "cases.json: case %zu has no image and tensors", i);
        }
    }
}

/* ---- adaln, rng ---- */

/* "cond", "head" or "block7" as engine_adaln numbers them; false for anything else. */
static bool adaln_block(const char *what, int *block)
{
    char *end;
    bool special = !strcmp(what, "cond") || !strcmp(what, "head");
    long n = strncmp(what, "block", 5) ? -1 : strtol(what + 5, &end, 10);
    if (!special && (n < 0 || n > 100000 || end == what + 5 || *end))
        return false;
    *block = special ? (what[0] == 'c' ? -1 : -2) : (int)n;
    return true;
}

void verify_adaln(struct golden *g)
{
    for (size_t i = 0; g->expected && i < checkpoint_count(g->expected); i++) {
        const char *name = checkpoint_at(g->expected, i)->name, prefix[] = "adaln.";
        int block;
        if (strncmp(name, prefix, sizeof prefix - 1) != 0 || !adaln_block(name + sizeof prefix - 1, &block))
            continue;
        size_t count = engine_adaln(g->engine, block, NULL);
        float *values = xcalloc(count + 1, sizeof *values);
        engine_adaln(g->engine, block, values);
        golden_compare(g, name, values, count, 1e-5);
        free(values);
    }
}

void verify_rng(struct golden *g)
{
    enum { SEED = 1234, POSITION = 5, PICTURE = 0 }; /* README.md of the golden sets */
    struct golden_tensor want;
    if (golden_has(g, "rng.normals") && golden_find(g, "rng.normals", &want)) {
        float *got = xmalloc((want.count + 4) * sizeof *got);
        for (size_t i = 0; i < want.count; i += 4)
            random_normal4(got + i, SEED, (uint32_t)(i / 4), POSITION, PICTURE);
        golden_compare(g, "rng.normals", got, want.count, 1e-6);
        free(got);
        golden_tensor_release(&want);
    }
    if (golden_has(g, "rng.uniforms") && golden_find(g, "rng.uniforms", &want)) {
        double worst = 0;
        for (size_t i = 0; i < want.count; i++) {
            struct random_words w = random_philox(SEED, 0, (uint32_t)i, RANDOM_CODE, PICTURE);
            worst = fmax(worst, fabs(random_unit(w.x[0]) - want.value[i]));
        }
        golden_tell_error(g, "rng.uniforms", worst, 0);
        golden_tensor_release(&want);
    }
}
