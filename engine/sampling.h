/* What requests' options say of choosing text tokens: which logits change before a choice, how a row is chosen from, and the
 * log-probabilities of what was chosen. The choice itself is the backend's (sample). */
#ifndef VARGPT_ENGINE_SAMPLING_H
#define VARGPT_ENGINE_SAMPLING_H

#include "engine/backend.h"
#include "engine/engine.h"

enum { MAX_TOP_LOGPROBS = 20 };

/* What a choice depends on beside the logits. */
struct sampling_place {
    const int32_t *ids; /* [n_ids] prompt and reply so far */
    size_t n_ids, n_prompt;
    int token_index; /* text tokens chosen in this reply so far */
    uint32_t choice;
    const int32_t *masked; /* [n_masked] ids that must not be chosen */
    int n_masked;
};

struct sampled {
    int32_t id;
    float logprob; /* of the model's own distribution: before masks, bias, penalties and temperature */
    struct token_logprob top[MAX_TOP_LOGPROBS];
    int n_top;
};

/* Changes of logits, of rows that are chosen from together: no logit twice. */
struct logit_edits {
    struct logit_edit *edit; /* [n] */
    int n, room;
    int *of_id; /* [vocab] of the row at hand: 1 + which edit an id has, 0: none. All 0 between rows */
};

void logit_edits_open(struct logit_edits *, int vocab);
void logit_edits_release(struct logit_edits *); /* accepts a zeroed one */

/* Adds what penalties, biases and masks change in a row: once a row. */
void sampling_edit(struct logit_edits *, int row, const struct text_options *, const struct sampling_place *);
/* How the row is chosen from. */
struct choice_row sampling_row(const struct text_options *, const struct sampling_place *);
/* The logprob of an id, and the likeliest ones. logits: [n], host memory, as the model gave them. */
void sampling_score(const float *logits, int n, int32_t id, int top_logprobs, struct sampled *out);

#endif
