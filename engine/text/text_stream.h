/* The streaming detokenizer: ids in, whole UTF-8 characters out. Never emits half a character, and the concatenation of
 * all it emits equals tokenizer_decode of all ids (docs/model.md, "Prompt and tokens": a run of byte tokens is held back
 * until it ends; one longer than 64 bytes lets its valid characters go). */
#ifndef VARGPT_ENGINE_TEXT_TEXT_STREAM_H
#define VARGPT_ENGINE_TEXT_TEXT_STREAM_H

#include "engine/text/tokenizer.h"

struct text_stream;

/* tokenizer must outlive the stream. skip_special: special tokens give no text. */
struct text_stream *text_stream_open(const struct tokenizer *, bool skip_special);
void text_stream_close(struct text_stream *); /* accepts NULL */

/* Takes one id; appends to out what can now be shown (perhaps nothing). */
void text_stream_push(struct text_stream *, int32_t id, struct buffer *out);

/* The reply has ended: appends what was held back (incomplete bytes by the library's rule, U+FFFD). */
void text_stream_finish(struct text_stream *, struct buffer *out);

#endif
