/* The part of struct token_list that only the tokenizer's own files use. */
#ifndef VARGPT_ENGINE_TEXT_TOKEN_LIST_H
#define VARGPT_ENGINE_TEXT_TOKEN_LIST_H

#include "engine/text/tokenizer.h"

/* As token_list_append, but false when memory is short; the list is then unchanged. */
bool token_list_try_append(struct token_list *, int32_t id);

#endif
