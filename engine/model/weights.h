/* Finding a checkpoint's tensors by name, checking their shapes and bringing them to the backend. What is loaded belongs
 * to the struct weights and goes with it. The first problem sticks: later loads return NULL, and the caller looks at the
 * error once. */
#ifndef VARGPT_ENGINE_MODEL_WEIGHTS_H
#define VARGPT_ENGINE_MODEL_WEIGHTS_H

#include "engine/model/model.h"

struct weights;

struct loader {
    struct backend *be;
    const struct checkpoint *checkpoint;
    struct weights *weights;
    struct error *err; /* status STATUS_OK until something is wrong */
    load_progress *progress;
    void *progress_context;
    size_t bytes_done, bytes_total; /* of the checkpoint's tensors */
    enum dtype layers;              /* what load_layer makes of matrices: DTYPE_Q8_0, DTYPE_Q4_0; others: nothing else */
};

struct weights *weights_open(struct backend *);
void weights_close(struct weights *); /* accepts NULL */
size_t weights_bytes(const struct weights *);

/* Names are printf formats throughout. */

/* The tensor if it is there; counts as used. */
const struct checkpoint_tensor *find_optional(struct loader *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same; its absence is an error. */
const struct checkpoint_tensor *find_tensor(struct loader *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Notes that a tensor's shape is wrong: "must be ..." */
void refuse_shape(struct loader *, const struct checkpoint_tensor *, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A matrix whose first dimension is rows and whose others make cols. */
struct weight *load_matrix(struct loader *, int rows, int cols, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same of one that is for linear alone (a language model's head): several cards may share its rows out. */
struct weight *load_head(struct loader *, int rows, int cols, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* n values as float32 in backend memory. */
float *load_vector(struct loader *, int n, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* n values as float32 in host memory (caller frees); NULL after a problem. */
float *read_floats(struct loader *, int n, const char *format, ...) __attribute__((format(printf, 3, 4)));

enum bias { NO_BIAS, WITH_BIAS };
/* NAME.weight [out, in] and NAME.bias [out]. */
struct affine load_affine(struct loader *, int out, int in, enum bias, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The same of a layer that there are many of: its matrix becomes what loader.layers says, if it can, and several cards may
 * share its rows out. */
struct affine load_layer(struct loader *, int out, int in, enum bias, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* NAME.weight and NAME.bias, [n]. */
struct norm load_norm(struct loader *, int n, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* NAME.weight [out, in, k, k] with k 1 or 3 (reordered for the backend) and NAME.bias. out <= 0: as the file has it. */
struct vae_conv load_conv(struct loader *, int out, int in, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Values made here: a copy in backend memory. */
float *keep_floats(struct loader *, const float *values, size_t n);
int32_t *keep_ints(struct loader *, const int32_t *values, size_t n);

/* After all loads: every tensor of the checkpoint must have been used, or be one that `ignored` knows. */
void refuse_unused(struct loader *, bool (*ignored)(const struct model *, const char *name), const struct model *);

#endif
