/* GPT-2's way to write any byte as a printable character: printable bytes stand for themselves (as Latin-1),
 * the others for U+0100 and the characters after it, in order. */
#ifndef VARGPT_ENGINE_TEXT_BYTE_LEVEL_H
#define VARGPT_ENGINE_TEXT_BYTE_LEVEL_H

#include "engine/text/marked_text.h"

#include <stddef.h>

/* Appends the characters that stand for the bytes of a text; each carries its byte's mark. */
void byte_level_write(struct marked_text *out, struct span text);

/* Appends the bytes that the characters of valid UTF-8 stand for. Where one of them stands for none, the text
 * itself. */
void byte_level_read(struct buffer *out, const char *text, size_t length);

#endif
