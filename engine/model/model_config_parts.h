/* What the two readers of configurations (model_config.c, model_config_gguf.c) share. Nothing else includes
 * it. */
#ifndef VARGPT_ENGINE_MODEL_MODEL_CONFIG_PARTS_H
#define VARGPT_ENGINE_MODEL_MODEL_CONFIG_PARTS_H

#include "engine/model/model_config.h"

enum {
    MAX_WIDTH = 1 << 17,
    MAX_LAYERS = 1024,
    MAX_VOCAB = 1 << 22,
    MAX_CONTEXT = 1 << 24,
    MAX_PICTURE_SIDE = 4096
};

enum status model_config_read_gguf(struct model_config *, const struct checkpoint *, struct error *);

/* Adds an id that ends a reply, once; ids out of range are left out. */
void model_config_add_end(struct model_config *, int64_t id);

#endif
