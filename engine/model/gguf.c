#include "engine/model/gguf.h"

#include "base/memory.h"
#include "engine/model/gguf_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_ALIGNMENT = 32,
    ALIGNMENT_MAX = 1 << 16,
    HEADS_MAX = 65536,
    TENSORS_MAX = 1 << 20,
};

/* ---- the cursor ---- */

const unsigned char *gguf_take_bytes(struct gguf_cursor *c, uint64_t n)
{
    if (c->status)
        return NULL;
    if (n > gguf_bytes_left(c)) {
        c->status = error_set(c->err, STATUS_BAD_FILE,
                              "%s: the header goes beyond the file's end: %" PRIu64
                              " bytes are wanted at byte %zu of %zu "
                              "(is the file complete?)",
                              c->file->name, n, c->at, c->file->size);
        return NULL;
    }
    const unsigned char *p = c->file->data + c->at;
    c->at += (size_t)n;
    return p;
}

uint32_t gguf_take_u32(struct gguf_cursor *c)
{
    const unsigned char *p = gguf_take_bytes(c, 4);
    return p ? (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24 : 0;
}

uint64_t gguf_take_u64(struct gguf_cursor *c)
{
    uint64_t low = gguf_take_u32(c);
    return low | (uint64_t)gguf_take_u32(c) << 32;
}

const char *gguf_take_string(struct gguf_cursor *c, size_t *length)
{
    uint64_t n = gguf_take_u64(c);
    const unsigned char *p = gguf_take_bytes(c, n);
    *length = p ? (size_t)n : 0;
    return (const char *)p;
}

/* ---- tensors ---- */

/* ggml's numbers for types; those without a dtype are only named in messages. */
struct ggml_type {
    uint32_t id;
    const char *name;
    bool readable;
    enum dtype type;
};
static const struct ggml_type ggml_types[] = {
    {0, "F32", true, DTYPE_F32},   {1, "F16", true, DTYPE_F16},   {30, "BF16", true, DTYPE_BF16},
    {8, "Q8_0", true, DTYPE_Q8_0}, {2, "Q4_0", true, DTYPE_Q4_0}, {3, "Q4_1", true, DTYPE_Q4_1},
    {.id = 6, .name = "Q5_0"},     {.id = 7, .name = "Q5_1"},     {.id = 9, .name = "Q8_1"},
    {.id = 10, .name = "Q2_K"},    {.id = 11, .name = "Q3_K"},    {.id = 12, .name = "Q4_K"},
    {.id = 13, .name = "Q5_K"},    {.id = 14, .name = "Q6_K"},    {.id = 15, .name = "Q8_K"},
    {.id = 16, .name = "IQ2_XXS"}, {.id = 17, .name = "IQ2_XS"},  {.id = 18, .name = "IQ3_XXS"},
    {.id = 19, .name = "IQ1_S"},   {.id = 20, .name = "IQ4_NL"},  {.id = 21, .name = "IQ3_S"},
    {.id = 22, .name = "IQ2_S"},   {.id = 23, .name = "IQ4_XS"},  {.id = 24, .name = "I8"},
    {.id = 25, .name = "I16"},     {.id = 26, .name = "I32"},     {.id = 27, .name = "I64"},
    {.id = 28, .name = "F64"},     {.id = 29, .name = "IQ1_M"},   {.id = 34, .name = "TQ1_0"},
    {.id = 35, .name = "TQ2_0"},   {.id = 39, .name = "MXFP4"},
};

static enum status read_type(struct gguf_cursor *c, struct checkpoint_tensor *t)
{
    uint32_t id = gguf_take_u32(c);
    if (c->status)
        return c->status;
    const struct ggml_type *type = NULL;
    for (size_t i = 0; i < sizeof ggml_types / sizeof *ggml_types && !type; i++)
        type = ggml_types[i].id == id ? &ggml_types[i] : NULL;
    if (!type)
        return c->status = error_set(c->err, STATUS_BAD_FILE, "%s: tensor '%s': unknown type %" PRIu32,
                                     t->file, t->name, id);
    if (!type->readable)
        return c->status =
                   error_set(c->err, STATUS_BAD_FILE,
                             "%s: tensor '%s': type %s is not read (F32, F16, BF16, Q8_0, Q4_0 and Q4_1 are)",
                             t->file, t->name, type->name);
    t->type = type->type;
    return STATUS_OK;
}

/* GGUF lists the fastest dimension first; the table wants it last. */
static enum status read_dims(struct gguf_cursor *c, struct checkpoint_tensor *t)
{
    uint32_t n = gguf_take_u32(c);
    if (c->status)
        return c->status;
    if (n > TENSOR_MAX_DIMS)
        return c->status = error_set(c->err, STATUS_BAD_FILE,
                                     "%s: tensor '%s': %" PRIu32 " dimensions, at most %d are read", t->file,
                                     t->name, n, TENSOR_MAX_DIMS);
    t->n_dims = (int)n;
    for (int i = (int)n - 1; i >= 0; i--) {
        uint64_t size = gguf_take_u64(c);
        if (c->status)
            return c->status;
        if (size == 0 || size > INT64_MAX)
            return c->status = error_set(c->err, STATUS_BAD_FILE,
                                         "%s: tensor '%s': dimension %d is not a size (%" PRIu64 ")", t->file,
                                         t->name, (int)n - 1 - i, size);
        t->shape[i] = (int64_t)size;
    }
    return STATUS_OK;
}

static bool is_block_type(enum dtype type)
{
    return type == DTYPE_Q8_0 || type == DTYPE_Q4_0 || type == DTYPE_Q4_1;
}

static enum status count_bytes(struct gguf_cursor *c, struct checkpoint_tensor *t)
{
    enum { BLOCK = 32, LARGEST_VALUE = 4 };
    size_t values, limit;
    if (!shape_count(t->shape, t->n_dims, &values) || !size_mul(values, LARGEST_VALUE, &limit))
        return c->status =
                   error_set(c->err, STATUS_BAD_FILE,
                             "%s: tensor '%s': the product of its dimensions overflows", t->file, t->name);
    if (is_block_type(t->type) && (t->n_dims == 0 || t->shape[t->n_dims - 1] % BLOCK))
        return c->status = error_set(c->err, STATUS_BAD_FILE,
                                     "%s: tensor '%s': rows of type %s are not whole blocks of %d", t->file,
                                     t->name, dtype_name(t->type), BLOCK);
    t->bytes = dtype_bytes(t->type, values);
    return STATUS_OK;
}

/* Reads one tensor's entry; its data is set later, when the data section's place is known. */
static enum status read_entry(struct gguf_cursor *c, bool is_llama, struct tensor_table *table,
                              struct file_span *span)
{
    size_t length;
    const char *bytes = gguf_take_string(c, &length);
    if (!bytes)
        return c->status;
    if (!tensor_name_is_sane(bytes, length))
        return c->status =
                   error_set(c->err, STATUS_BAD_FILE,
                             "%s: the name of tensor %zu is empty, too long or has control characters",
                             c->file->name, table->count);
    char name[TENSOR_NAME_MAX + 1];
    memcpy(name, bytes, length);
    name[length] = 0;
    struct checkpoint_tensor t = {.name = name, .file = c->file->name};
    if (read_dims(c, &t) || read_type(c, &t) || count_bytes(c, &t))
        return c->status;
    *span = (struct file_span){.begin = gguf_take_u64(c), .entry = table->count};
    if (c->status)
        return c->status;
    if (__builtin_add_overflow(span->begin, (uint64_t)t.bytes, &span->end))
        return c->status = error_set(c->err, STATUS_BAD_FILE, "%s: tensor '%s': offset %" PRIu64 " overflows",
                                     t.file, name, span->begin);
    char canonical[CANONICAL_NAME_SIZE];
    if (is_llama)
        canonical_name_from_gguf(name, canonical);
    t.name = is_llama ? canonical : name;
    return c->status = tensor_table_add(table, &t, NULL, c->err);
}

/* Where the data section begins; with no room for it, the file's end. */
static enum status find_data(struct gguf_cursor *c, const struct gguf_metadata *metadata, size_t *begin,
                             size_t *alignment)
{
    int64_t value = DEFAULT_ALIGNMENT;
    if (gguf_has(metadata, "general.alignment") && !gguf_int(metadata, "general.alignment", &value))
        value = 0;
    if (value < 8 || value > ALIGNMENT_MAX || (value & (value - 1)))
        return c->status = error_set(c->err, STATUS_BAD_FILE,
                                     "%s: key 'general.alignment': not a power of two from 8 to %d",
                                     c->file->name, ALIGNMENT_MAX);
    *alignment = (size_t)value;
    size_t padded =
        (c->at + *alignment - 1) / *alignment * *alignment; /* cannot wrap: a mapped file is far smaller */
    *begin = padded < c->file->size ? padded : c->file->size;
    return STATUS_OK;
}

static enum status place_tensors(struct gguf_cursor *c, const struct gguf_metadata *metadata,
                                 struct tensor_table *table, struct file_span *spans, size_t count)
{
    size_t begin = 0, alignment = 1;
    if (find_data(c, metadata, &begin, &alignment))
        return c->status;
    const size_t size = c->file->size - begin;
    uint64_t end = 0;
    file_spans_sort(spans, count);
    for (size_t i = 0; i < count; i++) {
        struct checkpoint_tensor *t = &table->entry[spans[i].entry].tensor;
        if (spans[i].begin % alignment)
            return c->status =
                       error_set(c->err, STATUS_BAD_FILE,
                                 "%s: tensor '%s': offset %" PRIu64 " is not a multiple of the alignment %zu",
                                 t->file, t->name, spans[i].begin, alignment);
        if (spans[i].end > size)
            return c->status = error_set(c->err, STATUS_BAD_FILE,
                                         "%s: tensor '%s': ends at byte %" PRIu64
                                         " of the data, which has %zu (is the file complete?)",
                                         t->file, t->name, spans[i].end, size);
        if (spans[i].begin < end)
            return c->status = error_set(c->err, STATUS_BAD_FILE,
                                         "%s: tensor '%s': overlaps the one before it", t->file, t->name);
        end = spans[i].end;
        t->data = c->file->data + begin + spans[i].begin;
    }
    return STATUS_OK;
}

static enum status read_tensors(struct gguf_cursor *c, const struct gguf_metadata *metadata, uint64_t count,
                                struct tensor_table *table)
{
    enum { SMALLEST_ENTRY = 8 + 1 + 4 + 4 + 8 };
    const char *architecture = gguf_string(metadata, "general.architecture");
    const bool is_llama = architecture && strcmp(architecture, "llama") == 0;
    if (count > TENSORS_MAX || count > gguf_bytes_left(c) / SMALLEST_ENTRY)
        return c->status = error_set(c->err, STATUS_BAD_FILE,
                                     "%s: %" PRIu64 " tensors are more than the file has room for",
                                     c->file->name, count);
    struct file_span *spans = try_malloc((size_t)count, sizeof *spans);
    if (!spans)
        return c->status = error_set(c->err, STATUS_NO_MEMORY, "%s: no memory for its header", c->file->name);
    for (uint64_t i = 0; i < count; i++) {
        if (read_entry(c, is_llama, table, &spans[i]))
            goto out;
    }
    place_tensors(c, metadata, table, spans, (size_t)count);
out:
    free(spans);
    return c->status;
}

/* ---- the order of rows ----
 * llama.cpp's converter stores the rows of each head of q and k with the two halves of the rotary dimensions
 * interleaved: row 2j + i of a head is Hugging Face's row i * head_dim/2 + j (i = 0, 1). */

static bool is_rotated(const char *name)
{
    static const char *const ends[] = {".self_attn.q_proj.weight", ".self_attn.q_proj.bias",
                                       ".self_attn.k_proj.weight", ".self_attn.k_proj.bias"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t n = strlen(ends[i]);
        if (length > n && strcmp(name + length - n, ends[i]) == 0)
            return true;
    }
    return false;
}

static enum status restore_row_order(struct tensor_entry *entry, int64_t heads, struct error *err)
{
    const struct checkpoint_tensor *t = &entry->tensor;
    if (t->n_dims < 1 || t->n_dims > 2 || t->shape[0] % heads || t->shape[0] / heads % 2 ||
        (t->n_dims == 1 && is_block_type(t->type)))
        return error_set(err, STATUS_BAD_FILE,
                         "%s: tensor '%s': its rows are not %" PRId64 " heads of an even size", t->file,
                         t->name, heads);
    const char *stored = t->data;
    enum status status = tensor_entry_copy(entry, err);
    if (status)
        return status;
    const size_t row = dtype_bytes(t->type, t->n_dims == 2 ? (size_t)t->shape[1] : 1);
    const size_t half = (size_t)(t->shape[0] / heads / 2);
    for (size_t head = 0; head < (size_t)heads; head++) {
        char *to = (char *)entry->copy + head * 2 * half * row;
        const char *from = stored + head * 2 * half * row;
        for (size_t j = 0; j < half; j++) {
            memcpy(to + j * row, from + 2 * j * row, row);
            memcpy(to + (half + j) * row, from + (2 * j + 1) * row, row);
        }
    }
    return STATUS_OK;
}

static enum status restore_rotary_order(struct gguf_cursor *c, const struct gguf_metadata *metadata,
                                        struct tensor_table *table, size_t first)
{
    int64_t heads = 0, kv_heads = 0;
    gguf_int(metadata, "llama.attention.head_count", &heads);
    if (!gguf_has(metadata, "llama.attention.head_count_kv"))
        kv_heads = heads;
    else
        gguf_int(metadata, "llama.attention.head_count_kv", &kv_heads);
    for (size_t i = first; i < table->count; i++) {
        struct tensor_entry *entry = &table->entry[i];
        if (!is_rotated(entry->name))
            continue;
        int64_t n = strstr(entry->name, ".self_attn.q_proj.") ? heads : kv_heads;
        if (n < 1 || n > HEADS_MAX)
            return c->status = error_set(
                       c->err, STATUS_BAD_FILE,
                       "%s: keys 'llama.attention.head_count' and 'head_count_kv' give no number of heads "
                       "for tensor '%s'",
                       c->file->name, entry->name);
        if ((c->status = restore_row_order(entry, n, c->err)))
            return c->status;
    }
    return STATUS_OK;
}

/* ---- the file ---- */

static enum status read_version(struct gguf_cursor *c)
{
    const unsigned char *magic = gguf_take_bytes(c, 4);
    if (!magic || memcmp(magic, "GGUF", 4) != 0)
        return c->status = error_set(c->err, STATUS_BAD_FILE,
                                     "%s: not a GGUF file (a model in safetensors is named by its folder)",
                                     c->file->name);
    uint32_t version = gguf_take_u32(c);
    if (c->status)
        return c->status;
    if (version != 0 && (version & 0xffff) == 0)
        return c->status = error_set(c->err, STATUS_BAD_FILE, "%s: a big-endian GGUF file, which is not read",
                                     c->file->name);
    if (version < 2 || version > 3)
        return c->status =
                   error_set(c->err, STATUS_BAD_FILE, "%s: GGUF version %" PRIu32 ", only 2 and 3 are read",
                             c->file->name, version);
    return STATUS_OK;
}

static enum status refuse_parts(struct gguf_cursor *c, const struct gguf_metadata *metadata)
{
    int64_t parts = 0;
    if (gguf_int(metadata, "split.count", &parts) && parts > 1)
        return c->status = error_set(c->err, STATUS_BAD_FILE,
                                     "%s: one of %" PRId64
                                     " parts of a split model, which is not read (merge them first)",
                                     c->file->name, parts);
    return STATUS_OK;
}

enum status gguf_read(const struct mapped_file *file, struct gguf_metadata **out, struct tensor_table *table,
                      struct error *err)
{
    struct gguf_cursor c = {.file = file, .err = err};
    struct gguf_metadata *metadata = NULL;
    const size_t first = table->count;
    *out = NULL;
    if (read_version(&c))
        return c.status;
    uint64_t tensors = gguf_take_u64(&c), keys = gguf_take_u64(&c);
    if (c.status || gguf_metadata_read(&c, keys, &metadata) || refuse_parts(&c, metadata) ||
        read_tensors(&c, metadata, tensors, table) || restore_rotary_order(&c, metadata, table, first)) {
        gguf_metadata_close(metadata);
        return c.status;
    }
    *out = metadata;
    return STATUS_OK;
}
