#include "engine/sampling.h"

#include "base/memory.h"
#include "base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* log(sum(exp(logits))), in double. */
static double log_sum(const float *logits, int n)
{
    float most = -INFINITY;
    double sum = 0;
    for (int i = 0; i < n; i++)
        most = logits[i] > most ? logits[i] : most;
    for (int i = 0; i < n; i++)
        sum += exp((double)logits[i] - most);
    return most + log(sum);
}

/* The likeliest tokens, in order; of equals the lower id first. */
static int find_top(const float *logits, int n, int want, double total, struct token_logprob *top)
{
    int count = 0;
    for (int i = 0; i < n; i++) {
        float logprob = (float)(logits[i] - total);
        if (count >= want && (count == 0 || !(logprob > top[count - 1].logprob)))
            continue;
        int at = count < want ? count++ : count - 1;
        for (; at > 0 && logprob > top[at - 1].logprob; at--)
            top[at] = top[at - 1];
        top[at] = (struct token_logprob){i, logprob};
    }
    return count;
}

static void penalise(float *logits, int n, const struct text_options *o, const struct sampling_place *at)
{
    bool counts = o->frequency_penalty != 0 || o->presence_penalty != 0;
    if (o->repetition_penalty == 1 && !counts)
        return;
    uint32_t *seen = xcalloc((size_t)n, sizeof *seen); /* times in the reply; the top bit: anywhere */
    const uint32_t anywhere = 1u << 31;
    for (size_t i = 0; i < at->n_ids; i++) {
        seen[at->ids[i]] |= anywhere;
        seen[at->ids[i]] += i >= at->n_prompt;
    }
    for (int i = 0; i < n; i++) {
        uint32_t times = seen[i] & ~anywhere;
        if (seen[i] && o->repetition_penalty != 1)
            logits[i] = logits[i] > 0 ? logits[i] / o->repetition_penalty : logits[i] * o->repetition_penalty;
        if (times)
            logits[i] -= o->frequency_penalty * (float)times + o->presence_penalty;
    }
    free(seen);
}

void sampling_score(const float *logits, int n, int32_t id, int top_logprobs, struct sampled *out)
{
    double total = log_sum(logits, n);
    int want = top_logprobs < MAX_TOP_LOGPROBS ? top_logprobs : MAX_TOP_LOGPROBS;
    out->id = id;
    out->logprob = (float)(logits[id] - total);
    out->n_top = find_top(logits, n, want, total, out->top);
}

void sampling_choose(float *logits, int n, const struct text_options *o, const struct sampling_place *at,
                     float *scratch, struct sampled *out)
{
    double total = 0;
    float *own = NULL; /* the logits before they are bent, where their logprob is asked for */
    out->n_top = 0;
    out->logprob = 0;
    if (o->logprobs) {
        int want = o->top_logprobs < MAX_TOP_LOGPROBS ? o->top_logprobs : MAX_TOP_LOGPROBS;
        total = log_sum(logits, n);
        out->n_top = find_top(logits, n, want, total, out->top);
        own = xmalloc((size_t)n * sizeof *own);
        memcpy(own, logits, (size_t)n * sizeof *own);
    }
    penalise(logits, n, o, at);
    for (size_t i = 0; i < o->n_bias; i++)
        logits[o->bias[i].id] += o->bias[i].bias;
    for (int i = 0; i < at->n_masked; i++)
        logits[at->masked[i]] = -INFINITY;
    struct random_words words = random_philox(o->seed, 0, (uint32_t)at->token_index, RANDOM_TEXT, at->choice);
    out->id = choice_draw(logits, n, &o->filter, random_unit(words.x[0]), scratch);
    if (own)
        out->logprob = (float)(own[out->id] - total);
    free(own);
}
