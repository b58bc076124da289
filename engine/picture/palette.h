/* A palette of at most 256 colours for one picture, and the picture in it. For gif_encode.c. */
#ifndef VARGPT_ENGINE_PICTURE_PALETTE_H
#define VARGPT_ENGINE_PICTURE_PALETTE_H

#include "engine/picture/codec.h"

enum { PALETTE_MOST = 256 };

struct palette {
    int count; /* at least 1 */
    uint8_t rgb[PALETTE_MOST][3];
};

/* Chooses the colours (median cut over the picture's colours, 5 bits a channel) and writes each pixel's place
 * among them to index[width * height], with the errors passed on to the neighbours (Floyd and Steinberg).
 * STATUS_NO_MEMORY. */
enum status palette_make(const struct picture *, struct palette *, uint8_t *index, struct error *err);

#endif
