/* data: URLs and base64. libb64 skips what it does not know and breaks its lines: here everything is checked
 * before and stripped after. */
#ifndef VARGPT_SERVER_DATA_URL_H
#define VARGPT_SERVER_DATA_URL_H

#include "base/buffer.h"
#include "base/error.h"

/* Appends the bytes of strict base64 (standard alphabet, padded, no spaces) to out. STATUS_BAD_REQUEST,
 * STATUS_NO_MEMORY, or STATUS_TOO_LARGE when out's maximum would be passed; out is then unchanged. */
enum status base64_decode(const char *text, size_t length, struct buffer *out, struct error *err);

/* Appends base64 in one line. Failure sticks in out. */
void base64_encode(const void *bytes, size_t length, struct buffer *out);

/* Appends the bytes of "data:[type][;parameters];base64,..." to out; scheme and "base64" in any case. The
 * label is not believed and not looked at. As base64_decode. */
enum status data_url_decode(const char *url, size_t length, struct buffer *out, struct error *err);

#endif
