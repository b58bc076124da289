#include "base/memory.h"
#include "engine/model/checkpoint_parts.h"

#include <stdlib.h>
#include <string.h>

enum status tensor_table_add(struct tensor_table *table, const struct checkpoint_tensor *values,
                             const char *unread_type, struct error *err)
{
    if (table->count == table->capacity) {
        size_t capacity = table->capacity ? table->capacity * 2 : 256;
        struct tensor_entry *grown = try_realloc(table->entry, capacity, sizeof *grown);
        if (!grown)
            return error_set(err, STATUS_NO_MEMORY, "%s: no memory for a table of %zu tensors", values->file,
                             capacity);
        table->entry = grown;
        table->capacity = capacity;
    }
    size_t length = strlen(values->name);
    char *name = try_malloc(length + 1, 1);
    if (!name)
        return error_set(err, STATUS_NO_MEMORY, "%s: no memory for a tensor's name", values->file);
    memcpy(name, values->name, length + 1);
    struct tensor_entry *entry = &table->entry[table->count++];
    *entry = (struct tensor_entry){.tensor = *values, .name = name, .unread_type = unread_type};
    entry->tensor.name = name;
    return STATUS_OK;
}

static int compare_names(const void *a, const void *b)
{
    const struct tensor_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

enum status tensor_table_sort(struct tensor_table *table, struct error *err)
{
    if (table->count)
        qsort(table->entry, table->count, sizeof *table->entry, compare_names);
    for (size_t i = 1; i < table->count; i++) {
        const struct checkpoint_tensor *a = &table->entry[i - 1].tensor, *b = &table->entry[i].tensor;
        if (strcmp(a->name, b->name) == 0)
            return error_set(err, STATUS_BAD_FILE, "%s: tensor '%s' is there twice (also in %s)", b->file,
                             b->name, a->file);
    }
    return STATUS_OK;
}

void tensor_table_release(struct tensor_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        free(table->entry[i].name);
        free(table->entry[i].copy);
    }
    free(table->entry);
    *table = (struct tensor_table){0};
}

enum status tensor_entry_copy(struct tensor_entry *entry, struct error *err)
{
    struct checkpoint_tensor *t = &entry->tensor;
    void *copy = try_malloc_aligned(t->bytes, 1);
    if (!copy)
        return error_set(err, STATUS_NO_MEMORY, "%s: tensor '%s': no memory for a copy of %zu bytes", t->file,
                         t->name, t->bytes);
    memcpy(copy, t->data, t->bytes);
    free(entry->copy);
    entry->copy = copy;
    t->data = copy;
    return STATUS_OK;
}

static int compare_spans(const void *a, const void *b)
{
    const struct file_span *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

void file_spans_sort(struct file_span *spans, size_t count)
{
    if (count)
        qsort(spans, count, sizeof *spans, compare_spans);
}

bool shape_count(const int64_t *shape, int n_dims, size_t *out)
{
    size_t count = 1;
    bool empty = false;
    for (int i = 0; i < n_dims; i++) {
        empty |= shape[i] == 0;
        /* a 0 among huge sizes must not hide that the rest of the product wraps */
        if (shape[i] != 0 && !size_mul(count, (size_t)shape[i], &count))
            return false;
    }
    *out = empty ? 0 : count;
    return true;
}
