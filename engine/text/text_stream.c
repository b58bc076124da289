#include "engine/text/text_stream.h"

#include "base/memory.h"
#include "engine/text/tokenizer_parts.h"

#include <stdlib.h>

struct text_stream {
    const struct tokenizer *tokenizer;
    bool skip_special;
    struct decoding decoding;
};

struct text_stream *text_stream_open(const struct tokenizer *tokenizer, bool skip_special)
{
    struct text_stream *stream = xmalloc(sizeof *stream);
    stream->tokenizer = tokenizer;
    stream->skip_special = skip_special;
    decoding_init(&stream->decoding, &tokenizer->decoder);
    return stream;
}

void text_stream_close(struct text_stream *stream)
{
    if (!stream)
        return;
    decoding_release(&stream->decoding);
    free(stream);
}

void text_stream_push(struct text_stream *stream, int32_t id, struct buffer *out)
{
    size_t length;
    const char *piece = tokenizer_decoded_piece(stream->tokenizer, id, stream->skip_special, &length);
    if (piece)
        decoding_push(&stream->decoding, piece, length, out);
}

void text_stream_finish(struct text_stream *stream, struct buffer *out)
{
    decoding_finish(&stream->decoding, out);
}
