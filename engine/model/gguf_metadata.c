#include "base/memory.h"
#include "engine/model/gguf_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 65536, KEY_LENGTH_MAX = 65535 };

enum value_type {
    VALUE_U8 = 0,
    VALUE_I8 = 1,
    VALUE_U16 = 2,
    VALUE_I16 = 3,
    VALUE_U32 = 4,
    VALUE_I32 = 5,
    VALUE_F32 = 6,
    VALUE_BOOL = 7,
    VALUE_STRING = 8,
    VALUE_ARRAY = 9,
    VALUE_U64 = 10,
    VALUE_I64 = 11,
    VALUE_F64 = 12,
};

/* What a value can be asked for as. A u64 over INT64_MAX, and arrays nobody asks for, are checked and kept as
 * OTHER. */
enum value_kind {
    KIND_OTHER,
    KIND_INT,
    KIND_FLOAT,
    KIND_BOOL,
    KIND_STRING,
    KIND_STRINGS,
    KIND_FLOATS,
    KIND_INTS
};

struct gguf_value {
    char *key;
    enum value_kind kind;
    int64_t integer; /* KIND_INT, KIND_BOOL */
    double real;     /* KIND_FLOAT */
    char *text;      /* KIND_STRING; KIND_STRINGS: all of them, one after the other */
    size_t count;    /* of an array */
    const char **strings;
    float *floats;
    int32_t *ints;
};

struct gguf_metadata {
    struct gguf_value *value; /* sorted by key */
    size_t count, capacity;
};

/* Bytes of a number; 0 for strings, arrays and types that do not exist. */
static size_t number_size(uint32_t type)
{
    static const unsigned char sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < sizeof sizes ? sizes[type] : 0;
}

static uint64_t read_le(const unsigned char *p, size_t n)
{
    uint64_t value = 0;
    while (n-- > 0)
        value = value << 8 | p[n];
    return value;
}

static float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static enum status fail(struct gguf_cursor *c, const char *key, const char *reason)
{
    return c->status = error_set(c->err, STATUS_BAD_FILE, "%s: key '%.100s': %s", c->file->name, key, reason);
}

static enum status fail_memory(struct gguf_cursor *c, const char *key)
{
    return c->status = error_set(c->err, STATUS_NO_MEMORY, "%s: key '%.100s': no memory for its value",
                                 c->file->name, key);
}

static enum status read_number(struct gguf_cursor *c, uint32_t type, struct gguf_value *v)
{
    size_t size = number_size(type);
    const unsigned char *p = gguf_take_bytes(c, size);
    if (!p)
        return c->status;
    uint64_t bits = read_le(p, size);
    v->kind = KIND_INT;
    switch ((enum value_type)type) {
    case VALUE_I8: v->integer = (int8_t)bits; break;
    case VALUE_I16: v->integer = (int16_t)bits; break;
    case VALUE_I32: v->integer = (int32_t)bits; break;
    case VALUE_F32:
        v->kind = KIND_FLOAT;
        v->real = (double)float_from_bits((uint32_t)bits);
        break;
    case VALUE_F64:
        v->kind = KIND_FLOAT;
        memcpy(&v->real, &bits, sizeof v->real);
        break;
    case VALUE_BOOL:
        if (bits > 1)
            return fail(c, v->key, "a bool that is neither 0 nor 1");
        v->kind = KIND_BOOL;
        v->integer = (int64_t)bits;
        break;
    default: /* unsigned, or i64 */
        v->integer = (int64_t)bits;
        if (type == VALUE_U64 && bits > INT64_MAX)
            v->kind = KIND_OTHER;
    }
    return STATUS_OK;
}

static enum status read_string(struct gguf_cursor *c, struct gguf_value *v)
{
    size_t length;
    const char *bytes = gguf_take_string(c, &length);
    if (!bytes)
        return c->status;
    if (memchr(bytes, 0, length))
        return fail(c, v->key, "its text holds a NUL byte");
    v->text = try_malloc(length + 1, 1);
    if (!v->text)
        return fail_memory(c, v->key);
    memcpy(v->text, bytes, length);
    v->text[length] = 0;
    v->kind = KIND_STRING;
    return STATUS_OK;
}

