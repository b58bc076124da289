/* What `vargpt inspect` finds out about a checkpoint, as JSON; the text it prints is made from this. */
#ifndef VARGPT_CLI_INSPECTION_H
#define VARGPT_CLI_INSPECTION_H

#include "base/error.h"

#include <jansson.h>

/* {"path", "format": "safetensors" | "gguf", "name", "kind": "llama" | "llava" | "vargpt",
 *  "llm": {sizes}, "vision": {sizes}, "drawing": {sizes}     -- the last two where the model has them
 *  "parts": [{"part", "tensors", "parameters", "bytes", "types": {TYPE: bytes}}],
 *  "special_tokens": [{"name", "id", "text"}], "tokenizer_problem"?,
 *  "memory": {"weights", "cache_per_token", "cache_of_context", "picture"?}}   -- bytes
 * path: a directory or a .gguf file. On failure *out is untouched. */
enum status inspection_make(json_t **out, const char *path, struct error *err);

#endif
