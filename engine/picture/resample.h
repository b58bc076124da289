/* Pillow's Image.resize on 8-bit RGB, to the bit: fixed-point weights of 22 bits, a horizontal pass rounded
 * to 8 bits, then a vertical one (nearest: the pixel under each output pixel's centre). Only a window of the
 * result is computed, so that a picture of 1 x 65535 costs what its crop costs. */
#ifndef VARGPT_ENGINE_PICTURE_RESAMPLE_H
#define VARGPT_ENGINE_PICTURE_RESAMPLE_H

#include "engine/picture/vision_input.h"

struct resample_window {
    int full_width, full_height;  /* the picture is resized to this ... */
    int left, top, width, height; /* ... and this part of it, inside it, is wanted */
};

/* out: [height][width][3] of the window; the caller's. Fails with STATUS_NO_MEMORY only. */
enum status resample_picture(const struct picture *, enum resample, const struct resample_window *,
                             uint8_t *out, struct error *);

#endif
