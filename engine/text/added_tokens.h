/* Added tokens: spellings that are cut out of a text before anything else happens to it. At each place the
 * longest that fits is taken; the search goes on behind it. */
#ifndef VARGPT_ENGINE_TEXT_ADDED_TOKENS_H
#define VARGPT_ENGINE_TEXT_ADDED_TOKENS_H

#include "engine/text/marked_text.h"

#include <stdint.h>

/* Longer spellings are refused: the search takes time in proportion to the longest. */
enum { ADDED_TOKEN_BYTES = 1024, ADDED_TOKENS_MAX = 1 << 20 };

struct added_token {
    char *text;      /* as it is searched for */
    uint32_t length; /* > 0 */
    int32_t id;
    uint32_t order;      /* of two with the same text the first wins */
    bool single_word;    /* not inside a word */
    bool lstrip, rstrip; /* takes the white space before, behind it along */
};

struct added_tokens {
    struct added_token *token; /* sorted by text once ready */
    size_t count, capacity;
    uint32_t first[257]; /* tokens that begin with byte b: first[b]..first[b+1]-1 */
};

/* Copies text. Zero-initialise before the first; false when memory is short. */
bool added_tokens_add(struct added_tokens *, const struct added_token *);
/* Call after the last one was added, before searching. */
void added_tokens_ready(struct added_tokens *);
void added_tokens_release(struct added_tokens *);

/* One walk over a text; set tokens and text, the rest zero. */
struct added_walk {
    const struct added_tokens *tokens;
    struct span text;
    size_t next;  /* where the search goes on */
    size_t taken; /* end of the token found last, with its white space */
};

struct added_match {
    size_t begin, end; /* with the white space taken along */
    int32_t id;
};

/* The next token; false at the end. No token and no white space taken along is marked plain. */
bool added_tokens_next(struct added_walk *, struct added_match *);

#endif
