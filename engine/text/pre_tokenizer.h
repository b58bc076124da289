/* The pre-tokenizer of a tokenizer.json: steps that cut a text into words, some of which rewrite it too.
 * Every word goes to the byte-pair encoder at once; no list of words is kept. */
#ifndef VARGPT_ENGINE_TEXT_PRE_TOKENIZER_H
#define VARGPT_ENGINE_TEXT_PRE_TOKENIZER_H

#include "engine/text/bpe.h"
#include "engine/text/normalizer.h"

/* What becomes of a match when a text is split at it. */
enum split_behavior {
    SPLIT_REMOVED,
    SPLIT_ISOLATED,
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
    SPLIT_CONTIGUOUS, /* matches that touch are one */
};

struct splitter {
    enum splitter_kind {
        SPLITTER_PATTERN,
        SPLITTER_BYTE_LEVEL, /* GPT-2's expression (unless it has no pattern), then bytes as characters */
        SPLITTER_METASPACE,  /* spaces become content, and words begin with it */
        SPLITTER_DIGITS,
        SPLITTER_SPACE, /* at white space */
        SPLITTER_PUNCTUATION,
        SPLITTER_CHAR,   /* at the character that content is */
        SPLITTER_WORDS,  /* runs of \w, runs of neither \w nor \s */
        SPLITTER_LENGTH, /* after every `width` characters */
    } kind;
    enum split_behavior behavior;
    bool invert;
    bool has_pattern;
    struct pattern pattern;
    char content[4]; /* one character */
    size_t content_length;
    size_t width;
    bool cut; /* metaspace: cut before each content */
    enum splitter_prefix {
        PREFIX_NEVER,
        PREFIX_FIRST,
        PREFIX_ALWAYS
    } prefix; /* a space in front of the text */
};

struct pre_tokenizer {
    struct splitter step[COMPONENT_STEPS];
    size_t count;
};

/* component: the "pre_tokenizer" of the file, or null. Release in any case. */
enum status pre_tokenizer_read(struct pre_tokenizer *, const json_t *component, struct error *err);
void pre_tokenizer_release(struct pre_tokenizer *);

/* Adds a step that isolates the matches of an expression. */
enum status pre_tokenizer_add_regex(struct pre_tokenizer *, const char *regex, struct error *err);
/* Adds a step that isolates every digit. */
void pre_tokenizer_add_digits(struct pre_tokenizer *);
/* Adds the step that writes bytes as characters. */
void pre_tokenizer_add_bytes(struct pre_tokenizer *);

/* True when a step asks which text stands at the beginning (MARK_ORIGIN). */
bool pre_tokenizer_needs_origin(const struct pre_tokenizer *);

/* What one encoding works with. */
struct encode_work {
    const struct pre_tokenizer *splitters;
    const struct bpe *bpe;
    struct bpe_scratch scratch;
    struct regex_run regex;
    struct marked_text rewritten[COMPONENT_STEPS]; /* by step, for those that rewrite */
    struct token_list *out;
};

void encode_work_init(struct encode_work *, const struct pre_tokenizer *, const struct bpe *, bool marked,
                      struct token_list *out);
void encode_work_release(struct encode_work *);

/* Appends the ids of a text. False when memory is short. */
bool pre_tokenizer_run(struct encode_work *, struct span text);

#endif
