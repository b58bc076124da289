/* The parts of a tokenizer.json that have files of their own. */
#ifndef VARGPT_ENGINE_TEXT_TOKENIZER_JSON_H
#define VARGPT_ENGINE_TEXT_TOKENIZER_JSON_H

#include "engine/text/tokenizer_parts.h"

#include <jansson.h>

/* Reads "added_tokens" (may be NULL) into a tokenizer that has its normalizer and its model's pieces,
 * model_count of them: adds them to the vocabulary, and makes the flags. */
enum status added_tokens_read(struct tokenizer *, const json_t *list, size_t model_count, struct error *err);

/* Reads "post_processor": the ids put before and behind a text. */
enum status post_processor_read(struct tokenizer *, const json_t *component, struct error *err);

#endif
