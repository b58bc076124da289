#include "engine/picture/vision_input.h"

#include "base/memory.h"
#include "engine/picture/resample.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The size after resizing: the shorter side becomes shortest_edge, the longer is truncated, as transformers
 * does. */
static enum status resized_size(const struct picture *p, const struct vision_preprocess *v, int *width,
                                int *height, struct error *err)
{
    *width = v->resize ? v->resize_width : p->width;
    *height = v->resize ? v->resize_height : p->height;
    if (!v->resize || !v->shortest_edge)
        return STATUS_OK;
    int small = p->width <= p->height ? p->width : p->height,
        large = p->width <= p->height ? p->height : p->width;
    double longer = (double)((int64_t)v->shortest_edge * large) / small;
    if (longer >= INT_MAX)
        return error_set(err, STATUS_BAD_REQUEST, "a picture of %d x %d is too narrow to be looked at",
                         p->width, p->height);
    *width = p->width <= p->height ? v->shortest_edge : (int)longer;
    *height = p->width <= p->height ? (int)longer : v->shortest_edge;
    return STATUS_OK;
}

/* One axis of the centre crop: `n` pixels from `from` of the resized picture land at `to` of the crop. */
struct crop {
    int from, to, n;
};

static struct crop crop_axis(int size, int wanted)
{
    if (size >= wanted)
        return (struct crop){.from = (size - wanted) / 2, .n = wanted};
    return (struct crop){.to = (wanted - size + 1) / 2, .n = size};
}

/* What each of the 256 values becomes in each channel: rescaled in double and rounded to float, then
 * normalised in float, the reference's types. */
static void make_table(const struct vision_preprocess *v, float table[3][256])
{
    for (int c = 0; c < 3; c++) {
        for (int i = 0; i < 256; i++) {
            float x = v->rescale ? (float)((double)i * v->rescale_factor) : (float)i;
            table[c][i] = v->normalize ? (x - v->mean[c]) / v->std[c] : x;
        }
    }
}

enum status vision_input_make(const struct picture *p, const struct vision_preprocess *v, float *pixels,
                              struct error *err)
{
    int width, height;
    enum status status = resized_size(p, v, &width, &height, err);
    if (status)
        return status;
    if (!v->center_crop && (width != v->crop_width || height != v->crop_height))
        return error_set(err, STATUS_BAD_REQUEST,
                         "the model takes pictures of exactly %d x %d; this one would be %d x %d",
                         v->crop_width, v->crop_height, width, height);
    struct crop across = crop_axis(width, v->crop_width), down = crop_axis(height, v->crop_height);
    uint8_t *rgb = try_malloc((size_t)across.n * (size_t)down.n, 3);
    if (!rgb)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the picture's pixels");
    struct resample_window window = {.full_width = width,
                                     .full_height = height,
                                     .left = across.from,
                                     .top = down.from,
                                     .width = across.n,
                                     .height = down.n};
    status = resample_picture(p, v->resample, &window, rgb, err);
    float table[3][256];
    make_table(v, table);
    size_t plane = (size_t)v->crop_width * (size_t)v->crop_height;
    for (int c = 0; c < 3 && !status; c++) {
        float *to = pixels + plane * (size_t)c;
        for (size_t i = 0; i < plane; i++)
            to[i] = table[c][0];
        for (int y = 0; y < down.n; y++) {
            const uint8_t *from = rgb + 3 * (size_t)y * (size_t)across.n + c;
            float *row = to + (size_t)(down.to + y) * (size_t)v->crop_width + across.to;
            for (int x = 0; x < across.n; x++)
                row[x] = table[c][from[3 * x]];
        }
    }
    free(rgb);
    return status;
}
