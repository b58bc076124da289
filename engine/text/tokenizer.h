/* The tokenizer of a checkpoint: text <-> ids, equal to the tokenizers library's on any input.
 * Read from tokenizer.json (LLaMA BPE with byte fallback, byte-level BPE) or from the vocabulary inside a GGUF file.
 * Immutable after opening: any number of threads may use one. Encoding takes time linear in the text.
 *
 * Special tokens come from the template, never from what a person typed: the caller marks the bytes that came from
 * message content as plain, and no added token is matched that touches a plain byte. */
#ifndef VARGPT_ENGINE_TEXT_TOKENIZER_H
#define VARGPT_ENGINE_TEXT_TOKENIZER_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer;

/* Bytes begin..end-1 of a text. */
struct byte_range {
    size_t begin, end;
};

/* A growable list of ids; zero-initialise, release with token_list_release. */
struct token_list {
    int32_t *ids;
    size_t count, capacity;
};
void token_list_append(struct token_list *, int32_t id);
void token_list_release(struct token_list *);

/* Opens a tokenizer from the text of a tokenizer.json. A component that is not implemented is an error that names it. */
enum status tokenizer_open_json(struct tokenizer **out, const char *json, size_t length, struct error *err);

/* The vocabulary of a GGUF file (keys tokenizer.ggml.*); arrays are the caller's and may go after opening. */
struct tokenizer_vocab {
    const char *model; /* "llama" (SentencePiece scores) or "gpt2" (byte-level BPE with merges) */
    const char *pre;   /* name of the splitting rule for gpt2: "smollm", "gpt-2", "llama-bpe", "qwen2", ...; NULL = default */
    size_t count;
    const char *const *piece;   /* [count] NUL-terminated UTF-8, as stored */
    const float *score;         /* [count], or NULL */
    const int32_t *type;        /* [count] ggml token types (1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte), or NULL */
    const char *const *merge;   /* [merges] "left right", or NULL */
    size_t merges;
    int32_t bos, eos, unk;      /* -1 = none */
    bool add_bos, add_eos, add_space_prefix;
};
enum status tokenizer_open_vocab(struct tokenizer **out, const struct tokenizer_vocab *, struct error *err);

void tokenizer_close(struct tokenizer *); /* accepts NULL */

enum tokenizer_flags {
    TOKENIZER_ADD_SPECIAL = 1, /* apply the post-processor (e.g. <s> first), as the library does */
    TOKENIZER_ADD_ONCE = 4,    /* the same, but no prefix that the ids already begin with: for rendered prompts */
    TOKENIZER_PLAIN = 2,       /* match no added token at all */
};

/* Appends the ids of text[0..length) to *out. plain: ascending, disjoint ranges that came from message content (may be
 * NULL with n_plain 0). Invalid UTF-8 is read as U+FFFD. Fails only for lack of memory; *out is then unchanged. */
enum status tokenizer_encode(const struct tokenizer *, const char *text, size_t length, const struct byte_range *plain,
                             size_t n_plain, unsigned flags, struct token_list *out, struct error *err);

/* Appends the text of ids[0..n) to out, as the tokenizers library decodes it; ids without a piece decode to nothing. */
void tokenizer_decode(const struct tokenizer *, const int32_t *ids, size_t n, bool skip_special, struct buffer *out);

/* One more than the largest id with a piece (model rows may be more). */
int tokenizer_size(const struct tokenizer *);

/* The id of an added token or piece spelt exactly so, or -1. */
int32_t tokenizer_find(const struct tokenizer *, const char *text);

/* True for added tokens marked special (and control tokens of a GGUF). */
bool tokenizer_is_special(const struct tokenizer *, int32_t id);

/* The raw bytes that a token stands for in running text (logprobs' `bytes`: may be part of a character; special tokens:
 * their spelling; no piece: nothing). Appends to out. */
void tokenizer_token_bytes(const struct tokenizer *, int32_t id, struct buffer *out);

/* The ids the post-processor puts first (e.g. <s>), or -1 when it puts none. */
int32_t tokenizer_bos(const struct tokenizer *);

#endif
