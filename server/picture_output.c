#include "server/picture_output.h"

#include "base/memory.h"
#include "engine/picture/gif_encode.h"
#include "server/data_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALLEST_SIDE = 16,
    LARGEST_SIDE = 4096,
    LARGEST_ANIMATED = 1024,
    MAX_ASPECT = 3,
    MAX_FILE_BYTES = 256 << 20,
    ALL_PREVIEWS = 31,
    FRAME_MS = 200,
    LAST_FRAME_MS = 2000, /* at least; the animation does not begin anew, but some viewers loop */
};

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
    int width = 0, height = 0, largest = output->animated ? LARGEST_ANIMATED : LARGEST_SIDE;
    param_string(f, "size", &text, NULL);
    if (!text || strcmp(text, "auto") == 0)
        return;
    const char *s = text;
    if (!read_side(&s, &width) || *s++ != 'x' || !read_side(&s, &height) || *s)
        param_fail(f, PROBLEM_INVALID, "size", "must be 'auto' or WIDTHxHEIGHT, for example '256x256'");
    else if (width < SMALLEST_SIDE || height < SMALLEST_SIDE || width > largest || height > largest)
        param_fail(f, PROBLEM_INVALID, "size", "must have sides from %d to %d", SMALLEST_SIDE, largest);
    else if (width > MAX_ASPECT * height || height > MAX_ASPECT * width)
        param_fail(f, PROBLEM_INVALID, "size", "must not be longer than 3:1 or 1:3");
    output->width = width;
    output->height = height;
}

static void read_format(const struct params *f, struct picture_output *output)
{
    const char *name = NULL;
    param_string(f, "output_format", &name, NULL);
    output->animated = name && strcmp(name, "gif") == 0;
    if (name && !output->animated && !picture_format_parse(name, &output->format))
        param_fail(f, PROBLEM_INVALID, "output_format", "must be 'png', 'jpeg', 'webp' or 'gif'");
    param_int(f, "frame_duration_ms", 10, 60000, &output->frame_ms);
    param_int(f, "output_compression", 0, 100, &output->quality);
    if ((output->animated || output->format == PICTURE_PNG) && output->quality != 100)
        param_fail(f, PROBLEM_INVALID, "output_compression", "must be 100 for 'png' and 'gif'");
}

void picture_output_read(const struct params *f, struct picture_output *output)
{
    *output = (struct picture_output){.format = PICTURE_PNG, .quality = 100, .frame_ms = FRAME_MS};
    read_format(f, output);
    read_size(f, output);
}

const char *picture_output_type(const struct picture_output *o)
{
    return o->animated ? "gif" : picture_format_name(o->format);
}

const char *picture_media_type(const char *type)
{
    static const char *const names[] = {"image/png", "image/jpeg", "image/webp", "image/gif"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i] + strlen("image/"), type) == 0)
            return names[i];
    return "application/octet-stream";
}

int picture_output_previews(const struct picture_output *o, int previews)
{
    return o->animated ? ALL_PREVIEWS : previews;
}

void picture_frames_release(struct picture_frames *f)
{
    for (int i = 0; i < f->count; i++)
        picture_release(&f->frame[i]);
    f->count = 0;
}

/* Without memory for it a scale is missing from the animation, as it may be anyway. */
bool picture_output_keep(const struct picture_output *o, const struct event *e, struct picture_frames *f)
{
    if (!o->animated || e->type != EVENT_PREVIEW)
        return false;
    size_t bytes = (size_t)e->picture->width * (size_t)e->picture->height * 3;
    uint8_t *rgb = f->count < PICTURE_MOST_FRAMES ? try_malloc(bytes, 1) : NULL;
    if (!rgb)
        return true;
    memcpy(rgb, e->picture->rgb, bytes);
    f->frame[f->count++] = (struct picture){e->picture->width, e->picture->height, rgb};
    return true;
}

/* *out is the picture, or a new one in `resized`. */
static enum status fit_size(const struct picture_output *o, const struct picture *drawn,
                            struct picture *resized, const struct picture **out, struct error *err)
{
    *out = drawn;
    if (!o->width || (o->width == drawn->width && o->height == drawn->height))
        return STATUS_OK;
    *out = resized;
    return picture_resize(drawn, o->width, o->height, resized, err);
}

static enum status add_frame(const struct picture_output *o, const struct picture *drawn, int ms,
                             struct buffer *file, struct error *err)
{
    struct picture resized = {0};
    const struct picture *picture;
    if (fit_size(o, drawn, &resized, &picture, err) == STATUS_OK)
        gif_add_frame(file, picture, (ms + 5) / 10, err);
    picture_release(&resized);
    return err->status;
}

static enum status write_animation(const struct picture_output *o, const struct picture *last,
                                   const struct picture_frames *f, struct buffer *file, struct error *err)
{
    gif_begin(file, o->width ? o->width : last->width, o->height ? o->height : last->height);
    for (int i = 0; i < f->count; i++)
        if (add_frame(o, &f->frame[i], o->frame_ms, file, err))
            return err->status;
    if (add_frame(o, last, o->frame_ms > LAST_FRAME_MS ? o->frame_ms : LAST_FRAME_MS, file, err))
        return err->status;
    gif_end(file);
    return STATUS_OK;
}

static enum status write_picture(const struct picture_output *o, const struct event *e, struct buffer *file,
                                 struct error *err)
{
    struct picture resized = {0};
    const struct picture *picture;
    struct picture_origin origin = {e->codes, e->n_codes, e->seed, e->ordinal};
    if (fit_size(o, e->picture, &resized, &picture, err) == STATUS_OK)
        picture_encode(picture, o->format, o->quality, e->type == EVENT_PICTURE ? &origin : NULL, file, err);
    picture_release(&resized);
    return err->status;
}

enum status picture_output_file(const struct picture_output *o, const struct event *e,
                                const struct picture_frames *f, struct buffer *file, struct error *err)
{
    if (o->animated)
        write_animation(o, e->picture, f, file, err);
    else
        write_picture(o, e, file, err);
    if (err->status == STATUS_OK && buffer_failed(file))
        error_set(err, STATUS_NO_MEMORY, "no memory for a picture");
    return err->status;
}

enum status picture_output_base64(const struct picture_output *o, const struct event *e,
                                  const struct picture_frames *f, struct buffer *base64, struct error *err)
{
    struct buffer file;
    buffer_init(&file, MAX_FILE_BYTES);
    if (picture_output_file(o, e, f, &file, err) == STATUS_OK) {
        base64_encode(file.data, file.length, base64);
        if (buffer_failed(base64))
            error_set(err, STATUS_NO_MEMORY, "no memory for a picture's base64");
    }
    buffer_release(&file);
    return err->status;
}
