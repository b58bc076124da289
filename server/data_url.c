#include "server/data_url.h"

#include <b64/cdecode.h>
#include <b64/cencode.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

enum { STEP = 3 * 16384 }; /* bytes a call of libb64, whose lengths are int */

static bool in_alphabet(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* The bits of the last character that would be dropped must be zero: one text per content. */
static bool tail_is_canonical(char last, size_t padding)
{
    const char *alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = strchr(alphabet, last);
    return found && ((found - alphabet) & (padding == 2 ? 15 : 3)) == 0;
}

static enum status check(const char *text, size_t length, size_t *padding, struct error *err)
{
    *padding = 0;
    if (length == 0)
        return error_set(err, STATUS_BAD_REQUEST, "the base64 data is empty");
    if (length % 4 != 0)
        return error_set(err, STATUS_BAD_REQUEST,
                         "base64 data must come in groups of 4 characters, padded with '='");
    while (*padding < 2 && text[length - 1 - *padding] == '=')
        ++*padding;
    for (size_t i = 0; i < length - *padding; i++)
        if (!in_alphabet(text[i]))
            return error_set(err, STATUS_BAD_REQUEST, "character %zu is not base64", i);
    if (*padding && !tail_is_canonical(text[length - 1 - *padding], *padding))
        return error_set(err, STATUS_BAD_REQUEST, "the base64 data ends in stray bits");
    return STATUS_OK;
}

enum status base64_decode(const char *text, size_t length, struct buffer *out, struct error *err)
{
    size_t padding;
    if (check(text, length, &padding, err))
        return err->status;
    size_t size = length / 4 * 3 - padding;
    if (size > out->maximum || out->length > out->maximum - size)
        return error_set(err, STATUS_TOO_LARGE, "the data has %zu bytes, the limit is %zu", size,
                         out->maximum);
    out->maximum += 8; /* libb64 touches a byte beyond what it returns */
    char *to = buffer_reserve(out, size + 8);
    out->maximum -= 8;
    if (!to) {
        out->failed = false;
        return error_set(err, STATUS_NO_MEMORY, "no memory for a picture");
    }
    base64_decodestate state;
    base64_init_decodestate(&state);
    size_t end = length - padding, made = 0;
    for (size_t at = 0; at < end; at += 4 * STEP / 3) {
        size_t n = end - at < 4 * STEP / 3 ? end - at : 4 * STEP / 3;
        made += (size_t)base64_decode_block(text + at, (int)n, to + made, &state);
    }
    out->length += size;
    out->data[out->length] = 0;
    return made >= size ? STATUS_OK : error_set(err, STATUS_BAD_REQUEST, "the base64 data is damaged");
}

/* libb64 ends its lines every 72 characters. */
static size_t strip_newlines(char *text, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (text[i] != '\n')
            text[kept++] = text[i];
    return kept;
}

void base64_encode(const void *bytes, size_t length, struct buffer *out)
{
    enum { ROOM = STEP / 3 * 4 + STEP / 3 * 4 / 72 + 16 };
    base64_encodestate state;
    base64_init_encodestate(&state);
    const char *from = bytes;
    for (size_t at = 0; at < length; at += STEP) {
        int n = (int)(length - at < STEP ? length - at : STEP);
        char *to = buffer_reserve(out, ROOM);
        if (!to)
            return;
        int made = base64_encode_block(from + at, n, to, &state);
        if (at + (size_t)n == length)
            made += base64_encode_blockend(to + made, &state);
        out->length += strip_newlines(to, (size_t)made);
        out->data[out->length] = 0;
    }
}

enum status data_url_decode(const char *url, size_t length, struct buffer *out, struct error *err)
{
    enum { LONGEST_HEAD = 256 };
    static const char scheme[] = "data:", coding[] = ";base64";
    if (length < 5 || strncasecmp(url, scheme, 5) != 0)
        return error_set(err, STATUS_BAD_REQUEST, "expected a URL such as data:image/png;base64,...");
    size_t look = length < LONGEST_HEAD ? length : LONGEST_HEAD;
    const char *comma = memchr(url, ',', look);
    if (!comma)
        return error_set(err, STATUS_BAD_REQUEST,
                         "the data: URL has no comma; expected data:image/png;base64,...");
    size_t head = (size_t)(comma - url), n = sizeof coding - 1;
    if (head < 5 + n || strncasecmp(comma - n, coding, n) != 0)
        return error_set(err, STATUS_BAD_REQUEST,
                         "the data: URL is not base64; expected data:image/png;base64,...");
    return base64_decode(comma + 1, length - head - 1, out, err);
}
