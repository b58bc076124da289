#include "engine/model/checkpoint.h"

#include "base/log.h"
#include "base/memory.h"
#include "engine/model/checkpoint_parts.h"
#include "engine/model/gguf.h"
#include "engine/model/safetensors.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SHARDS_MAX = 4096 };

struct checkpoint {
    char *path;
    struct mapped_file *file;
    size_t n_files;
    struct tensor_table table;            /* sorted by name; includes tensors of types that are not read */
    const struct tensor_entry **readable; /* the entries that can be found, in the table's order */
    size_t n_readable;
    struct gguf_metadata *metadata; /* of a GGUF file; otherwise NULL */
    bool has_no_folder;             /* a file alone: nothing beside it belongs to it */
};

/* ---- folders ---- */

static char *join_path(const char *folder, const char *name)
{
    size_t n = strlen(folder);
    return xasprintf("%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name);
}

static bool file_exists(const char *folder, const char *name)
{
    struct stat st;
    char *path = join_path(folder, name);
    bool exists = stat(path, &st) == 0;
    free(path);
    return exists;
}

char *checkpoint_read_file(const struct checkpoint *ck, const char *name, size_t *length, struct error *err)
{
    assert(!strchr(name, '/'));
    err->status = STATUS_OK;
    if (ck->has_no_folder)
        return NULL;
    char *path = join_path(ck->path, name);
    char *text = file_read(path, name, length, err);
    free(path);
    return text;
}

static const char single_file[] = "model.safetensors", index_file[] = "model.safetensors.index.json";

static enum status add_file(struct checkpoint *ck, const char *path, struct mapped_file **out,
                            struct error *err)
{
    *out = &ck->file[ck->n_files];
    enum status status = mapped_file_open(*out, path, err);
    if (status == STATUS_OK)
        ck->n_files++;
    return status;
}

static enum status open_single(struct checkpoint *ck, const char *name, struct error *err)
{
    struct mapped_file *file;
    char *path = join_path(ck->path, name);
    enum status status = add_file(ck, path, &file, err);
    free(path);
    return status ? status : safetensors_read(file, &ck->table, err);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A file of the same folder and nothing else: an index must not make us read /etc or a neighbour's files. */
static bool is_plain_file_name(const char *name)
{
    size_t n = strlen(name);
    return tensor_name_is_sane(name, n) && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* The shards an index names, each once: *out has *count strings owned by the map. Caller frees *out. */
static enum status list_shards(const json_t *map, const char ***out, size_t *count, struct error *err)
{
    size_t n = 0;
    const char *tensor;
    json_t *value;
    const char **names = try_malloc(json_object_size(map), sizeof *names);
    if (!names)
        return error_set(err, STATUS_NO_MEMORY, "%s: no memory for its list", index_file);
    json_object_foreach((json_t *)(uintptr_t)map, tensor, value)
    {
        const char *name = json_string_value(value);
        if (!name || !is_plain_file_name(name)) {
            free(names);
            return error_set(err, STATUS_BAD_FILE, "%s: tensor '%.100s': its file is not a plain file name",
                             index_file, tensor);
        }
        names[n++] = name;
    }
    if (n)
        qsort(names, n, sizeof *names, compare_texts);
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        if (*count == 0 || strcmp(names[*count - 1], names[i]) != 0)
            names[(*count)++] = names[i];
    }
    *out = names;
    return STATUS_OK;
}

static const struct tensor_entry *find_entry(const struct checkpoint *ck, const char *name);

/* Each tensor of the index is in the file that the index names. */
static enum status check_index(const struct checkpoint *ck, const json_t *map, struct error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, name, value)
    {
        const char *file = json_string_value(value);
        char canonical[CANONICAL_NAME_SIZE];
        canonical_name_from_hf(name, canonical);
        const struct tensor_entry *entry = find_entry(ck, canonical);
        if (!entry || strcmp(entry->tensor.file, file) != 0)
            return error_set(err, STATUS_BAD_FILE,
                             "%s: tensor '%.80s' is not in %.60s, where the index has it", index_file, name,
                             file);
    }
    return STATUS_OK;
}

static enum status open_shards(struct checkpoint *ck, struct error *err)
{
    const char **shards = NULL;
    size_t length, count = 0;
    json_t *index = NULL;
    enum status status;
    char *text = checkpoint_read_file(ck, index_file, &length, err);
    if (!text)
        return err->status ? err->status : error_set(err, STATUS_BAD_FILE, "%s: cannot be found", index_file);
    index = json_object_read(text, length, index_file, err);
    free(text);
    if (!index)
        return err->status;
    const json_t *map = json_object_get(index, "weight_map");
    if (!json_is_object(map)) {
        status = error_set(err, STATUS_BAD_FILE, "%s: no weight_map", index_file);
        goto out;
    }
    if ((status = list_shards(map, &shards, &count, err)))
        goto out;
    if (count == 0 || count > SHARDS_MAX) {
        status = error_set(err, STATUS_BAD_FILE, "%s: names %zu files, 1 to %d are read", index_file, count,
                           SHARDS_MAX);
        goto out;
    }
    ck->file = xcalloc(count, sizeof *ck->file);
    for (size_t i = 0; i < count; i++) {
        if ((status = open_single(ck, shards[i], err)))
            goto out;
    }
    if ((status = tensor_table_sort(&ck->table, err)) == STATUS_OK)
        status = check_index(ck, map, err);
out:
    free(shards);
    json_decref(index);
    return status;
}

static enum status open_folder(struct checkpoint *ck, struct error *err)
{
    if (file_exists(ck->path, single_file)) {
        ck->file = xcalloc(1, sizeof *ck->file);
        enum status status = open_single(ck, single_file, err);
        return status ? status : tensor_table_sort(&ck->table, err);
    }
    if (file_exists(ck->path, index_file))
        return open_shards(ck, err);
    return error_set(err, STATUS_BAD_FILE,
                     "%.100s: holds neither %s nor %s (a GGUF model is named by its file)", ck->path,
                     single_file, index_file);
}

static bool is_safetensors_name(const char *path)
{
    static const char ending[] = ".safetensors";
    size_t n = strlen(path);
    return n >= sizeof ending && strcmp(path + n - (sizeof ending - 1), ending) == 0;
}

static enum status open_file(struct checkpoint *ck, struct error *err)
{
    struct mapped_file *file;
    ck->file = xcalloc(1, sizeof *ck->file);
    enum status status = add_file(ck, ck->path, &file, err);
    if (status == STATUS_OK) {
        ck->has_no_folder = true;
        status = is_safetensors_name(ck->path) ? safetensors_read(file, &ck->table, err)
                                               : gguf_read(file, &ck->metadata, &ck->table, err);
    }
    return status ? status : tensor_table_sort(&ck->table, err);
}

/* ---- the door ---- */

static enum status list_readable(struct checkpoint *ck, struct error *err)
{
    ck->readable = try_malloc(ck->table.count, sizeof *ck->readable);
    if (!ck->readable)
        return error_set(err, STATUS_NO_MEMORY, "%.150s: no memory for its list of tensors", ck->path);
    for (size_t i = 0; i < ck->table.count; i++) {
        if (!ck->table.entry[i].unread_type)
            ck->readable[ck->n_readable++] = &ck->table.entry[i];
    }
    return STATUS_OK;
}

enum status checkpoint_open(struct checkpoint **out, const char *path, struct error *err)
{
    struct error unseen;
    struct stat st;
    *out = NULL;
    if (!err)
        err = &unseen;
    if (stat(path, &st))
        return error_set(err, STATUS_BAD_FILE, "%.150s: cannot be opened: %s", path, strerror(errno));
    struct checkpoint *ck = xcalloc(1, sizeof *ck);
    ck->path = xstrdup(path);
    enum status status = S_ISDIR(st.st_mode) ? open_folder(ck, err) : open_file(ck, err);
    if (status == STATUS_OK)
        status = list_readable(ck, err);
    if (status) {
        checkpoint_close(ck);
        return status;
    }
    log_debug("%s: %zu tensors in %zu files", path, ck->n_readable, ck->n_files);
    *out = ck;
    return STATUS_OK;
}

void checkpoint_close(struct checkpoint *ck)
{
    if (!ck)
        return;
    gguf_metadata_close(ck->metadata);
    tensor_table_release(&ck->table);
    for (size_t i = 0; i < ck->n_files; i++)
        mapped_file_close(&ck->file[i]);
    free(ck->readable);
    free(ck->file);
    free(ck->path);
    free(ck);
}

static const struct tensor_entry *find_entry(const struct checkpoint *ck, const char *name)
{
    size_t begin = 0, end = ck->table.count;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        int order = strcmp(name, ck->table.entry[middle].name);
        if (order == 0)
            return &ck->table.entry[middle];
        if (order < 0)
            end = middle;
        else
            begin = middle + 1;
    }
    return NULL;
}

