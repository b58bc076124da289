/* What a tokenizer is made of: shared by the files that open one and the one that uses it. */
#ifndef VARGPT_ENGINE_TEXT_TOKENIZER_PARTS_H
#define VARGPT_ENGINE_TEXT_TOKENIZER_PARTS_H

#include "engine/text/added_tokens.h"
#include "engine/text/bpe.h"
#include "engine/text/decoder.h"
#include "engine/text/pre_tokenizer.h"

enum { TEMPLATE_IDS = 64 }; /* most ids the post-processor may put before or behind a text */

struct tokenizer {
    struct vocabulary vocabulary; /* the model's pieces and the added tokens */
    bool *special;                /* [vocabulary.size] */
    bool *hidden; /* [vocabulary.size] ids that text may not turn into: special or not the model's */
    struct spelling {
        int32_t id;
        uint32_t length;
        char *text;
    } * spelling; /* [spellings] by id: added tokens that are decoded in their normalized form */
    size_t spellings;
    struct bpe bpe;
    struct added_tokens added;            /* searched for in the text as it is */
    struct added_tokens added_normalized; /* in the normalized text */
    struct normalizer normalizer;
    struct pre_tokenizer pre_tokenizer;
    struct decoder decoder;
    int32_t prefix[TEMPLATE_IDS], suffix[TEMPLATE_IDS];
    size_t n_prefix, n_suffix;
};

/* Fills in special and hidden for a vocabulary that is complete: all false. False when memory is short. */
bool tokenizer_make_flags(struct tokenizer *);

/* What the decoder gets for an id: its piece, mostly; NULL when it has none or is special and those are
 * skipped. */
const char *tokenizer_decoded_piece(const struct tokenizer *, int32_t id, bool skip_special, size_t *length);

#endif
