/* How text is to be chosen and among whom: the fields that /v1/chat/completions and /v1/completions share. */
#ifndef VARGPT_SERVER_TEXT_READ_H
#define VARGPT_SERVER_TEXT_READ_H

#include "server/choice_text.h"
#include "server/json_read.h"

/* temperature, top_p, top_k, min_p, the penalties and logit_bias; what is absent is the checkpoint's own. */
void text_read_choosing(const struct params *, const struct model_config *, struct text_options *);

/* `stop`: null, a string or up to MAX_STOPS of them. */
void text_read_stop(const struct params *, struct stop_list *);

/* min_tokens and ignore_eos, beside the limit that text->max_tokens already is (-1: none). */
void text_read_least(const struct params *, struct text_options *text);

/* priority and cache_salt: what the engine does with the request among others. */
void text_read_scheduling(const struct params *, struct request *);

#endif
