/* Which way up a picture is: EXIF's Orientation tag, or XMP's where EXIF has none, as Pillow's exif_transpose
 * reads them. */
#ifndef VARGPT_ENGINE_PICTURE_EXIF_H
#define VARGPT_ENGINE_PICTURE_EXIF_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct picture;

/* The Orientation in an EXIF block (a TIFF header, "Exif\0\0" before it allowed); 0 when there is none. Any
 * bytes. */
int exif_orientation(const uint8_t *bytes, size_t length);

/* The digit after tiff:Orientation=" or tiff:Orientation> in an XMP packet; 0 when there is none. Any bytes.
 */
int xmp_orientation(const uint8_t *bytes, size_t length);

/* Turns and mirrors the picture upright; an orientation that is not 2..8 leaves it alone. */
enum status orientation_apply(struct picture *, int orientation, struct error *);

#endif