static enum status read_string_array(struct gguf_cursor *c, uint64_t count, struct gguf_value *v)
{
    enum { LENGTH_BYTES = 8 };
    if (count > gguf_bytes_left(c) / LENGTH_BYTES)
        return fail(c, v->key, "an array with more strings than the file has room for");
    size_t begin = c->at, total = 0, length;
    for (uint64_t i = 0; i < count; i++) {
        const char *bytes = gguf_take_string(c, &length);
        if (!bytes)
            return c->status;
        if (memchr(bytes, 0, length))
            return fail(c, v->key, "one of its strings holds a NUL byte");
        total += length + 1; /* cannot wrap: less than the bytes of the file that were taken */
    }
    v->text = try_malloc(total, 1);
    v->strings = try_malloc((size_t)count, sizeof *v->strings);
    if (!v->text || !v->strings)
        return fail_memory(c, v->key);
    char *end = v->text;
    c->at = begin;
    for (size_t i = 0; i < count; i++) {
        const char *bytes = gguf_take_string(c, &length);
        memcpy(end, bytes, length);
        end[length] = 0;
        v->strings[i] = end;
        end += length + 1;
    }
    v->kind = KIND_STRINGS;
    return STATUS_OK;
}

static enum status read_number_array(struct gguf_cursor *c, uint32_t type, uint64_t count,
                                     struct gguf_value *v)
{
    size_t size = number_size(type);
    if (count > gguf_bytes_left(c) / size)
        return fail(c, v->key, "an array with more values than the file has room for");
    const unsigned char *p = gguf_take_bytes(c, count * size);
    if (!p)
        return c->status;
    if (type == VALUE_F32) {
        v->floats = try_malloc((size_t)count, sizeof *v->floats);
        if (!v->floats)
            return fail_memory(c, v->key);
        for (size_t i = 0; i < count; i++)
            v->floats[i] = float_from_bits((uint32_t)read_le(p + i * size, size));
        v->kind = KIND_FLOATS;
    } else if (type == VALUE_I32 || type == VALUE_U32) {
        v->ints = try_malloc((size_t)count, sizeof *v->ints);
        if (!v->ints)
            return fail_memory(c, v->key);
        v->kind = KIND_INTS;
        for (size_t i = 0; i < count; i++) {
            uint32_t bits = (uint32_t)read_le(p + i * size, size);
            v->ints[i] = (int32_t)bits;
            if (type == VALUE_U32 && bits > INT32_MAX)
                v->kind = KIND_OTHER;
        }
    }
    return STATUS_OK;
}

static enum status read_value(struct gguf_cursor *c, struct gguf_value *v)
{
    uint32_t type = gguf_take_u32(c);
    if (c->status)
        return c->status;
    if (type == VALUE_STRING)
        return read_string(c, v);
    if (type != VALUE_ARRAY)
        return number_size(type) ? read_number(c, type, v) : fail(c, v->key, "a value of unknown type");
    uint32_t element = gguf_take_u32(c);
    uint64_t count = gguf_take_u64(c);
    if (c->status)
        return c->status;
    v->count = (size_t)count;
    if (element == VALUE_STRING)
        return read_string_array(c, count, v);
    if (element == VALUE_ARRAY)
        return fail(c, v->key, "an array of arrays, which is not read");
    return number_size(element) ? read_number_array(c, element, count, v)
                                : fail(c, v->key, "an array of unknown type");
}

static enum status read_pair(struct gguf_cursor *c, struct gguf_metadata *m)
{
    if (m->count == m->capacity) {
        size_t capacity = m->capacity ? m->capacity * 2 : 64;
        struct gguf_value *grown = try_realloc(m->value, capacity, sizeof *grown);
        if (!grown)
            return c->status =
                       error_set(c->err, STATUS_NO_MEMORY, "%s: no memory for its metadata", c->file->name);
        m->value = grown;
        m->capacity = capacity;
    }
    size_t length;
    const char *key = gguf_take_string(c, &length);
    if (!key)
        return c->status;
    if (length == 0 || length > KEY_LENGTH_MAX || memchr(key, 0, length))
        return c->status = error_set(c->err, STATUS_BAD_FILE,
                                     "%s: metadata key %zu is empty, too long or holds a NUL byte",
                                     c->file->name, m->count);
    struct gguf_value *v = &m->value[m->count];
    *v = (struct gguf_value){.key = try_malloc(length + 1, 1)};
    if (!v->key)
        return c->status =
                   error_set(c->err, STATUS_NO_MEMORY, "%s: no memory for its metadata", c->file->name);
    memcpy(v->key, key, length);
    v->key[length] = 0;
    m->count++;
    return read_value(c, v);
}

