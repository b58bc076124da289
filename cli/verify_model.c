/* Looking at pictures, and the language model. */
#include "cli/verify.h"

#include "base/memory.h"
#include "engine/picture/vision_input.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool verify_run(struct golden *g, const char *name, struct request *request, struct traced_run *run)
{
    traced_run_start(run, g->engine, request, RUN_ROWS);
    bool done = traced_run_wait(run);
    if (!done)
        golden_tell_failure(g, name, "%s", run->error.message);
    return done;
}

/* ---- preprocess ---- */

static bool is_jpeg(const char *file)
{
    size_t n = strlen(file);
    return n > 4 && (!strcmp(file + n - 4, ".jpg") || !strcmp(file + n - 5, ".jpeg"));
}

static void compare_mean(struct golden *g, const char *name, const float *values, size_t count,
                         double tolerance)
{
    struct golden_tensor want;
    double sum = 0;
    if (!golden_find(g, name, &want))
        return;
    for (size_t i = 0; want.count == count && i < count; i++)
        sum += fabs(values[i] - want.value[i]);
    if (want.count != count)
        golden_tell_failure(g, name, "%zu values, %zu are expected", count, want.count);
    else
        golden_tell_error(g, name, count ? sum / (double)count : 0, tolerance);
    golden_tensor_release(&want);
}

static void check_preprocess(struct golden *g, const char *file, const char *tensor)
{
    const struct vision_preprocess *p = &engine_config(g->engine)->vision.preprocess;
    size_t count = 3 * (size_t)p->crop_width * (size_t)p->crop_height;
    float *pixels = try_malloc(count, sizeof *pixels);
    struct picture picture = {0};
    struct error err = {0};
    if (!pixels || golden_picture(g, file, &picture, &err) || vision_input_make(&picture, p, pixels, &err))
        golden_tell_failure(g, tensor, "%s", err.message);
    else if (is_jpeg(file)) /* other decoders' pixels differ by a level or two */
        compare_mean(g, tensor, pixels, count, 0.02);
    else
        golden_compare(g, tensor, pixels, count, 1e-6);
    picture_release(&picture);
    free(pixels);
}

void verify_preprocess(struct golden *g)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)golden_cases(g, "preprocess"), i, one)
    {
        const char *file = json_string_value(json_object_get(one, "image"));
        const char *tensor = json_string_value(json_object_get(one, "tensor"));
        if (file && tensor)
            check_preprocess(g, file, tensor);
        else
            golden_tell_failure(g, "preprocess", "cases.json: case %zu has no image and tensor", i);
    }
}

/* ---- vision ---- */

/* The last rows of what was shown: a class row that is kept for the model stands before them. */
static void compare_last_rows(struct golden *g, const char *name, const struct traced_run *run,
                              enum trace_point point)
{
    struct golden_tensor want;
    const struct run_rows *got = traced_run_find(run, point, 0);
    if (!golden_find(g, name, &want))
        return;
    if (!got || want.n_dims != 2 || got->rows < want.shape[0] || got->cols != want.shape[1]) {
        golden_tell_failure(g, name, "[%d, %d] computed, another shape expected", got ? got->rows : 0,
                            got ? got->cols : 0);
    } else {
        size_t skip = (size_t)(got->rows - want.shape[0]) * (size_t)got->cols;
        golden_compare(g, name, got->values + skip, want.count, 1e-4);
    }
    golden_tensor_release(&want);
}

static struct request *picture_only_request(struct golden *g, const char *name, const char *file)
{
    struct picture picture = {0};
    struct error err = {0};
    struct request *request = NULL;
    json_t *messages = json_pack("[{s:s, s:[{s:s}]}]", "role", "user", "content", "type", "image");
    if (golden_picture(g, file, &picture, &err))
        golden_tell_failure(g, name, "%s", err.message);
    else
        request = verify_prompt(g, name, messages, &picture, 1, true);
    picture_release(&picture);
    json_decref(messages);
    if (request) {
        request->text.max_tokens = 0;
        request->draw.mode = DRAW_NEVER;
    }
    return request;
}

static void check_vision(struct golden *g, const char *file, const char *features, const char *projected)
{
    struct traced_run run;
    struct request *request = picture_only_request(g, features, file);
    if (!request)
        return;
    if (verify_run(g, features, request, &run)) {
        compare_last_rows(g, features, &run, TRACE_VISION_FEATURES);
        compare_last_rows(g, projected, &run, TRACE_PICTURE_ROWS);
    }
    traced_run_release(&run);
}

void verify_vision(struct golden *g)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)golden_cases(g, "vision"), i, one)
    {
        const char *file = json_string_value(json_object_get(one, "image"));
        const char *features = json_string_value(json_object_get(one, "features"));
        const char *projected = json_string_value(json_object_get(one, "projected"));
        if (file && features && projected)
            check_vision(g, file, features, projected);
        else
            golden_tell_failure(g, "vision", "cases.json: case %zu has no image, features and projected", i);
    }
}

/* ---- llm ---- */

/* One expected tensor of an llm case: "llm.CASE.what". */
static const char *llm_name(char out[128], const char *of, const char *what)
{
    snprintf(out, 128, "llm.%s.%s", of, what);
    return out;
}

