/* The files of a checkpoint: a Hugging Face directory (safetensors, single or sharded) or one GGUF file, memory-mapped
 * and checked. Every byte of a checkpoint is hostile input: a problem is STATUS_BAD_FILE naming file, tensor and reason. */
#ifndef VARGPT_ENGINE_MODEL_CHECKPOINT_H
#define VARGPT_ENGINE_MODEL_CHECKPOINT_H

#include "base/error.h"
#include "engine/tensor.h"

#include <jansson.h>
#include <stdbool.h>

enum { TENSOR_MAX_DIMS = 4 };

/* One tensor of a mapped file. data points into the map: aligned as the file has it, valid until checkpoint_close. */
struct checkpoint_tensor {
    const char *name; /* canonical: newer libraries' prefixes are rewritten to the published ones (docs/model.md) */
    const char *file; /* base name, for messages */
    enum dtype type;
    int n_dims; /* 0 (scalar) .. TENSOR_MAX_DIMS */
    int64_t shape[TENSOR_MAX_DIMS]; /* outermost first (GGUF's order is reversed on reading) */
    const void *data;
    size_t bytes;
};

struct checkpoint;

/* path: a directory or a .gguf file. Headers, offsets, overlaps, sizes and names are checked; weights are not read. */
enum status checkpoint_open(struct checkpoint **out, const char *path, struct error *err);
void checkpoint_close(struct checkpoint *); /* accepts NULL */

/* NULL when there is none of that name. */
const struct checkpoint_tensor *checkpoint_find(const struct checkpoint *, const char *name);
/* All tensors, in a stable order. */
size_t checkpoint_count(const struct checkpoint *);
const struct checkpoint_tensor *checkpoint_at(const struct checkpoint *, size_t i);

bool checkpoint_is_gguf(const struct checkpoint *);
const char *checkpoint_path(const struct checkpoint *);

/* A side file of a directory ("config.json", ...): its text (malloc'ed, NUL-terminated; caller frees), or NULL when it
 * does not exist. Limited to 256 MB. */
char *checkpoint_read_file(const struct checkpoint *, const char *name, size_t *length, struct error *err);

/* GGUF metadata; type-checked: false (or NULL) when absent or of another type. Strings are NUL-terminated copies owned by
 * the checkpoint. */
bool checkpoint_gguf_int(const struct checkpoint *, const char *key, int64_t *out);
bool checkpoint_gguf_float(const struct checkpoint *, const char *key, double *out);
bool checkpoint_gguf_bool(const struct checkpoint *, const char *key, bool *out);
const char *checkpoint_gguf_string(const struct checkpoint *, const char *key);
const char *const *checkpoint_gguf_strings(const struct checkpoint *, const char *key, size_t *count);
const float *checkpoint_gguf_floats(const struct checkpoint *, const char *key, size_t *count);
const int32_t *checkpoint_gguf_ints(const struct checkpoint *, const char *key, size_t *count);

/* Values of a tensor as float32: n values from index `first` (a multiple of 32 for block types) into out. Any type. */
void checkpoint_to_f32(const struct checkpoint_tensor *, size_t first, size_t n, float *out);

#endif
