/* From a picture to the vision tower's pixels: CLIP's image processor, equal to Pillow + transformers to the
 * bit (docs/model.md, "Image understanding", step 1). */
#ifndef VARGPT_ENGINE_PICTURE_VISION_INPUT_H
#define VARGPT_ENGINE_PICTURE_VISION_INPUT_H

#include "engine/picture/codec.h"

enum resample {
    RESAMPLE_NEAREST = 0,
    RESAMPLE_LANCZOS = 1,
    RESAMPLE_BILINEAR = 2,
    RESAMPLE_BICUBIC = 3,
}; /* Pillow's numbers */

/* preprocessor_config.json. */
struct vision_preprocess {
    bool resize, center_crop, rescale, normalize;
    int shortest_edge; /* of the resize, keeping the aspect; 0: use resize_width, resize_height */
    int resize_width, resize_height;
    int crop_width, crop_height;
    enum resample resample;
    double rescale_factor; /* 1/255 */
    float mean[3], std[3];
};

/* The pixel values [3][crop_height][crop_width] (channels first) of a picture: resize, centre crop
 * (zero-padded where the picture is smaller), rescale, normalise, in the reference's order and rounding.
 * pixels: the caller's. STATUS_BAD_REQUEST when the resized picture would have over 2^31 pixels a side, or,
 * without a crop, another size than the crop's. */
enum status vision_input_make(const struct picture *, const struct vision_preprocess *, float *pixels,
                              struct error *err);

#endif
