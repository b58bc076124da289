/* Loading the drawing half: projectors, image decoder, VQVAE. Every size is derived from shapes. */
#ifndef VARGPT_ENGINE_MODEL_DRAWING_H
#define VARGPT_ENGINE_MODEL_DRAWING_H

#include "engine/model/weights.h"

void load_drawing(struct loader *, struct model *);
void load_vae(struct loader *, struct model *); /* vae_weights.c; the scales are settled */

#endif