static void compare_ids(struct golden *g, const char *name, const int32_t *ids, size_t n)
{
    struct golden_tensor want;
    if (!golden_find(g, name, &want))
        return;
    size_t wrong = want.count > n ? want.count - n : n - want.count;
    for (size_t i = 0; i < n && i < want.count; i++)
        wrong += want.value[i] != ids[i];
    golden_tell_equal(g, name, wrong, want.count);
    golden_tensor_release(&want);
}

/* The rows of the prompt with the numbers in `rows`, one after the other; NULL when one was not shown. */
static float *take_rows(const struct traced_run *run, enum trace_point point,
                        const struct golden_tensor *rows, size_t *count)
{
    float *out = NULL;
    int cols, first_cols = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const float *row = traced_run_row(run, point, (int)rows->value[i], &cols);
        if (!row || (first_cols && cols != first_cols)) {
            free(out);
            return NULL;
        }
        if (!out)
            out = xmalloc(rows->count * (size_t)cols * sizeof *out);
        first_cols = cols;
        memcpy(out + i * (size_t)cols, row, (size_t)cols * sizeof *out);
    }
    *count = rows->count * (size_t)first_cols;
    return out;
}

static void compare_rows(struct golden *g, const char *name, const struct traced_run *run,
                         enum trace_point point, const struct golden_tensor *rows)
{
    size_t count;
    float *values = take_rows(run, point, rows, &count);
    if (values)
        golden_compare(g, name, values, count, 2e-4);
    else
        golden_tell_failure(g, name, "not all of its rows were computed");
    free(values);
}

static void check_llm_rows(struct golden *g, const char *of, const struct traced_run *run, size_t n_ids)
{
    char name[128];
    struct golden_tensor rows, last = {.count = 1, .value = &(double){(double)n_ids - 1}};
    if (golden_find(g, llm_name(name, of, "rows"), &rows)) {
        compare_rows(g, llm_name(name, of, "hidden_rows"), run, TRACE_PROMPT_HIDDEN, &rows);
        compare_rows(g, llm_name(name, of, "logits_rows"), run, TRACE_PROMPT_LOGITS, &rows);
        golden_tensor_release(&rows);
    }
    compare_rows(g, llm_name(name, of, "logits_last"), run, TRACE_PROMPT_LOGITS, &last);
}

static bool is_end(const struct golden *g, double id)
{
    const struct model_config *c = engine_config(g->engine);
    for (int i = 0; i < c->n_end_ids; i++) {
        if (c->end_id[i] == id)
            return true;
    }
    return false;
}

/* The end token ends the expected ids where the reference chose it; the engine does not show it, but says so.
 */
static void check_greedy(struct golden *g, const char *of, const struct traced_run *run,
                         const struct golden_tensor *want)
{
    char name[128];
    struct golden_tensor logprob;
    bool ends = want->count > 0 && is_end(g, want->value[want->count - 1]);
    size_t n = want->count - ends, wrong = n > run->n_tokens ? n - run->n_tokens : run->n_tokens - n;
    size_t both = n < run->n_tokens ? n : run->n_tokens;
    wrong += run->finish != (ends ? FINISH_STOP : FINISH_LENGTH);
    for (size_t i = 0; i < both; i++)
        wrong += want->value[i] != run->token[i].id;
    golden_tell_equal(g, llm_name(name, of, "greedy"), wrong, want->count);

    if (!golden_find(g, llm_name(name, of, "greedy_logprob"), &logprob))
        return;
    double worst = logprob.count == want->count && both == n ? 0 : NAN;
    for (size_t i = 0; i < both && i < logprob.count; i++) {
        double error = fabs(run->token[i].logprob - logprob.value[i]);
        worst = error <= worst ? worst : error;
    }
    golden_tell_error(g, name, worst, 2e-4);
    golden_tensor_release(&logprob);
}

static void check_llm(struct golden *g, const char *of, const json_t *one)
{
    char name[128];
    struct golden_tensor greedy;
    struct traced_run run;
    struct request *request = verify_case_prompt(g, llm_name(name, of, "ids"), one);
    if (!request)
        return;
    if (!golden_find(g, llm_name(name, of, "greedy"), &greedy)) {
        request_close(request);
        return;
    }
    compare_ids(g, llm_name(name, of, "ids"), request->ids, request->n_ids);
    size_t n_ids = request->n_ids;
    request->text.filter = (struct choice_filter){.temperature = 0, .top_p = 1};
    request->text.max_tokens = (int)greedy.count;
    request->text.logprobs = true;
    request->draw.mode = DRAW_NEVER; /* the reference leaves the image-start token out */
    if (verify_run(g, llm_name(name, of, "run"), request, &run)) {
        check_llm_rows(g, of, &run, n_ids);
        check_greedy(g, of, &run, &greedy);
    }
    traced_run_release(&run);
    golden_tensor_release(&greedy);
}

void verify_llm(struct golden *g)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)golden_cases(g, "llm"), i, one)
    {
        const char *of = json_string_value(json_object_get(one, "name"));
        if (of)
            check_llm(g, of, one);
        else
            golden_tell_failure(g, "llm", "cases.json: case %zu has no name", i);
    }
}
