/* Pictures in files, by the names people give them. */
#ifndef VARGPT_CLI_PICTURE_FILE_H
#define VARGPT_CLI_PICTURE_FILE_H

#include "engine/picture/codec.h"

/* The format that a file name's extension asks for; STATUS_BAD_REQUEST when it names none we write. */
enum status picture_file_format(const char *path, enum picture_format *out, struct error *err);

/* Reads a picture; the error names the file. */
enum status picture_file_read(const char *path, struct picture *out, struct error *err);

/* Writes a picture in the format of its name; a PNG carries origin (may be NULL). quality: of JPEG and WebP.
 */
enum status picture_file_write(const char *path, const struct picture *, int quality,
                               const struct picture_origin *, struct error *err);

/* "out.png" with -number before the extension; malloc'ed. */
char *picture_file_numbered(const char *path, int number);

/* "picture-1.png", or the first such name that no file in the working directory has; malloc'ed. */
char *picture_file_unused(void);

#endif
