#include "cli/golden.h"

#include "base/memory.h"
#include "cli/cli.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX = 256 << 20 };

/* ---- files ---- */

char *golden_path(const struct golden *g, const char *name)
{
    return xasprintf("%s/%s", g->folder, name);
}

static bool file_exists(const struct golden *g, const char *name)
{
    struct stat st;
    char *path = golden_path(g, name);
    bool exists = stat(path, &st) == 0;
    free(path);
    return exists;
}

char *golden_read(const struct golden *g, const char *name, size_t *length, struct error *err)
{
    char *path = golden_path(g, name), *bytes = cli_read_file(path, FILE_MAX, length, err);
    free(path);
    return bytes;
}

enum status golden_picture(const struct golden *g, const char *name, struct picture *out, struct error *err)
{
    size_t length;
    char *bytes = golden_read(g, name, &length, err);
    if (!bytes)
        return err->status;
    enum status status = picture_decode(out, bytes, length, &picture_default_limits, err);
    free(bytes);
    return status;
}

static enum status open_cases(struct golden *g, struct error *err)
{
    size_t length;
    json_error_t at;
    char *text = golden_read(g, "cases.json", &length, err);
    if (!text)
        return err->status;
    g->cases = json_loadb(text, length, JSON_ALLOW_NUL, &at);
    free(text);
    if (!g->cases)
        return error_set(err, STATUS_BAD_FILE, "cases.json: line %d: %.120s", at.line, at.text);
    return STATUS_OK;
}

enum status golden_open(struct golden *out, const char *folder, struct error *err)
{
    *out = (struct golden){.folder = folder, .seen = json_object()};
    enum status status = STATUS_OK;
    if (file_exists(out, "cases.json"))
        status = open_cases(out, err);
    if (status == STATUS_OK && file_exists(out, "expected.safetensors")) {
        char *path = golden_path(out, "expected.safetensors");
        status = checkpoint_open(&out->expected, path, err);
        free(path);
    }
    if (status)
        golden_release(out);
    return status;
}

void golden_release(struct golden *g)
{
    checkpoint_close(g->expected);
    json_decref(g->cases);
    json_decref(g->seen);
    *g = (struct golden){0};
}

const json_t *golden_cases(const struct golden *g, const char *kind)
{
    return g->cases ? json_object_get(g->cases, kind) : NULL;
}

/* ---- expected tensors ---- */

static double read_number(const unsigned char *p, size_t size, const char *type)
{
    union {
        double f64;
        int64_t i64;
        int32_t i32;
        int16_t i16;
        int8_t i8;
        uint8_t u8;
    } x;
    memcpy(&x, p, size);
    if (!strcmp(type, "F64"))
        return x.f64;
    if (!strcmp(type, "I64"))
        return (double)x.i64;
    if (!strcmp(type, "I32"))
        return x.i32;
    if (!strcmp(type, "I16"))
        return x.i16;
    return !strcmp(type, "I8") ? x.i8 : x.u8;
}

static bool is_plain_number(const char *type)
{
    static const char *const types[] = {"F64", "I64", "I32", "I16", "I8", "U8", "BOOL"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (!strcmp(type, types[i]))
            return true;
    }
    return false;
}

static bool convert_values(const struct checkpoint *file, const struct checkpoint_tensor *t, const char *type,
                           struct golden_tensor *out)
{
    if (checkpoint_find(file, t->name)) {
        float *f = xmalloc(out->count * sizeof *f + 1);
        checkpoint_to_f32(t, 0, out->count, f);
        for (size_t i = 0; i < out->count; i++)
            out->value[i] = f[i];
        free(f);
        return true;
    }
    if (!is_plain_number(type))
        return false;
    size_t size = out->count ? t->bytes / out->count : 0;
    for (size_t i = 0; i < out->count; i++)
        out->value[i] = read_number((const unsigned char *)t->data + i * size, size, type);
    return true;
}

bool golden_has(const struct golden *g, const char *name)
{
    const char *type;
    return g->expected && checkpoint_find_raw(g->expected, name, &type);
}

bool golden_find(struct golden *g, const char *name, struct golden_tensor *out)
{
    const char *type = NULL;
    const struct checkpoint_tensor *t = g->expected ? checkpoint_find_raw(g->expected, name, &type) : NULL;
    if (!t) {
        golden_tell_failure(g, name, "not in expected.safetensors");
        return false;
    }
    json_object_set_new(g->seen, name, json_true());
    *out = (struct golden_tensor){.n_dims = t->n_dims, .count = 1};
    for (int i = 0; i < t->n_dims; i++) {
        out->shape[i] = t->shape[i];
        out->count *= (size_t)t->shape[i]; /* checkpoint_open has checked that it fits */
    }
    out->value = try_malloc(out->count, sizeof *out->value);
    if (out->value && convert_values(g->expected, t, type, out))
        return true;
    golden_tell_failure(g, name, "its type %s is not read", type);
    golden_tensor_release(out);
    return false;
}

void golden_tensor_release(struct golden_tensor *t)
{
    free(t->value);
    *t = (struct golden_tensor){0};
}

/* ---- the tally ---- */

static void tell(struct golden *g, bool pass, const char *name, const char *what)
{
    *(pass ? &g->passed : &g->failed) += 1;
    printf("%-46s %-48s %s\n", name, what, pass ? "pass" : "FAIL");
}

void golden_tell_error(struct golden *g, const char *name, double error, double tolerance)
{
    char what[80];
    snprintf(what, sizeof what, "error %9.3g  tolerance %9.3g", error, tolerance);
    tell(g, error <= tolerance, name, what);
}

void golden_tell_equal(struct golden *g, const char *name, size_t wrong, size_t total)
{
    char what[80];
    if (wrong)
        snprintf(what, sizeof what, "%zu of %zu differ, must be equal", wrong, total);
    else
        snprintf(what, sizeof what, "%zu equal", total);
    tell(g, wrong == 0, name, what);
}

void golden_tell_failure(struct golden *g, const char *name, const char *format, ...)
{
    char what[300];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    tell(g, false, name, what);
}

void golden_compare(struct golden *g, const char *name, const float *values, size_t count, double tolerance)
{
    struct golden_tensor want;
    if (!golden_find(g, name, &want))
        return;
    double worst = 0;
    if (want.count != count) {
        golden_tell_failure(g, name, "%zu values, %zu are expected", count, want.count);
    } else {
        for (size_t i = 0; i < count; i++) {
            double error = fabs(values[i] - want.value[i]);
            worst = error <= worst ? worst : error; /* a NaN wins */
            if (isnan(error))
                break;
        }
        golden_tell_error(g, name, worst, tolerance);
    }
    golden_tensor_release(&want);
}
