/* How pictures are to be drawn and handed out: the fields that /v1/images and a chat's image_config share. */
#ifndef VARGPT_SERVER_DRAW_READ_H
#define VARGPT_SERVER_DRAW_READ_H

#include "engine/engine.h"
#include "server/json_read.h"

struct picture_output {
    enum picture_format format;
    int quality;       /* 0..100, for JPEG and WebP */
    int width, height; /* 0 = as drawn */
};

/* Reads guidance_scale, temperature, top_k, top_p, seed into *draw; output_format, output_compression, size
 * into *output (which this sets to its defaults first). */
void draw_read(const struct params *, struct draw_options *draw, struct picture_output *output);

/* A seed field: the whole int64 range, as its 64 bits. False when it is absent. */
bool seed_read(const struct params *, uint64_t *seed);
/* A seed of the server's choice: below 2^53, so that it survives any JSON reader. */
uint64_t seed_choose(void);

/* Appends the picture of a PREVIEW or PICTURE event as base64; a PNG of a PICTURE carries its origin. */
enum status picture_output_append(const struct picture_output *, const struct event *, struct buffer *base64,
                                  struct error *err);

#endif
