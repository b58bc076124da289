/* The files of a checkpoint: a Hugging Face directory (safetensors, single or sharded) or one GGUF file,
 * memory-mapped and checked. Every byte of a checkpoint is hostile input: a problem is STATUS_BAD_FILE naming
 * file, tensor and reason. */
#ifndef VARGPT_ENGINE_MODEL_CHECKPOINT_H
#define VARGPT_ENGINE_MODEL_CHECKPOINT_H

#include "base/error.h"
#include "base/sha256.h"
#include "engine/tensor.h"

#include <jansson.h>
#include <stdbool.h>

enum { TENSOR_MAX_DIMS = 4 };

/* One tensor. data points into the mapped file, or to a copy where the file does not align it to its element
 * (4 bytes for F32, 2 for the other types; more must not be assumed) or has its rows in another order; valid
 * until checkpoint_close. */
struct checkpoint_tensor {
    const char *name; /* canonical: newer libraries' prefixes, a text-only checkpoint's and GGUF's names are
                         rewritten to the published ones (docs/model.md). GGUF tensors without a counterpart
                         keep theirs (rope_freqs.weight) */
    const char *file; /* base name, for messages */
    enum dtype type;
    int n_dims;                     /* 0 (scalar) .. TENSOR_MAX_DIMS */
    int64_t shape[TENSOR_MAX_DIMS]; /* outermost first (GGUF's order is reversed on reading) */
    const void *data;
    size_t bytes;
};

struct checkpoint;

/* path: a directory, a .gguf file, or one .safetensors file (which has no side files). Headers, offsets, overlaps, sizes and names are checked; weights are not
 * read, but for the q and k matrices of a GGUF file: their rows are brought back to the order of the Hugging
 * Face layout (half-split rotary pairs). On failure *out is NULL. */
enum status checkpoint_open(struct checkpoint **out, const char *path, struct error *err);
void checkpoint_close(struct checkpoint *); /* accepts NULL */

/* NULL when there is none of that name, or it has a type that is not read (integers, 8-bit floats, ...). */
const struct checkpoint_tensor *checkpoint_find(const struct checkpoint *, const char *name);
/* For the message when a tensor was not found: the file's name of its type where that was the reason,
 * otherwise NULL. */
const char *checkpoint_unread_type(const struct checkpoint *, const char *name);
/* A tensor of any type, those that are not read included: then its `type` means nothing, and its data need not be
 * aligned. *type_name: the file's name of its type ("F32", "I64", ...). NULL when there is none of that name. For
 * programs that compare files. */
const struct checkpoint_tensor *checkpoint_find_raw(const struct checkpoint *, const char *name,
                                                    const char **type_name);
/* All tensors that can be found, ordered by name. */
size_t checkpoint_count(const struct checkpoint *);
const struct checkpoint_tensor *checkpoint_at(const struct checkpoint *, size_t i);

/* Tells checkpoints apart, also those of the same shapes: a digest over all tensors that can be found, their names, types
 * and shapes, and a few bytes of each (a file of 18 GB stays unread but for some thousand pages). It does not tell of a
 * change elsewhere in a tensor. */
void checkpoint_digest(const struct checkpoint *, uint8_t digest[SHA256_BYTES]);

bool checkpoint_is_gguf(const struct checkpoint *);
const char *checkpoint_path(const struct checkpoint *);

/* A side file of a directory ("config.json", ...): its text (malloc'ed, NUL-terminated; caller frees;
 * *length, which may be asked for with a pointer or not, tells of NUL bytes inside). NULL with err->status
 * STATUS_OK when it does not exist (a GGUF checkpoint has none), NULL with another status when it cannot be
 * read. Limited to 256 MB. err may not be NULL. */
char *checkpoint_read_file(const struct checkpoint *, const char *name, size_t *length, struct error *err);

/* GGUF metadata; type-checked: false (or NULL) when absent or of another type. Strings are NUL-terminated
 * copies owned by the checkpoint. */
bool checkpoint_gguf_int(const struct checkpoint *, const char *key, int64_t *out);
bool checkpoint_gguf_float(const struct checkpoint *, const char *key, double *out);
bool checkpoint_gguf_bool(const struct checkpoint *, const char *key, bool *out);
const char *checkpoint_gguf_string(const struct checkpoint *, const char *key);
const char *const *checkpoint_gguf_strings(const struct checkpoint *, const char *key, size_t *count);
const float *checkpoint_gguf_floats(const struct checkpoint *, const char *key, size_t *count);
const int32_t *checkpoint_gguf_ints(const struct checkpoint *, const char *key, size_t *count);
bool checkpoint_gguf_has(const struct checkpoint *, const char *key); /* of any type */

/* Values of a tensor as float32: n values from index `first` (a multiple of 32 for block types) into out. Any
 * type; exact, but for Q4_1's one addition and integers over 2^24, which round to nearest. */
void checkpoint_to_f32(const struct checkpoint_tensor *, size_t first, size_t n, float *out);

#endif
