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

void sampling_score(const float *logits, int n, int32_t id, int top_logprobs, struct sampled *out)
{
    double total = log_sum(logits, n);
    int want = top_logprobs < MAX_TOP_LOGPROBS ? top_logprobs : MAX_TOP_LOGPROBS;
    out->id = id;
    out->logprob = (float)(logits[id] - total);
    out->n_top = find_top(logits, n, want, total, out->top);
}

void logit_edits_open(struct logit_edits *e, int vocab)
{
    *e = (struct logit_edits){.of_id = xcalloc((size_t)vocab, sizeof *e->of_id)};
}

void logit_edits_release(struct logit_edits *e)
{
    free(e->edit);
    free(e->of_id);
    *e = (struct logit_edits){0};
}

static struct logit_edit *edit_of(struct logit_edits *e, int row, int32_t id)
{
    if (e->of_id[id] == 0) {
        if (e->n == e->room) {
            e->room = e->room ? 2 * e->room : 64;
            e->edit = xrealloc(e->edit, (size_t)e->room * sizeof *e->edit);
        }
        e->edit[e->n++] = (struct logit_edit){.row = row, .id = id, .repetition = 1};
        e->of_id[id] = e->n;
    }
    return &e->edit[e->of_id[id] - 1];
}

static void penalise(struct logit_edits *e, int row, const struct text_options *o,
                     const struct sampling_place *at)
{
    bool counts = o->frequency_penalty != 0 || o->presence_penalty != 0, repeats = o->repetition_penalty != 1;
    int first = e->n;
    for (size_t i = repeats ? 0 : at->n_prompt; (repeats || counts) && i < at->n_ids; i++) {
        struct logit_edit *edit = edit_of(e, row, at->ids[i]);
        edit->repetition = o->repetition_penalty;
        edit->less += i >= at->n_prompt; /* times in the reply, for now */
    }
    for (int i = first; i < e->n; i++) {
        float times = e->edit[i].less;
        e->edit[i].less = times > 0 ? o->frequency_penalty * times + o->presence_penalty : 0;
    }
}

void sampling_edit(struct logit_edits *e, int row, const struct text_options *o,
                   const struct sampling_place *at)
{
    int first = e->n;
    penalise(e, row, o, at);
    for (size_t i = 0; i < o->n_bias; i++)
        edit_of(e, row, o->bias[i].id)->more += o->bias[i].bias;
    for (int i = 0; i < at->n_masked; i++)
        edit_of(e, row, at->masked[i])->more = -INFINITY;
    for (int i = first; i < e->n; i++)
        e->of_id[e->edit[i].id] = 0;
}

struct choice_row sampling_row(const struct text_options *o, const struct sampling_place *at)
{
    struct random_words words = random_philox(o->seed, 0, (uint32_t)at->token_index, RANDOM_TEXT, at->choice);
    return (struct choice_row){o->filter, random_unit(words.x[0])};
}
