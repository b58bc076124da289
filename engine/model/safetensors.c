#include "engine/model/safetensors.h"

#include "base/log.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, HEADER_MAX = 100 * 1000 * 1000 }; /* the limit of the format's own library */

/* The format's types. Those with a dtype are read as weights; the others are checked and left out of the
 * table. */
struct file_type {
    const char *name;
    unsigned bits;
    bool readable;
    enum dtype type;
};
static const struct file_type file_types[] = {
    {"F32", 32, true, DTYPE_F32},       {"F16", 16, true, DTYPE_F16},   {"BF16", 16, true, DTYPE_BF16},
    {.name = "I64", .bits = 64},        {.name = "I32", .bits = 32},    {.name = "I16", .bits = 16},
    {.name = "I8", .bits = 8},          {.name = "U64", .bits = 64},    {.name = "U32", .bits = 32},
    {.name = "U16", .bits = 16},        {.name = "U8", .bits = 8},      {.name = "BOOL", .bits = 8},
    {.name = "F64", .bits = 64},        {.name = "C64", .bits = 64},    {.name = "F8_E4M3", .bits = 8},
    {.name = "F8_E5M2", .bits = 8},     {.name = "F8_E8M0", .bits = 8}, {.name = "F8_E4M3FNUZ", .bits = 8},
    {.name = "F8_E5M2FNUZ", .bits = 8}, {.name = "F6_E2M3", .bits = 6}, {.name = "F6_E3M2", .bits = 6},
    {.name = "F4", .bits = 4},
};

static const struct file_type *find_type(const char *name)
{
    for (size_t i = 0; i < sizeof file_types / sizeof *file_types; i++) {
        if (strcmp(file_types[i].name, name) == 0)
            return &file_types[i];
    }
    return NULL;
}

/* The data section of a file. */
struct data_section {
    const struct mapped_file *file;
    const unsigned char *data;
    size_t size;
};

static enum status read_shape(const json_t *shape, struct checkpoint_tensor *t, struct error *err)
{
    if (!json_is_array(shape))
        return error_set(err, STATUS_BAD_FILE, "%s: tensor '%s': shape is not a list", t->file, t->name);
    size_t n = json_array_size(shape);
    if (n > TENSOR_MAX_DIMS)
        return error_set(err, STATUS_BAD_FILE, "%s: tensor '%s': %zu dimensions, at most %d are read",
                         t->file, t->name, n, TENSOR_MAX_DIMS);
    t->n_dims = (int)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *size = json_array_get(shape, i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return error_set(err, STATUS_BAD_FILE, "%s: tensor '%s': dimension %zu is not a size", t->file,
                             t->name, i);
        t->shape[i] = json_integer_value(size);
    }
    return STATUS_OK;
}

/* Bytes of the tensor by its shape and type. */
static enum status count_bytes(const struct checkpoint_tensor *t, const struct file_type *type, size_t *out,
                               struct error *err)
{
    size_t values, bits;
    if (!shape_count(t->shape, t->n_dims, &values) || !size_mul(values, type->bits, &bits))
        return error_set(err, STATUS_BAD_FILE, "%s: tensor '%s': the product of its shape overflows", t->file,
                         t->name);
    if (bits % 8)
        return error_set(err, STATUS_BAD_FILE, "%s: tensor '%s': %zu values of type %s end inside a byte",
                         t->file, t->name, values, type->name);
    *out = bits / 8;
    return STATUS_OK;
}

static enum status read_offsets(const json_t *offsets, const struct checkpoint_tensor *t,
                                const struct data_section *section, size_t bytes, struct file_span *span,
                                struct error *err)
{
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !json_is_integer(first) ||
        !json_is_integer(last) || json_integer_value(first) < 0 || json_integer_value(last) < 0)
        return error_set(err, STATUS_BAD_FILE, "%s: tensor '%s': data_offsets is not a pair of offsets",
                         t->file, t->name);
    span->begin = (uint64_t)json_integer_value(first);
    span->end = (uint64_t)json_integer_value(last);
    if (span->begin > span->end)
        return error_set(err, STATUS_BAD_FILE, "%s: tensor '%s': data_offsets descend", t->file, t->name);
    if (span->end > section->size)
        return error_set(err, STATUS_BAD_FILE,
                         "%s: tensor '%s': ends at byte %" PRIu64
                         " of the data, which has %zu (is the file complete?)",
                         t->file, t->name, span->end, section->size);
    if (span->end - span->begin != bytes)
        return error_set(err, STATUS_BAD_FILE,
                         "%s: tensor '%s': data_offsets hold %" PRIu64 " bytes, shape and type need %zu",
                         t->file, t->name, span->end - span->begin, bytes);
    return STATUS_OK;
}

