/* The decoder of a tokenizer.json: steps that turn the pieces of ids into text, one piece at a time, so that
 * a reply can be shown while it is made. What a step cannot know yet it holds back. */
#ifndef VARGPT_ENGINE_TEXT_DECODER_H
#define VARGPT_ENGINE_TEXT_DECODER_H

#include "engine/text/normalizer.h"

struct decoder_step {
    enum decoder_kind {
        DECODER_REPLACE,
        DECODER_BYTES,      /* runs of <0xHH> become the text of their bytes */
        DECODER_FUSE,       /* all pieces become one */
        DECODER_STRIP,      /* up to left, right times content from the ends of a piece */
        DECODER_BYTE_LEVEL, /* characters become the bytes they stand for; all pieces become one */
        DECODER_METASPACE,  /* content becomes a space, or nothing in the first piece */
        DECODER_SUFFIX,     /* content becomes a space, or nothing in the last piece */
        DECODER_JOIN,       /* pieces are joined with spaces */
    } kind;
    struct pattern pattern;
    char *content;
    size_t content_length;
    size_t left, right;
    bool drop_first; /* metaspace: the first piece loses its content */
    bool joined;     /* an earlier step has made one piece of all */
};

struct decoder {
    struct decoder_step step[COMPONENT_STEPS];
    size_t count;
};

/* component: the "decoder" of the file, or null. Release in any case. */
enum status decoder_read(struct decoder *, const json_t *component, struct error *err);
void decoder_release(struct decoder *);

/* The decoders of the two kinds of vocabularies: LLaMA's (strip: without the first space), byte-level. */
void decoder_make_llama(struct decoder *, bool strip);
void decoder_make_byte_level(struct decoder *);

/* One text being decoded. */
struct decoding {
    const struct decoder *decoder;
    struct regex_run regex;
    struct decoding_step {
        struct buffer held;
        size_t skipped, ends; /* strip: contents dropped on the left, contents that wait for the end */
        bool begun;           /* a piece has come; strip: something stays, so the left end is over */
        bool broken;          /* this run of bytes is not UTF-8 */
        bool flowing;         /* this run of bytes is long, and its characters are let go */
    } state[COMPONENT_STEPS];
};

void decoding_init(struct decoding *, const struct decoder *);
void decoding_release(struct decoding *);

/* Takes a piece and appends what can be said; finish appends the rest. */
void decoding_push(struct decoding *, const char *piece, size_t length, struct buffer *out);
void decoding_finish(struct decoding *, struct buffer *out);

/* The bytes that a piece stands for amid others. */
void decoder_piece_bytes(const struct decoder *, const char *piece, size_t length, struct buffer *out);

#endif
