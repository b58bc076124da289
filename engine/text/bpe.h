/* Byte-pair encoding: a word (the whole text, for LLaMA) begins as one symbol a character and is merged pair
 * by pair, lowest rank first, leftmost first among equals. Time is O(n log n) in the word, and in practice
 * linear: a word is cut beforehand wherever no merge of the vocabulary can reach across. */
#ifndef VARGPT_ENGINE_TEXT_BPE_H
#define VARGPT_ENGINE_TEXT_BPE_H

#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

struct bpe_options {
    int32_t unk;        /* stands for unknown characters; -1: they vanish */
    bool fuse_unk;      /* one for a run of them */
    bool byte_fallback; /* unknown characters become <0xHH> pieces where all their bytes have one */
    bool ignore_merges; /* a word that is a piece is that piece */
    const bool *hidden; /* [vocabulary->size] ids that text may never become (special tokens), or NULL */
};

struct bpe {
    const struct vocabulary *vocabulary;
    struct bpe_options options;
    int32_t byte_id[256]; /* or -1 */
    int32_t *char_id;     /* [BPE_CHARS] by code point, or -1 */
    struct bpe_merge {
        uint64_t pair; /* left << 32 | right */
        uint32_t rank;
        int32_t id;
    } * merge; /* [slots] */
    uint32_t slots;
    uint64_t seed;
    uint64_t *junction; /* bits by hash of two symbols: some merge joins a piece ending in one, one beginning
                           with the other */
};

/* vocabulary and options.hidden must outlive it. Room for merges merges; false when memory is short; release
 * in any case. */
bool bpe_init(struct bpe *, const struct vocabulary *, const struct bpe_options *, size_t merges);
void bpe_release(struct bpe *);

/* left + right becomes id, which has a lower rank the sooner it is merged. All three are ids with pieces. A
 * pair that is there already gets the new rank. */
void bpe_add_merge(struct bpe *, int32_t left, int32_t right, uint32_t rank, int32_t id);

/* Working memory of one thread; zero-initialise. */
struct bpe_scratch {
    int32_t *symbol;
    size_t symbols, symbol_capacity;
    int32_t *before, *after; /* neighbours, for long words */
    uint64_t *heap;
    size_t link_capacity;
};
void bpe_scratch_release(struct bpe_scratch *);

/* Appends the ids of a word (valid UTF-8). False when memory is short. */
bool bpe_encode(const struct bpe *, struct bpe_scratch *, const char *word, size_t length,
                struct token_list *out);

#endif
