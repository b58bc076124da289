/* What options change in a row of logits, against the formulas done one after the other on the whole row. */
#include "engine/sampling.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

enum { VOCAB = 50, IDS = 120, PROMPT = 70, ROWS = 3 };

static uint32_t random_state = 1;

static int random_below(int n)
{
    random_state = random_state * 1664525 + 1013904223;
    return (int)((random_state >> 8) % (uint32_t)n);
}

struct case_of_row {
    struct text_options options;
    struct token_bias bias[3];
    int32_t ids[IDS], masked[2];
    struct sampling_place place;
};

static void make_case(struct case_of_row *c, int kind)
{
    *c = (struct case_of_row){.options = {.repetition_penalty = kind & 1 ? 1.3f : 1,
                                          .frequency_penalty = kind & 2 ? 0.4f : 0,
                                          .presence_penalty = kind & 4 ? -0.7f : 0,
                                          .n_bias = kind & 8 ? 3 : 0},
                              .bias = {{3, 1.5f}, {7, -100}, {49, 0.25f}}};
    for (int i = 0; i < IDS; i++)
        c->ids[i] = random_below(VOCAB / 2); /* so that some ids are seen nowhere */
    for (int i = 0; i < 2; i++)
        c->masked[i] = random_below(VOCAB);
    c->options.bias = c->bias;
    c->place = (struct sampling_place){.ids = c->ids,
                                       .n_ids = kind & 16 ? IDS : PROMPT, /* the first token: no reply yet */
                                       .n_prompt = PROMPT,
                                       .masked = c->masked,
                                       .n_masked = kind & 32 ? 2 : 0};
}

static void expect(float *logits, const struct case_of_row *c)
{
    const struct text_options *o = &c->options;
    for (int id = 0; id < VOCAB; id++) {
        int times = 0;
        bool seen = false;
        for (size_t i = 0; i < c->place.n_ids; i++) {
            seen |= c->ids[i] == id;
            times += c->ids[i] == id && i >= PROMPT;
        }
        if (seen)
            logits[id] =
                logits[id] > 0 ? logits[id] / o->repetition_penalty : logits[id] * o->repetition_penalty;
        if (times)
            logits[id] -= o->frequency_penalty * (float)times + o->presence_penalty;
    }
    for (size_t i = 0; i < o->n_bias; i++)
        logits[o->bias[i].id] += o->bias[i].bias;
    for (int i = 0; i < c->place.n_masked; i++)
        logits[c->masked[i]] = -INFINITY;
}

static void edits_are_the_formulas(void **state)
{
    (void)state;
    struct logit_edits edits;
    logit_edits_open(&edits, VOCAB);
    for (int kind = 0; kind < 64; kind++) {
        float want[ROWS][VOCAB], got[ROWS][VOCAB];
        bool changed[ROWS][VOCAB] = {0};
        edits.n = 0;
        for (int row = 0; row < ROWS; row++) {
            struct case_of_row c;
            make_case(&c, kind ^ row); /* rows that differ in what they ask for */
            for (int id = 0; id < VOCAB; id++)
                got[row][id] = want[row][id] = (float)random_below(2000) / 100 - 10;
            expect(want[row], &c);
            sampling_edit(&edits, row, &c.options, &c.place);
        }
        for (int i = 0; i < edits.n; i++) {
            const struct logit_edit *e = &edits.edit[i];
            float *l = &got[e->row][e->id];
            assert_false(changed[e->row][e->id]);
            changed[e->row][e->id] = true;
            *l = *l > 0 ? *l / e->repetition : *l * e->repetition;
            *l = *l - e->less + e->more;
        }
        assert_memory_equal(got, want, sizeof got);
    }
    logit_edits_release(&edits);
}

static void nothing_asked_nothing_edited(void **state)
{
    (void)state;
    struct logit_edits edits;
    struct case_of_row c;
    make_case(&c, 16);
    logit_edits_open(&edits, VOCAB);
    sampling_edit(&edits, 0, &c.options, &c.place);
    assert_int_equal(edits.n, 0);
    logit_edits_release(&edits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits_are_the_formulas),
        cmocka_unit_test(nothing_asked_nothing_edited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