static int compare_keys(const void *a, const void *b)
{
    const struct gguf_value *x = a, *y = b;
    return strcmp(x->key, y->key);
}

enum status gguf_metadata_read(struct gguf_cursor *c, uint64_t count, struct gguf_metadata **out)
{
    *out = NULL;
    if (count > KEYS_MAX)
        return c->status =
                   error_set(c->err, STATUS_BAD_FILE, "%s: %" PRIu64 " metadata keys, at most %d are read",
                             c->file->name, count, KEYS_MAX);
    struct gguf_metadata *m = xcalloc(1, sizeof *m);
    for (uint64_t i = 0; i < count; i++) {
        if (read_pair(c, m))
            goto out;
    }
    if (m->count)
        qsort(m->value, m->count, sizeof *m->value, compare_keys);
    for (size_t i = 1; i < m->count; i++) {
        if (strcmp(m->value[i - 1].key, m->value[i].key) == 0) {
            fail(c, m->value[i].key, "is there twice");
            goto out;
        }
    }
    *out = m;
    return STATUS_OK;
out:
    gguf_metadata_close(m);
    return c->status;
}

void gguf_metadata_close(struct gguf_metadata *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++) {
        struct gguf_value *v = &m->value[i];
        free(v->key);
        free(v->text);
        free(v->strings);
        free(v->floats);
        free(v->ints);
    }
    free(m->value);
    free(m);
}

static const struct gguf_value *find_value(const struct gguf_metadata *m, const char *key)
{
    size_t begin = 0, end = m ? m->count : 0;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        int order = strcmp(key, m->value[middle].key);
        if (order == 0)
            return &m->value[middle];
        if (order < 0)
            end = middle;
        else
            begin = middle + 1;
    }
    return NULL;
}

static const struct gguf_value *find_kind(const struct gguf_metadata *m, const char *key,
                                          enum value_kind kind)
{
    const struct gguf_value *v = find_value(m, key);
    return v && v->kind == kind ? v : NULL;
}

bool gguf_has(const struct gguf_metadata *m, const char *key)
{
    return find_value(m, key) != NULL;
}

bool gguf_int(const struct gguf_metadata *m, const char *key, int64_t *out)
{
    const struct gguf_value *v = find_kind(m, key, KIND_INT);
    if (v)
        *out = v->integer;
    return v != NULL;
}

bool gguf_float(const struct gguf_metadata *m, const char *key, double *out)
{
    const struct gguf_value *v = find_kind(m, key, KIND_FLOAT);
    if (v)
        *out = v->real;
    return v != NULL;
}

bool gguf_bool(const struct gguf_metadata *m, const char *key, bool *out)
{
    const struct gguf_value *v = find_kind(m, key, KIND_BOOL);
    if (v)
        *out = v->integer != 0;
    return v != NULL;
}

const char *gguf_string(const struct gguf_metadata *m, const char *key)
{
    const struct gguf_value *v = find_kind(m, key, KIND_STRING);
    return v ? v->text : NULL;
}

const char *const *gguf_strings(const struct gguf_metadata *m, const char *key, size_t *count)
{
    const struct gguf_value *v = find_kind(m, key, KIND_STRINGS);
    *count = v ? v->count : 0;
    return v ? v->strings : NULL;
}

const float *gguf_floats(const struct gguf_metadata *m, const char *key, size_t *count)
{
    const struct gguf_value *v = find_kind(m, key, KIND_FLOATS);
    *count = v ? v->count : 0;
    return v ? v->floats : NULL;
}

const int32_t *gguf_ints(const struct gguf_metadata *m, const char *key, size_t *count)
{
    const struct gguf_value *v = find_kind(m, key, KIND_INTS);
    *count = v ? v->count : 0;
    return v ? v->ints : NULL;
}
