/* How a picture was drawn, as the text of a PNG chunk: tEXt, keyword "vargpt", then
 * "1 seed=S picture=P codes=NxW:HEX sha256=HEX": format 1; N codes of W hex digits each; the digest is of the
 * width and height (32 bits each, lowest byte first) and the RGB pixels. */
#ifndef VARGPT_ENGINE_PICTURE_PNG_TEXT_H
#define VARGPT_ENGINE_PICTURE_PNG_TEXT_H

#include "engine/picture/codec.h"

/* Appends the chunk's data, keyword included. Codes are not negative. */
void origin_write(const struct picture_origin *, const struct picture *, struct buffer *out);

#endif
