#include "server/draw_read.h"

#include "base/clock.h"
#include "server/data_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { SMALLEST_SIDE = 16, LARGEST_SIDE = 4096, MAX_ASPECT = 3, MAX_FILE_BYTES = 256 << 20 };

bool seed_read(const struct params *f, uint64_t *seed)
{
    int64_t n = 0;
    bool given = param_find(f, "seed") != NULL;
    param_integer(f, "seed", INT64_MIN, INT64_MAX, &n);
    if (given)
        *seed = (uint64_t)n;
    return given;
}

uint64_t seed_choose(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (uint64_t)clock_ns() * 0x9E3779B97F4A7C15u;
    return seed >> 11;
}

/* Decimal digits and nothing else, at most 5 of them. */
static bool read_side(const char **s, int *out)
{
    size_t n = strspn(*s, "0123456789");
    if (n < 1 || n > 5)
        return false;
    *out = (int)strtol(*s, NULL, 10);
    *s += n;
    return true;
}

static void read_size(const struct params *f, struct picture_output *output)
{
    const char *text = NULL;
    int width = 0, height = 0;
    param_string(f, "size", &text, NULL);
    if (!text || strcmp(text, "auto") == 0)
        return;
    const char *s = text;
    if (!read_side(&s, &width) || *s++ != 'x' || !read_side(&s, &height) || *s)
        param_fail(f, PROBLEM_INVALID, "size", "must be 'auto' or WIDTHxHEIGHT, for example '256x256'");
    else if (width < SMALLEST_SIDE || height < SMALLEST_SIDE || width > LARGEST_SIDE || height > LARGEST_SIDE)
        param_fail(f, PROBLEM_INVALID, "size", "must have sides from %d to %d", SMALLEST_SIDE, LARGEST_SIDE);
    else if (width > MAX_ASPECT * height || height > MAX_ASPECT * width)
        param_fail(f, PROBLEM_INVALID, "size", "must not be longer than 3:1 or 1:3");
    output->width = width;
    output->height = height;
}

static void read_format(const struct params *f, struct picture_output *output)
{
    const char *name = NULL;
    param_string(f, "output_format", &name, NULL);
    if (name && strcmp(name, "gif") == 0)
        param_fail(f, PROBLEM_UNSUPPORTED, "output_format",
                   "'gif' is not supported yet; use 'png', 'jpeg' or 'webp'");
    else if (name && !picture_format_parse(name, &output->format))
        param_fail(f, PROBLEM_INVALID, "output_format", "must be 'png', 'jpeg' or 'webp'");
    param_int(f, "output_compression", 0, 100, &output->quality);
    if (output->format == PICTURE_PNG && output->quality != 100)
        param_fail(f, PROBLEM_INVALID, "output_compression", "must be 100 for 'png', which loses nothing");
}

void draw_read(const struct params *f, struct draw_options *draw, struct picture_output *output)
{
    *output = (struct picture_output){.format = PICTURE_PNG, .quality = 100};
    param_number(f, "guidance_scale", 0, 20, &draw->guidance);
    param_number(f, "temperature", 0, 10, &draw->filter.temperature);
    param_int(f, "top_k", 0, INT32_MAX, &draw->filter.top_k);
    param_positive(f, "top_p", 1, &draw->filter.top_p);
    seed_read(f, &draw->seed);
    read_size(f, output);
    read_format(f, output);
}

/* *out is the event's picture, or a new one in `resized`. */
static enum status fit_size(const struct picture_output *o, const struct picture *drawn,
                            struct picture *resized, const struct picture **out, struct error *err)
{
    *out = drawn;
    if (!o->width || (o->width == drawn->width && o->height == drawn->height))
        return STATUS_OK;
    *out = resized;
    return picture_resize(drawn, o->width, o->height, resized, err);
}

enum status picture_output_append(const struct picture_output *o, const struct event *e,
                                  struct buffer *base64, struct error *err)
{
    struct picture resized = {0};
    const struct picture *picture;
    struct picture_origin origin = {e->codes, e->n_codes, e->seed, e->ordinal};
    struct buffer file;
    buffer_init(&file, MAX_FILE_BYTES);
    if (fit_size(o, e->picture, &resized, &picture, err))
        goto out;
    if (picture_encode(picture, o->format, o->quality, e->type == EVENT_PICTURE ? &origin : NULL, &file, err))
        goto out;
    base64_encode(file.data, file.length, base64);
    if (buffer_failed(base64))
        error_set(err, STATUS_NO_MEMORY, "no memory for a picture's base64");
out:
    picture_release(&resized);
    buffer_release(&file);
    return err->status;
}
