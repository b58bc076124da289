/* WebP by libwebp; the first frame of an animation, on a transparent black canvas as Pillow shows it. */
#include "engine/picture/exif.h"
#include "engine/picture/formats.h"

#include <webp/decode.h>
#include <webp/demux.h>
#include <webp/encode.h>

#include <stdlib.h>

static int chunk_orientation(const WebPDemuxer *demuxer, const char *fourcc,
                             int (*read)(const uint8_t *, size_t))
{
    WebPChunkIterator chunk;
    int orientation = 0;
    if (WebPDemuxGetChunk(demuxer, fourcc, 1, &chunk)) {
        orientation = read(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    return orientation;
}

static enum status damaged(struct error *err)
{
    return error_set(err, STATUS_BAD_REQUEST, "the WebP is damaged or cut short");
}

static enum status decode_frame(const WebPDemuxer *demuxer, struct picture *out, int64_t max_pixels,
                                struct error *err)
{
    WebPIterator frame;
    if (!WebPDemuxGetFrame(demuxer, 1, &frame))
        return damaged(err);
    int64_t width = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH);
    int64_t height = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT);
    int coded_width = 0, coded_height = 0;
    enum status status;
    if (frame.x_offset < 0 || frame.y_offset < 0 || frame.width <= 0 || frame.height <= 0 ||
        (int64_t)frame.x_offset + frame.width > width || (int64_t)frame.y_offset + frame.height > height ||
        !WebPGetInfo(frame.fragment.bytes, frame.fragment.size, &coded_width, &coded_height) ||
        coded_width != frame.width || coded_height != frame.height)
        status = damaged(err);
    else
        status = picture_allocate(out, width, height, max_pixels, err);
    if (!status) {
        size_t start = 3 * ((size_t)frame.y_offset * (size_t)width + (size_t)frame.x_offset);
        size_t room = 3 * (size_t)width * (size_t)height - start;
        if (!WebPDecodeRGBInto(frame.fragment.bytes, frame.fragment.size, out->rgb + start, room,
                               3 * (int)width))
            status = damaged(err);
    }
    WebPDemuxReleaseIterator(&frame);
    return status;
}

enum status webp_decode(struct picture *out, int *orientation, const uint8_t *bytes, size_t length,
                        int64_t max_pixels, struct error *err)
{
    WebPData data = {.bytes = bytes, .size = length};
    WebPDemuxer *demuxer = WebPDemux(&data);
    if (!demuxer)
        return damaged(err);
    enum status status = decode_frame(demuxer, out, max_pixels, err);
    if (!status) {
        int exif = chunk_orientation(demuxer, "EXIF", exif_orientation);
        *orientation = exif ? exif : chunk_orientation(demuxer, "XMP ", xmp_orientation);
    }
    WebPDemuxDelete(demuxer);
    return status;
}

enum status webp_encode(const struct picture *p, int quality, struct buffer *out, struct error *err)
{
    if (p->width > WEBP_MAX_DIMENSION || p->height > WEBP_MAX_DIMENSION)
        return error_set(err, STATUS_TOO_LARGE, "a WebP has at most %d pixels a side; ask for PNG or JPEG",
                         WEBP_MAX_DIMENSION);
    uint8_t *file = NULL;
    size_t length = WebPEncodeRGB(p->rgb, p->width, p->height, 3 * p->width, (float)quality, &file);
    if (length)
        buffer_append(out, file, length);
    WebPFree(file);
    if (!length || buffer_failed(out))
        return error_set(err, STATUS_NO_MEMORY, "no memory to write a WebP of %d x %d", p->width, p->height);
    return STATUS_OK;
}
