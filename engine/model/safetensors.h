/* Reading the header of one safetensors file: 8 bytes of length, a JSON object, then the tensors' bytes
 * without holes (https://huggingface.co/docs/safetensors). */
#ifndef VARGPT_ENGINE_MODEL_SAFETENSORS_H
#define VARGPT_ENGINE_MODEL_SAFETENSORS_H

#include "engine/model/checkpoint_parts.h"

/* Adds the file's tensors, under canonical names, to the table. Their data points into the map, or to a copy
 * where the file does not align it. On failure the table may hold some of them. */
enum status safetensors_read(const struct mapped_file *, struct tensor_table *, struct error *err);

#endif
