/* Choosing text tokens from logits in host memory: masks, biases, penalties, filters, log-probabilities. Pure functions. */
#ifndef VARGPT_ENGINE_SAMPLING_H
#define VARGPT_ENGINE_SAMPLING_H

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

/* The logprob of an id that is there already, and the likeliest ones. logits: [n]. */
void sampling_score(const float *logits, int n, int32_t id, int top_logprobs, struct sampled *out);

/* logits: [n], changed in place. scratch: [n]. */
void sampling_choose(float *logits, int n, const struct text_options *, const struct sampling_place *, float *scratch,
                     struct sampled *out);

#endif
