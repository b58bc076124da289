#include "engine/text/byte_level.h"

#include "engine/text/utf8.h"

enum { FIRST_SUBSTITUTE = 0x100, SUBSTITUTES = 68, SUBSTITUTED_BELOW = 33, NONE = -1 };

static bool is_printable(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

static uint32_t char_of_byte(unsigned byte)
{
    if (is_printable(byte))
        return byte;
    if (byte < SUBSTITUTED_BELOW)
        return FIRST_SUBSTITUTE + byte;
    return byte == 0xAD ? FIRST_SUBSTITUTE + SUBSTITUTES - 1
                        : FIRST_SUBSTITUTE + SUBSTITUTED_BELOW + (byte - 0x7F);
}

static int byte_of_char(uint32_t code)
{
    if (code < FIRST_SUBSTITUTE)
        return is_printable(code) ? (int)code : NONE;
    uint32_t i = code - FIRST_SUBSTITUTE;
    if (i < SUBSTITUTED_BELOW)
        return (int)i;
    if (i < SUBSTITUTES - 1)
        return (int)(0x7F + i - SUBSTITUTED_BELOW);
    return i == SUBSTITUTES - 1 ? 0xAD : NONE;
}

void byte_level_write(struct marked_text *out, struct span text)
{
    char *to = buffer_reserve(&out->text, 2 * text.length);
    if (!to)
        return;
    size_t n = 0;
    for (size_t i = 0; i < text.length; i++) {
        size_t length = utf8_put(to + n, char_of_byte((unsigned char)text.text[i]));
        n += length;
        for (; out->marked && length > 0; length--)
            buffer_append_char(&out->mark, text.mark[i]);
    }
    out->text.length += n;
    out->text.data[out->text.length] = 0;
}

void byte_level_read(struct buffer *out, const char *text, size_t length)
{
    char *to = buffer_reserve(out, length);
    size_t n = 0, step;
    if (!to)
        return;
    for (size_t at = 0; at < length; at += step) {
        int byte = byte_of_char(utf8_get(text + at, &step));
        if (byte == NONE) {
            buffer_append(out, text, length);
            return;
        }
        to[n++] = (char)byte;
    }
    out->length += n;
    out->data[out->length] = 0;
}
