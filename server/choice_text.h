/* The text of one choice as it grows: token ids to characters, stop strings found (also across tokens) and
 * never shown, and log-probabilities let go together with the text they belong to. What could be the start of
 * a stop string is held back. One thread. */
#ifndef VARGPT_SERVER_CHOICE_TEXT_H
#define VARGPT_SERVER_CHOICE_TEXT_H

#include "engine/engine.h"

#include <jansson.h>

enum { MAX_STOPS = 4, MAX_STOP_BYTES = 4096, MAX_TEXT_BYTES = 64 << 20 };

struct stop_list {
    char *text[MAX_STOPS]; /* malloc'ed */
    size_t length[MAX_STOPS];
    int count;
};
void stop_list_add(struct stop_list *, const char *text, size_t length); /* at most MAX_STOPS */
void stop_list_release(struct stop_list *);

/* A token whose log-probabilities are yet to be shown. */
struct rated_token {
    size_t at; /* where in the text it began */
    int32_t id;
    float logprob;             /* NAN: nothing came before it that could say how likely it was */
    struct token_logprob *top; /* [n_top], malloc'ed */
    int n_top;
};

struct choice_text {
    const struct tokenizer *tokenizer;
    const struct stop_list *stops;
    bool logprobs;
    struct text_stream *stream;
    struct buffer text; /* all so far; text[0..shown) may be shown */
    size_t shown;
    bool stopped;     /* a stop string was found; what follows is not looked at */
    struct rated_token *rated; /* [n_rated] held back */
    size_t n_rated, rated_capacity;
    size_t counted; /* bytes of text whose characters the caller of take_legacy_logprobs knows */
};

/* tokenizer and stops must outlive it. */
void choice_text_init(struct choice_text *, const struct tokenizer *, const struct stop_list *,
                      bool logprobs);
void choice_text_release(struct choice_text *);

/* The text goes on where a prompt that ends in this id left off: a tokenizer that drops the first token's
 * space must not drop it here. Before the first push. */
void choice_text_follow(struct choice_text *, int32_t id);
/* Takes an EVENT_TOKEN or EVENT_PROMPT. */
void choice_text_push(struct choice_text *, const struct event *);
/* A picture or the end has come: nothing that was held back can become a stop string any more. */
void choice_text_flush(struct choice_text *, bool at_end);
/* The log-probabilities of the text shown so far that were not taken yet, as a new array (perhaps empty). */
json_t *choice_text_take_logprobs(struct choice_text *, bool at_end);
/* The same as {"tokens", "token_logprobs", "top_logprobs", "text_offset"}, as /v1/completions has it; null
 * when there are none. *offset: where in the reply's text, in characters, the last taken token begins; before
 * the first call: where this text does. */
json_t *choice_text_take_legacy_logprobs(struct choice_text *, bool at_end, size_t *offset);

#endif
