/* Log-probabilities of the prompt: what the model says of a token does not depend on whether it chose it or
 * was given it, nor on chunks, cached prefixes, neighbours or lost pages. */
#include "hearing.h"

enum { PROMPT = 90, REPLY = 24 };

static struct request *judged(const struct request *r)
{
    struct request *copy = request_copy(r);
    copy->text.prompt_logprobs = true;
    copy->text.max_tokens = 0;
    return copy;
}

/* A prompt and, behind it, what the model said to it. */
static struct request *with_reply(const struct request *r, const struct heard *h)
{
    struct request *longer = request_copy(r);
    longer->ids = xrealloc(longer->ids, (r->n_ids + (size_t)h->n_ids) * sizeof *r->ids);
    memcpy(longer->ids + r->n_ids, h->id, (size_t)h->n_ids * sizeof *r->ids);
    longer->n_ids += (size_t)h->n_ids;
    return longer;
}

static void assert_judged(const struct heard *h, const struct request *r, const struct heard *said)
{
    int n = (int)r->n_ids - 1;
    assert_int_equal(h->status, STATUS_OK);
    assert_int_equal(h->n_prompt, n);
    assert_memory_equal(h->prompt_id, r->ids + 1, (size_t)n * sizeof *r->ids);
    assert_memory_equal(h->prompt_logprob + n - said->n_ids, said->logprob,
                        (size_t)said->n_ids * sizeof(float));
}

/* In whole prompts, in small steps, and while a chat comes in between. */
static void test_given_and_chosen_are_the_same(void **state)
{
    (void)state;
    const struct engine_options options[] = {
        {.max_sequences = 16},
        {.max_sequences = 3, .step_rows = 1},
        {.max_sequences = 16, .token_wait_steps = 1, .token_wait_ms = 1},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        struct world w = world_open(options[i], 2);
        struct request *r = text_request(PROMPT, 5), *chat = text_request(10, 1);
        struct heard *said = run_alone(w.engine, request_copy(r));
        struct request *whole = with_reply(r, said);
        chat->text.max_tokens = -1;
        uint64_t id;
        struct heard *other = submit(w.engine, chat, &id);
        for (int again = 0; again < 2; again++) {
            struct heard *h = run_alone(w.engine, judged(whole));
            assert_judged(h, whole, said);
            assert_int_equal(h->n_ids, 0);
            assert_int_equal(h->last.usage.cached_tokens, 0);
            assert_int_equal(h->last.finish, FINISH_LENGTH);
            heard_free(h);
        }
        engine_cancel(w.engine, id);
        heard_wait(other);
        struct heard *cached =
            run_alone(w.engine, request_copy(whole)); /* others may adopt what was computed */
        assert_true(cached->last.usage.cached_tokens >= PROMPT / 16 * 16);
        assert_int_equal(cached->n_prompt, 0);
        assert_no_pages_held(w.engine);
        heard_free(said);
        heard_free(other);
        heard_free(cached);
        request_close(r);
        request_close(whole);
        world_close(&w);
    }
}

/* Lets an urgent request in when 100 ids of the prompt were told. */
struct interrupted {
    struct engine *engine;
    struct heard *heard, *urgent;
};

static void hear_and_interrupt(void *context, const struct event *e)
{
    struct interrupted *i = context;
    hear(i->heard, e);
    if (i->urgent || i->heard->n_prompt < 100)
        return;
    struct request *r = text_request(200, 2);
    r->priority = -1;
    i->urgent = submit(i->engine, r, NULL);
}

/* Each is told once, also by one that must give its pages back half-way. */
static void test_when_pages_are_short(void **state)
{
    (void)state;
    struct world w =
        world_open((struct engine_options){.max_sequences = 2, .cache_bytes = 1, .step_rows = 1}, 2);
    struct request *r = text_request(engine_memory(w.engine).cache_pages * 16 - 40, 5);
    struct heard *said = run_alone(w.engine, request_copy(r));
    struct request *whole = with_reply(r, said);
    struct interrupted i = {w.engine, heard_new(), NULL};
    struct engine_status looked;
    assert_int_equal(
        engine_submit(w.engine, judged(whole), (struct event_sink){hear_and_interrupt, &i}, NULL, NULL),
        STATUS_OK);
    heard_wait(i.heard);
    heard_wait(i.urgent);
    assert_judged(i.heard, whole, said);
    assert_no_pages_held(w.engine);
    engine_look(w.engine, &looked);
    assert_true(looked.preemptions > 0);
    heard_free(said);
    heard_free(i.heard);
    heard_free(i.urgent);
    request_close(r);
    request_close(whole);
    world_close(&w);
}

/* The end token is told, so that the last token told is always one that was chosen. */
static void test_the_end_is_told(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){.max_sequences = 2}, 2);
    struct request *r = text_request(20, 1);
    int32_t end = engine_config(w.engine)->end_id[0];
    r->text.ignore_end = false;
    r->text.prompt_logprobs = true;
    r->text.top_logprobs = 3;
    r->text.bias = xcalloc(1, sizeof *r->text.bias);
    r->text.n_bias = 1;
    r->text.bias[0] = (struct token_bias){end, 1000};
    struct heard *h = run_alone(w.engine, r);
    assert_int_equal(h->status, STATUS_OK);
    assert_int_equal(h->n_prompt, 19);
    assert_int_equal(h->n_ids, 1);
    assert_int_equal(h->id[0], end);
    assert_true(h->logprob[0] < 0);
    assert_int_equal(h->last.finish, FINISH_STOP);
    assert_int_equal(h->last.usage.text_tokens, 1);
    heard_free(h);
    world_close(&w);
}

/* Positions of pictures have no ids to be judged. */
static void test_pictures_are_left_out(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){.max_sequences = 2}, 2);
    struct request *r = seeing_request(w.engine, 1);
    r->text.prompt_logprobs = true;
    struct heard *h = run_alone(w.engine, r);
    assert_int_equal(h->status, STATUS_OK);
    assert_int_equal(h->n_prompt, 19);
    heard_free(h);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_given_and_chosen_are_the_same),
        cmocka_unit_test(test_when_pages_are_short),
        cmocka_unit_test(test_the_end_is_told),
        cmocka_unit_test(test_pictures_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
