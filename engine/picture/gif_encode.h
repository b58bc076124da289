/* Writes animations as GIF (89a): each frame with 256 colours of its own, chosen by median cut and spread by
 * error diffusion. Pure functions, any thread. */
#ifndef VARGPT_ENGINE_PICTURE_GIF_ENCODE_H
#define VARGPT_ENGINE_PICTURE_GIF_ENCODE_H

#include "engine/picture/codec.h"

enum { GIF_MAX_SIDE = 65535 };

/* Begins a file whose frames all have that size; it plays once and stays at the last frame. Failure sticks in
 * out. */
void gif_begin(struct buffer *out, int width, int height);
/* Adds a frame that is shown for that many hundredths of a second (0..65535). Its size must be the file's.
 * Deterministic. Fails with STATUS_NO_MEMORY. */
enum status gif_add_frame(struct buffer *out, const struct picture *, int hundredths, struct error *err);
void gif_end(struct buffer *out);

#endif