const struct checkpoint_tensor *checkpoint_find(const struct checkpoint *ck, const char *name)
{
    const struct tensor_entry *entry = find_entry(ck, name);
    return entry && !entry->unread_type ? &entry->tensor : NULL;
}

const char *checkpoint_unread_type(const struct checkpoint *ck, const char *name)
{
    const struct tensor_entry *entry = find_entry(ck, name);
    return entry ? entry->unread_type : NULL;
}

const struct checkpoint_tensor *checkpoint_find_raw(const struct checkpoint *ck, const char *name,
                                                    const char **type_name)
{
    const struct tensor_entry *entry = find_entry(ck, name);
    if (!entry)
        return NULL;
    *type_name = entry->unread_type ? entry->unread_type : dtype_name(entry->tensor.type);
    return &entry->tensor;
}

size_t checkpoint_count(const struct checkpoint *ck)
{
    return ck->n_readable;
}

const struct checkpoint_tensor *checkpoint_at(const struct checkpoint *ck, size_t i)
{
    assert(i < ck->n_readable);
    return &ck->readable[i]->tensor;
}

bool checkpoint_is_gguf(const struct checkpoint *ck)
{
    return ck->metadata != NULL;
}

const char *checkpoint_path(const struct checkpoint *ck)
{
    return ck->path;
}

bool checkpoint_gguf_has(const struct checkpoint *ck, const char *key)
{
    return gguf_has(ck->metadata, key);
}

bool checkpoint_gguf_int(const struct checkpoint *ck, const char *key, int64_t *out)
{
    return gguf_int(ck->metadata, key, out);
}

bool checkpoint_gguf_float(const struct checkpoint *ck, const char *key, double *out)
{
    return gguf_float(ck->metadata, key, out);
}

bool checkpoint_gguf_bool(const struct checkpoint *ck, const char *key, bool *out)
{
    return gguf_bool(ck->metadata, key, out);
}

const char *checkpoint_gguf_string(const struct checkpoint *ck, const char *key)
{
    return gguf_string(ck->metadata, key);
}

const char *const *checkpoint_gguf_strings(const struct checkpoint *ck, const char *key, size_t *count)
{
    return gguf_strings(ck->metadata, key, count);
}

const float *checkpoint_gguf_floats(const struct checkpoint *ck, const char *key, size_t *count)
{
    return gguf_floats(ck->metadata, key, count);
}

const int32_t *checkpoint_gguf_ints(const struct checkpoint *ck, const char *key, size_t *count)
{
    return gguf_ints(ck->metadata, key, count);
}
