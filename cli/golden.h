/* A golden set: what the reference computed for one checkpoint, as files (tests/golden/README.md), and the
 * tally of how far we are from it. */
#ifndef VARGPT_CLI_GOLDEN_H
#define VARGPT_CLI_GOLDEN_H

#include "engine/engine.h"
#include "engine/model/checkpoint.h"

#include <jansson.h>

struct golden {
    const char *folder;
    struct checkpoint *expected; /* expected.safetensors, or NULL */
    json_t *cases;               /* cases.json, or NULL */
    json_t *seen;                /* names of expected tensors that were compared: {name: true} */
    struct engine *engine;       /* NULL where the set is a tokenizer only */
    int passed, failed;
};

/* Opens the files of a set; those that are not there stay NULL. The engine is the caller's business. */
enum status golden_open(struct golden *out, const char *folder, struct error *err);
void golden_release(struct golden *);

/* folder/name, malloc'ed. */
char *golden_path(const struct golden *, const char *name);
/* A whole file of the set, malloc'ed and NUL-terminated (*length bytes); NULL with err set when it cannot be
 * read. */
char *golden_read(const struct golden *, const char *name, size_t *length, struct error *err);
enum status golden_picture(const struct golden *, const char *name, struct picture *out, struct error *err);

/* The cases of one kind: an array, empty where there are none. Borrowed. */
const json_t *golden_cases(const struct golden *, const char *kind);

/* Expected values, as doubles whatever their type is in the file. */
struct golden_tensor {
    int n_dims;
    int64_t shape[TENSOR_MAX_DIMS];
    size_t count;
    double *value; /* [count]; released with golden_tensor_release */
};
bool golden_has(const struct golden *, const char *name);
/* Finds and marks as compared. false, with a failure told, when the set lacks it or has it in an odd type. */
bool golden_find(struct golden *, const char *name, struct golden_tensor *out);
void golden_tensor_release(struct golden_tensor *);

/* The tally: each prints a line. error NaN fails. */
void golden_tell_error(struct golden *, const char *name, double error, double tolerance);
void golden_tell_equal(struct golden *, const char *name, size_t wrong, size_t total);
void golden_tell_failure(struct golden *, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Compares values[count], in the tensor's own order, with the expected tensor of that name, and tells the
 * largest error. */
void golden_compare(struct golden *, const char *name, const float *values, size_t count, double tolerance);

#endif