static enum status read_entry(const struct data_section *section, const char *name, const json_t *value,
                              struct tensor_table *table, struct file_span *span, struct error *err)
{
    struct checkpoint_tensor t = {.name = name, .file = section->file->name};
    if (!tensor_name_is_sane(name, strlen(name)))
        return error_set(err, STATUS_BAD_FILE,
                         "%s: the name of tensor %zu is empty, too long or has control characters", t.file,
                         table->count);
    if (!json_is_object(value))
        return error_set(err, STATUS_BAD_FILE, "%s: tensor '%s': its entry is not an object", t.file, name);
    const char *type_name = json_string_value(json_object_get(value, "dtype"));
    const struct file_type *type = type_name ? find_type(type_name) : NULL;
    if (!type)
        return error_set(err, STATUS_BAD_FILE, "%s: tensor '%s': %s dtype %.40s", t.file, name,
                         type_name ? "unknown" : "no", type_name ? type_name : "");
    t.type = type->type;
    if (read_shape(json_object_get(value, "shape"), &t, err) || count_bytes(&t, type, &t.bytes, err) ||
        read_offsets(json_object_get(value, "data_offsets"), &t, section, t.bytes, span, err))
        return err->status;
    t.data = section->data + span->begin;
    span->entry = table->count;
    if (!type->readable)
        log_debug("%s: tensor '%s' has type %s and is left out", t.file, name, type->name);

    char canonical[CANONICAL_NAME_SIZE];
    canonical_name_from_hf(name, canonical);
    t.name = canonical;
    enum status status = tensor_table_add(table, &t, type->readable ? NULL : type->name, err);
    if (status == STATUS_OK && type->readable && (uintptr_t)t.data % (type->bits / 8) != 0)
        status = tensor_entry_copy(&table->entry[table->count - 1], err);
    return status;
}

/* The format wants every byte of the data section to belong to exactly one tensor. */
static enum status check_spans(const struct data_section *section, const struct tensor_table *table,
                               struct file_span *spans, size_t count, struct error *err)
{
    const char *file = section->file->name;
    uint64_t end = 0;
    file_spans_sort(spans, count);
    for (size_t i = 0; i < count; i++) {
        if (spans[i].begin != end)
            return error_set(
                err, STATUS_BAD_FILE, "%s: tensor '%s': begins at byte %" PRIu64 " of the data, %s %" PRIu64,
                file, table->entry[spans[i].entry].name, spans[i].begin,
                spans[i].begin < end ? "inside the one that ends at" : "leaving a hole after", end);
        end = spans[i].end;
    }
    if (end != section->size)
        return error_set(err, STATUS_BAD_FILE, "%s: %zu bytes of data, but the tensors end at %" PRIu64, file,
                         section->size, end);
    return STATUS_OK;
}

static enum status read_tensors(const struct data_section *section, json_t *header,
                                struct tensor_table *table, struct error *err)
{
    enum status status = STATUS_OK;
    size_t count = 0;
    struct file_span *spans = try_malloc(json_object_size(header), sizeof *spans);
    if (!spans)
        return error_set(err, STATUS_NO_MEMORY, "%s: no memory for its header", section->file->name);
    const char *name;
    json_t *value;
    json_object_foreach(header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0) {
            if (!json_is_object(value)) {
                status =
                    error_set(err, STATUS_BAD_FILE, "%s: __metadata__ is not an object", section->file->name);
                goto out;
            }
            continue;
        }
        if ((status = read_entry(section, name, value, table, &spans[count], err)))
            goto out;
        count++;
    }
    status = check_spans(section, table, spans, count, err);
out:
    free(spans);
    return status;
}

static uint64_t read_le64(const unsigned char *p)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | p[i];
    return value;
}

enum status safetensors_read(const struct mapped_file *file, struct tensor_table *table, struct error *err)
{
    static const char lfs[] = "version https://git-lfs";
    if (file->size >= sizeof lfs && memcmp(file->data, lfs, sizeof lfs - 1) == 0)
        return error_set(err, STATUS_BAD_FILE, "%s: a Git LFS pointer, not the weights (run git lfs pull)",
                         file->name);
    if (file->size < LENGTH_BYTES + 2)
        return error_set(err, STATUS_BAD_FILE, "%s: %zu bytes are too few for a safetensors file", file->name,
                         file->size);
    uint64_t length = read_le64(file->data);
    if (length > HEADER_MAX)
        return error_set(err, STATUS_BAD_FILE,
                         "%s: not a safetensors file (header length %" PRIu64 ", limit %d)", file->name,
                         length, HEADER_MAX);
    if (length > file->size - LENGTH_BYTES)
        return error_set(err, STATUS_BAD_FILE,
                         "%s: the header of %" PRIu64 " bytes goes beyond the file's %zu", file->name, length,
                         file->size);
    const char *text = (const char *)file->data + LENGTH_BYTES;
    if (length < 2 || text[0] != '{')
        return error_set(err, STATUS_BAD_FILE, "%s: the safetensors header does not begin with '{'",
                         file->name);
    json_t *header = json_object_read(text, (size_t)length, file->name, err);
    if (!header)
        return err->status;
    struct data_section section = {
        .file = file,
        .data = file->data + LENGTH_BYTES + length,
        .size = file->size - LENGTH_BYTES - (size_t)length,
    };
    enum status status = read_tensors(&section, header, table, err);
    json_decref(header);
    return status;
}
