/* libFuzzer target: any bytes as a picture, and as a PNG whose check sums are put right first, so that
 * mutations reach behind them. A seed corpus: tests/golden/pictures. */
#include "engine/picture/codec.h"
#include "engine/picture/png_chunks.h"
#include "engine/picture/vision_input.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void look_at(const struct picture *p)
{
    static float pixels[3 * 24 * 24];
    const struct vision_preprocess v = {.resize = true,
                                        .center_crop = true,
                                        .rescale = true,
                                        .shortest_edge = 20,
                                        .crop_width = 24,
                                        .crop_height = 24,
                                        .resample = RESAMPLE_BICUBIC,
                                        .rescale_factor = 1.0 / 255};
    vision_input_make(p, &v, pixels, NULL);
}

static void try_picture(const uint8_t *bytes, size_t length)
{
    const struct picture_limits limits = {.max_bytes = 1 << 20, .max_pixels = 1 << 18};
    struct picture p;
    struct error err;
    if (picture_decode(&p, bytes, length, &limits, &err))
        return;
    int32_t *codes;
    size_t n_codes;
    uint64_t seed;
    uint32_t ordinal;
    if (picture_read_origin(bytes, length, &p, &codes, &n_codes, &seed, &ordinal))
        free(codes);
    look_at(&p);
    picture_release(&p);
}

static void mend_check_sums(uint8_t *file, size_t length)
{
    size_t offset = PNG_SIGNATURE_BYTES;
    struct png_chunk chunk;
    while (png_next_chunk(file, length, &offset, &chunk)) {
        uint32_t crc = png_crc(0, chunk.data - 4, chunk.length + 4);
        for (int i = 0; i < 4; i++)
            file[offset - 4 + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    try_picture(bytes, length);
    if (length < PNG_SIGNATURE_BYTES || memcmp(bytes, PNG_SIGNATURE, PNG_SIGNATURE_BYTES) != 0)
        return 0;
    uint8_t *mended = malloc(length);
    if (!mended)
        return 0;
    memcpy(mended, bytes, length);
    mend_check_sums(mended, length);
    try_picture(mended, length);
    free(mended);
    return 0;
}
