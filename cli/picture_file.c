#include "cli/picture_file.h"

#include "base/memory.h"
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The extension with its dot, or the end of path. */
static const char *find_extension(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return dot && dot != name ? dot : name + strlen(name);
}

enum status picture_file_format(const char *path, enum picture_format *out, struct error *err)
{
    char lower[8] = "";
    const char *extension = find_extension(path);
    for (size_t i = 0; *extension && extension[i + 1] && i + 1 < sizeof lower; i++) {
        char c = extension[i + 1];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    if (strlen(extension) < sizeof lower && picture_format_parse(lower, out))
        return STATUS_OK;
    return error_set(err, STATUS_BAD_REQUEST, "%s: pictures are saved as .png, .jpg, .jpeg or .webp", path);
}

enum status picture_file_read(const char *path, struct picture *out, struct error *err)
{
    size_t length;
    char *bytes = cli_read_file(path, picture_default_limits.max_bytes, &length, err);
    if (!bytes)
        return err->status;
    enum status status = picture_decode(out, bytes, length, &picture_default_limits, err);
    free(bytes);
    return status == STATUS_OK ? status : error_prefix(err, "%s", path);
}

static enum status write_bytes(const char *path, const char *bytes, size_t length, struct error *err)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return error_set(err, STATUS_BAD_REQUEST, "%s: %s", path, strerror(errno));
    bool wrote = fwrite(bytes, 1, length, file) == length;
    bool closed = fclose(file) == 0;
    if (!wrote || !closed)
        return error_set(err, STATUS_BAD_REQUEST, "%s: not all could be written: %s", path, strerror(errno));
    return STATUS_OK;
}

enum status picture_file_write(const char *path, const struct picture *picture, int quality,
                               const struct picture_origin *origin, struct error *err)
{
    struct buffer bytes;
    enum picture_format format;
    enum status status = picture_file_format(path, &format, err);
    if (status != STATUS_OK)
        return status;
    buffer_init(&bytes, BUFFER_NO_LIMIT);
    status = picture_encode(picture, format, quality, origin, &bytes, err);
    if (status == STATUS_OK)
        status = write_bytes(path, bytes.data, bytes.length, err);
    buffer_release(&bytes);
    return status;
}

char *picture_file_numbered(const char *path, int number)
{
    const char *extension = find_extension(path);
    return xasprintf("%.*s-%d%s", (int)(extension - path), path, number, extension);
}

char *picture_file_unused(void)
{
    for (int i = 1;; i++) {
        char *path = picture_file_numbered("picture.png", i);
        if (access(path, F_OK) != 0 || i == 1000000)
            return path;
        free(path);
    }
}
