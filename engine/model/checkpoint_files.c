#include "base/memory.h"
#include "engine/model/checkpoint_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIDE_FILE_MAX = 256 * 1000 * 1000, JSON_VALUES_MAX = 1000 * 1000 };

/* Opens a regular file for reading; *size is its length. Returns -1 on failure, with err->status STATUS_OK
 * when there is no such file. */
static int open_regular(const char *path, size_t *size, struct error *err)
{
    int fd;
    err->status = STATUS_OK;
    do /* not blocking: opening a pipe must not wait for its writer */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            error_set(err, STATUS_BAD_FILE, "%.150s: cannot be opened: %s", path, strerror(errno));
        return -1;
    }
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        *size = (size_t)st.st_size;
        return fd;
    }
    error_set(err, STATUS_BAD_FILE, "%.150s: not a regular file", path);
    close(fd);
    return -1;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

enum status mapped_file_open(struct mapped_file *out, const char *path, struct error *err)
{
    size_t size;
    *out = (struct mapped_file){0};
    int fd = open_regular(path, &size, err);
    if (fd < 0)
        return err->status ? err->status
                           : error_set(err, STATUS_BAD_FILE, "%.150s: there is no such file", path);
    void *map = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    int reason = errno;
    close(fd);
    if (map == MAP_FAILED)
        return error_set(err, STATUS_BAD_FILE, "%.150s: %s%s", path, size ? "cannot be mapped: " : "is empty",
                         size ? strerror(reason) : "");
    *out = (struct mapped_file){.name = xstrdup(base_name(path)), .data = map, .size = size};
    return STATUS_OK;
}

void mapped_file_close(struct mapped_file *file)
{
    if (file->data)
        munmap((void *)(uintptr_t)file->data, file->size);
    free(file->name);
    *file = (struct mapped_file){0};
}

static char *read_whole(int fd, const char *name, size_t size, size_t *length, struct error *err)
{
    char *text = try_malloc(size + 1, 1);
    size_t n = 0;
    if (!text) {
        error_set(err, STATUS_NO_MEMORY, "%s: no memory for its %zu bytes", name, size);
        return NULL;
    }
    while (n < size) {
        ssize_t got = read(fd, text + n, size - n);
        if (got < 0 && errno != EINTR) {
            error_set(err, STATUS_BAD_FILE, "%s: cannot be read: %s", name, strerror(errno));
            free(text);
            return NULL;
        }
        if (got == 0)
            break; /* the file has shrunk; what is there is parsed and judged */
        n += got > 0 ? (size_t)got : 0;
    }
    text[n] = 0;
    if (length)
        *length = n;
    return text;
}

char *file_read(const char *path, const char *name, size_t *length, struct error *err)
{
    char *text = NULL;
    size_t size;
    int fd = open_regular(path, &size, err);
    if (fd < 0)
        return NULL;
    if (size > SIDE_FILE_MAX)
        error_set(err, STATUS_BAD_FILE, "%s: %zu bytes, at most %d are read", name, size, SIDE_FILE_MAX);
    else
        text = read_whole(fd, name, size, length, err);
    close(fd);
    return text;
}

json_t *json_object_read(const char *text, size_t length, const char *file, struct error *err)
{
    size_t values = 0;
    for (size_t i = 0; i < length; i++)
        values += text[i] == ',' || text[i] == '[' || text[i] == '{';
    if (values > JSON_VALUES_MAX) {
        error_set(err, STATUS_BAD_FILE, "%s: more than %d values in its JSON", file, JSON_VALUES_MAX);
        return NULL;
    }
    json_error_t reason;
    json_t *value = json_loadb(text, length, JSON_REJECT_DUPLICATES, &reason);
    if (!value && json_error_code(&reason) ==
                      json_error_numeric_overflow) /* transformers writes 10^30 for "no limit" */
        value = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &reason);
    if (!value) {
        error_set(err, STATUS_BAD_FILE, "%s: JSON, line %d column %d: %s", file, reason.line, reason.column,
                  reason.text);
        return NULL;
    }
    if (!json_is_object(value)) {
        error_set(err, STATUS_BAD_FILE, "%s: its JSON is not an object", file);
        json_decref(value);
        return NULL;
    }
    return value;
}
