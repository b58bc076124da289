/* How pictures are handed out: the format and size asked for, and files made so. */
#ifndef VARGPT_SERVER_PICTURE_OUTPUT_H
#define VARGPT_SERVER_PICTURE_OUTPUT_H

#include "engine/engine.h"
#include "server/json_read.h"

enum { PICTURE_MOST_FRAMES = 32 };

struct picture_output {
    enum picture_format format;
    bool animated;     /* a GIF of all scales, instead of format */
    int frame_ms;      /* of an animation: how long each scale is shown */
    int quality;       /* 0..100, for JPEG and WebP */
    int width, height; /* 0 = as drawn */
};

/* The previews of a picture, kept to be frames of an animation. */
struct picture_frames {
    struct picture frame[PICTURE_MOST_FRAMES];
    int count;
};
void picture_frames_release(struct picture_frames *);

/* Reads output_format, output_compression, frame_duration_ms and size into *output; what is absent is at its
 * default. */
void picture_output_read(const struct params *, struct picture_output *output);

/* "png", "jpeg", "webp" or "gif"; and as a media type. */
const char *picture_output_type(const struct picture_output *);
const char *picture_media_type(const char *type);

/* An animation needs every preview: this many are to be asked of the engine where a client wants `previews`.
 */
int picture_output_previews(const struct picture_output *, int previews);

/* Takes a PREVIEW event as a frame, where there is an animation. True when the client is not to see it. */
bool picture_output_keep(const struct picture_output *, const struct event *, struct picture_frames *);

/* Appends the file of a PREVIEW or PICTURE event (a PNG of a PICTURE carries its origin), with the frames
 * before it. */
enum status picture_output_file(const struct picture_output *, const struct event *,
                                const struct picture_frames *, struct buffer *file, struct error *err);
/* The same as base64. */
enum status picture_output_base64(const struct picture_output *, const struct event *,
                                  const struct picture_frames *, struct buffer *base64, struct error *err);

#endif
