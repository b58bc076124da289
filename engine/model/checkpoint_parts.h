/* What checkpoint.c and its two readers (safetensors.c, gguf.c) share: a mapped file, the table of tensors,
 * the rewriting of names, JSON from a file. Nothing outside this folder includes it. */
#ifndef VARGPT_ENGINE_MODEL_CHECKPOINT_PARTS_H
#define VARGPT_ENGINE_MODEL_CHECKPOINT_PARTS_H

#include "engine/model/checkpoint.h"

enum {
    TENSOR_NAME_MAX = 255, /* bytes of a name in a file */
    CANONICAL_NAME_SIZE = TENSOR_NAME_MAX + 65,
};

/* A whole file, mapped for reading. */
struct mapped_file {
    char *name; /* base name, for messages */
    const unsigned char *data;
    size_t size;
};

/* Opens and maps path; anything but a regular, non-empty file is an error. On failure there is nothing to
 * close. */
enum status mapped_file_open(struct mapped_file *out, const char *path, struct error *err);
void mapped_file_close(struct mapped_file *);

/* The text of a file, as checkpoint_read_file; `name` is what messages call it. */
char *file_read(const char *path, const char *name, size_t *length, struct error *err);

/* One tensor as the table keeps it. */
struct tensor_entry {
    struct checkpoint_tensor tensor;
    char *name;              /* owns tensor.name */
    void *copy;              /* owns tensor.data where it is not the file's, or NULL */
    const char *unread_type; /* a literal: the file's name of a type we do not read (such an entry is never
                                found); or NULL */
};

struct tensor_table {
    struct tensor_entry *entry;
    size_t count, capacity;
};

/* Adds a copy of *values (its name already canonical). */
enum status tensor_table_add(struct tensor_table *, const struct checkpoint_tensor *values,
                             const char *unread_type, struct error *err);
/* Sorts by name; a name that is there twice is an error. */
enum status tensor_table_sort(struct tensor_table *, struct error *err);
void tensor_table_release(struct tensor_table *);

/* Gives the entry a copy of its data, aligned for any use; the caller may then rearrange it through
 * entry->copy. */
enum status tensor_entry_copy(struct tensor_entry *, struct error *err);

/* Where a tensor lies in its file's data section; for the check that no two share bytes. */
struct file_span {
    uint64_t begin, end;
    size_t entry; /* index into the table */
};
void file_spans_sort(struct file_span *, size_t count);

/* True for 1 .. TENSOR_NAME_MAX bytes without control characters. */
bool tensor_name_is_sane(const char *name, size_t length);

/* The names of docs/model.md from those of newer libraries and of text-only checkpoints. Names without a rule
 * are kept. */
void canonical_name_from_hf(const char *name, char out[CANONICAL_NAME_SIZE]);
/* The same from GGUF's llama names. */
void canonical_name_from_gguf(const char *name, char out[CANONICAL_NAME_SIZE]);

/* The number of values of a shape; false when it does not fit in size_t. */
bool shape_count(const int64_t *shape, int n_dims, size_t *out);

/* The JSON object in text[0..length); duplicate keys, another kind of value and a text with over a million
 * values (a small file that would cost gigabytes) are errors that name `file`. Caller: json_decref. */
json_t *json_object_read(const char *text, size_t length, const char *file, struct error *err);

#endif
