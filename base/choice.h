/* Choosing one id from a row of logits: temperature, top-k, top-p, min-p, inverse CDF. One function for text and image
 * tokens (docs/model.md, section 5 step 7 and section 7). */
#ifndef VARGPT_BASE_CHOICE_H
#define VARGPT_BASE_CHOICE_H

#include <stdint.h>

struct choice_filter {
    float temperature; /* divides the logits; 0 = the largest logit, lowest id on ties */
    int top_k;         /* keep logits >= the k-th largest (ties stay); 0 = off */
    float top_p;       /* then drop the low tail whose ascending cumulative probability <= 1 - top_p, never the largest;
                          >= 1 or <= 0 = off */
    float min_p;       /* then drop what has less than min_p times the largest probability; 0 = off */
};

/* The id chosen from logits[n] by u in (0,1): softmax of what the filter leaves, in double, ids ascending, the first whose
 * cumulative sum exceeds u times the total. -inf logits are never chosen (all -inf: 0). scratch: [n] floats. */
int32_t choice_draw(const float *logits, int n, const struct choice_filter *, double u, float *scratch);

#endif
