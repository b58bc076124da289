/* The text side of a checkpoint: tokenizer, chat template and the spelling of special tokens. Immutable after opening. */
#ifndef VARGPT_ENGINE_MODEL_MODEL_TEXT_H
#define VARGPT_ENGINE_MODEL_MODEL_TEXT_H

#include "engine/model/model_config.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"

struct model_text {
    struct tokenizer *tokenizer;
    struct chat_template *chat;
    char *bos, *eos, *image; /* spelt out, "" when there is none */
};

/* Adds the tokenizer's own end token to config's. On failure there is nothing to release. */
enum status model_text_open(struct model_text *, const struct checkpoint *, struct model_config *, struct error *err);
void model_text_release(struct model_text *);

#endif
