/* How pictures are to be drawn: the fields that /v1/images and a chat's image_config share. */
#ifndef VARGPT_SERVER_DRAW_READ_H
#define VARGPT_SERVER_DRAW_READ_H

#include "engine/request.h"
#include "server/picture_output.h"

/* Reads guidance_scale, temperature, top_k, top_p, seed into *draw; what the file is to be like into *output
 * (which this sets to its defaults first). */
void draw_read(const struct params *, struct draw_options *draw, struct picture_output *output);

/* A seed field: the whole int64 range, as its 64 bits. False when it is absent. */
bool seed_read(const struct params *, uint64_t *seed);
/* A seed of the server's choice: below 2^53, so that it survives any JSON reader. */
uint64_t seed_choose(void);

#endif
