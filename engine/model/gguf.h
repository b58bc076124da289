/* Reading a GGUF file: metadata, and tensors of the llama architecture brought to the names and the row order
 * of the Hugging Face layout (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Versions 2 and 3,
 * little-endian. */
#ifndef VARGPT_ENGINE_MODEL_GGUF_H
#define VARGPT_ENGINE_MODEL_GGUF_H

#include "engine/model/checkpoint_parts.h"

/* The key-value pairs of a file. */
struct gguf_metadata;

/* Reads metadata and tensors. On success *out is the caller's (gguf_metadata_close); on failure *out is NULL
 * and the table may hold some of the tensors. err may not be NULL. */
enum status gguf_read(const struct mapped_file *, struct gguf_metadata **out, struct tensor_table *,
                      struct error *err);
void gguf_metadata_close(struct gguf_metadata *); /* accepts NULL */

/* As checkpoint_gguf_int and its sisters; metadata may be NULL. */
bool gguf_int(const struct gguf_metadata *, const char *key, int64_t *out);
bool gguf_float(const struct gguf_metadata *, const char *key, double *out);
bool gguf_bool(const struct gguf_metadata *, const char *key, bool *out);
const char *gguf_string(const struct gguf_metadata *, const char *key);
const char *const *gguf_strings(const struct gguf_metadata *, const char *key, size_t *count);
const float *gguf_floats(const struct gguf_metadata *, const char *key, size_t *count);
const int32_t *gguf_ints(const struct gguf_metadata *, const char *key, size_t *count);
bool gguf_has(const struct gguf_metadata *, const char *key); /* whatever its type */

#endif
