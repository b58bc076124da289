/* The names that GGUF files give to ways of splitting text (tokenizer.ggml.pre), which llama.cpp made up. */
#ifndef VARGPT_ENGINE_TEXT_PRE_NAMES_H
#define VARGPT_ENGINE_TEXT_PRE_NAMES_H

#include "engine/text/pre_tokenizer.h"

/* Adds the steps that a name stands for (NULL: "default"), to be followed by the byte step. *ignore_merges:
 * words that are pieces are not made by merging. STATUS_BAD_FILE for a name that is not known. */
enum status pre_tokenizer_named(struct pre_tokenizer *, const char *name, bool *ignore_merges,
                                struct error *err);

#endif
