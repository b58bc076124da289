/* Pictures kept for a while, to be fetched by their names: what `response_format: "url"` hands out. A name is
 * 128 random bits, so whoever knows it may see the picture. Bounded in number, in bytes and in time; the
 * oldest go first. Nothing is written to disk. Any thread. */
#ifndef VARGPT_SERVER_PICTURE_STORE_H
#define VARGPT_SERVER_PICTURE_STORE_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdint.h>

enum { PICTURE_NAME_DIGITS = 32, PICTURE_NAME_BYTES = PICTURE_NAME_DIGITS + 1 };

struct picture_store;

/* count 0: nothing is kept. */
struct picture_store *picture_store_open(int count, size_t bytes, int seconds);
void picture_store_close(struct picture_store *); /* accepts NULL */

/* Keeps a copy of a file and makes up its name: lower-case hexadecimal digits, NUL-terminated. type: "png",
 * static. STATUS_BAD_REQUEST when it alone is over the limit, STATUS_NO_MEMORY. */
enum status picture_store_put(struct picture_store *, const char *type, const void *bytes, size_t length,
                              char name[PICTURE_NAME_BYTES], struct error *err);

/* A copy of the file of that name (digits only; what follows them is the caller's to check) appended to out.
 * The seconds it will be kept on, at least 1; 0 when there is none. *type: its type. */
int picture_store_get(struct picture_store *, const char *name, size_t name_length, struct buffer *out,
                      const char **type);

#endif
