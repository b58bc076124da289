/* The engine as its users see it: what a request gets does not depend on who else is served, how prompts are
 * cut, or whether it had to give its pages back on the way. */
#include "hearing.h"

#include "base/clock.h"

enum { CROWD = 8 };

static struct request *crowd_member(const struct engine *e, int i)
{
    unsigned salt = (unsigned)i + 1;
    switch (i % 4) {
    case 0: return text_request(30 + 40 * i, salt);
    case 1: return drawing_request(20 + i, salt);
    case 2: return seeing_request(e, salt);
    default: return mixed_request(e, salt);
    }
}

/* What each of the crowd gets alone, on one thread, in whole prompts, from a cache of that type. Computed
 * once. */
static struct heard *heard_alone[DTYPE_COUNT][CROWD];

static struct heard **listen_alone(enum dtype cache_type)
{
    struct heard **alone = heard_alone[cache_type];
    if (alone[0])
        return alone;
    struct engine_options options = {.max_sequences = 1, .step_rows = 1024, .cache_type = cache_type};
    struct world w = world_open(options, 1);
    for (int i = 0; i < CROWD; i++) {
        alone[i] = run_alone(w.engine, crowd_member(w.engine, i));
        assert_int_equal(alone[i]->status, STATUS_OK);
    }
    world_close(&w);
    return alone;
}

static int forget_alone(void **state)
{
    (void)state;
    for (int i = 0; i < DTYPE_COUNT * CROWD; i++) {
        if (heard_alone[i / CROWD][i % CROWD])
            heard_free(heard_alone[i / CROWD][i % CROWD]);
    }
    return 0;
}

/* All at once, as `options` has it. */
static struct engine_status compare_crowd(struct engine_options options)
{
    struct engine_status looked;
    struct heard **alone = listen_alone(options.cache_type), *got[CROWD];
    struct world w = world_open(options, 2);
    for (int i = 0; i < CROWD; i++)
        got[i] = submit(w.engine, crowd_member(w.engine, i), NULL);
    for (int i = 0; i < CROWD; i++) {
        heard_wait(got[i]);
        assert_same(alone[i], got[i]);
        heard_free(got[i]);
    }
    assert_no_pages_held(w.engine);
    engine_look(w.engine, &looked);
    world_close(&w);
    return looked;
}

static void test_same_bytes_in_a_crowd(void **state)
{
    (void)state;
    compare_crowd((struct engine_options){.max_sequences = 16});
}

static void test_same_bytes_from_short_caches(void **state)
{
    (void)state;
    compare_crowd((struct engine_options){.max_sequences = 16, .cache_type = DTYPE_BF16});
    compare_crowd((struct engine_options){.max_sequences = 16, .cache_type = DTYPE_I8});
}

static void test_same_bytes_in_small_steps(void **state)
{
    (void)state;
    compare_crowd((struct engine_options){.max_sequences = 5, .step_rows = 1});
}

/* No patience at all: chats come in between the layers of everything else. */
static void test_same_bytes_with_interludes(void **state)
{
    (void)state;
    struct engine_options options = {.max_sequences = 16, .token_wait_steps = 1, .token_wait_ms = 1};
    assert_true(compare_crowd(options).interludes > 0);
}

/* Room for two pictures' positions and a half: text must give its pages back, pictures must wait. */
static void test_same_bytes_when_pages_are_short(void **state)
{
    (void)state;
    size_t position = 2 * 3 * 64 * sizeof(float), picture = 2 * 3 * 2 * 128 * sizeof(float) * 688;
    struct engine_options options = {.max_sequences = 12, .cache_bytes = picture + 1200 * position};
    compare_crowd(
        options); /* whether anyone is preempted is a matter of timing: test_engine_limits.c makes sure */
}

/* Same prompts again: their pages are there, and what comes out is the same. */
static void test_same_bytes_from_cached_prefixes(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){.max_sequences = 8}, 2);
    struct heard **alone = listen_alone(DTYPE_F32), *first[CROWD], *second[CROWD];
    for (int i = 0; i < CROWD; i++)
        first[i] = submit(w.engine, crowd_member(w.engine, i), NULL);
    for (int i = 0; i < CROWD; i++)
        heard_wait(first[i]);
    for (int i = 0; i < CROWD; i++)
        second[i] = submit(w.engine, crowd_member(w.engine, i), NULL);
    for (int i = 0; i < CROWD; i++) {
        heard_wait(second[i]);
        assert_same(alone[i], second[i]);
        int prompt = second[i]->last.usage.prompt_tokens;
        assert_int_equal(second[i]->last.usage.cached_tokens,
                         i % 4 == 1 ? prompt / 16 * 16 : (prompt - 1) / 16 * 16);
        heard_free(first[i]);
        heard_free(second[i]);
    }
    struct request *salted = crowd_member(w.engine, 0);
    salted->cache_salt[3] = 1;
    struct heard *h = run_alone(w.engine, salted);
    assert_int_equal(h->last.usage.cached_tokens, 0);
    heard_free(h);
    assert_no_pages_held(w.engine);
    world_close(&w);
}

/* Choices of one request, submitted together: the prompt is computed once. */
static void test_choices_share_their_prompt(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){.max_sequences = 8}, 2);
    struct heard *h[4];
    for (uint32_t i = 0; i < 4; i++) {
        struct request *r = text_request(700, 3);
        r->choice = i;
        h[i] = submit(w.engine, r, NULL);
    }
    for (int i = 0; i < 4; i++) {
        heard_wait(h[i]);
        assert_int_equal(h[i]->last.usage.cached_tokens, i ? 699 / 16 * 16 : 0);
    }
    assert_memory_not_equal(h[0]->id, h[1]->id, 20 * sizeof(int32_t));
    for (int i = 0; i < 4; i++)
        heard_free(h[i]);
    world_close(&w);
}

static void test_picture_in_the_middle(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){0}, 2);
    struct heard *h = run_alone(w.engine, mixed_request(w.engine, 5));
    assert_int_equal(h->status, STATUS_OK);
    assert_int_equal(h->n_pictures, 1);
    assert_int_equal(h->last.usage.picture_tokens, engine_picture_tokens(w.engine));
    assert_int_equal(h->last.usage.text_tokens, 40);
    assert_int_equal(h->n_ids, 39); /* the image-start token is not shown */
    heard_free(h);
    world_close(&w);
}

/* The prompt of `r`, what it said before its picture, the picture's codes, the end of the picture. */
static struct request *history_request(const struct engine *e, const struct request *r, const struct heard *h)
{
    const struct drawing_config *c = &engine_config(e)->drawing;
    size_t n = (size_t)engine_picture_tokens(e), before = (size_t)h->before_picture;
    struct request *again = text_request((int)r->n_ids, 0);
    again->ids = xrealloc(again->ids, (r->n_ids + before + n + 2) * sizeof *again->ids);
    memcpy(again->ids, r->ids, r->n_ids * sizeof *r->ids);
    memcpy(again->ids + again->n_ids, h->id, before * sizeof *h->id);
    again->n_ids += before;
    again->ids[again->n_ids++] = c->start_id;
    again->picture = xcalloc(1, sizeof *again->picture);
    again->n_pictures = 1;
    again->picture[0] =
        (struct prompt_picture){.kind = PICTURE_DRAWN, .first_id = again->n_ids, .n_codes = n};
    again->picture[0].codes = xmalloc(n * sizeof *h->codes);
    memcpy(again->picture[0].codes, h->codes, n * sizeof *h->codes);
    for (size_t i = 0; i < n; i++)
        again->ids[again->n_ids++] = c->pad_id;
    again->ids[again->n_ids++] = c->end_id;
    again->text.filter.temperature = 0;
    return again;
}

/* A drawn picture in a prompt is to the model what it was in the reply: the text after it goes on as it did.
 */
static void test_drawn_picture_comes_back(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){0}, 2);
    struct request *r = mixed_request(w.engine, 5);
    r->text.filter.temperature = 0;
    struct request *copy = request_copy(r);
    struct heard *first = run_alone(w.engine, r);
    assert_int_equal(first->n_pictures, 1);
    struct heard *second = run_alone(w.engine, history_request(w.engine, copy, first));
    int after = first->n_ids - first->before_picture;
    assert_int_equal(second->status, STATUS_OK);
    assert_int_equal(second->last.usage.prompt_picture_tokens, engine_picture_tokens(w.engine));
    int n = after < second->n_ids ? after : second->n_ids;
    assert_true(n >= 10);
    assert_memory_equal(first->id + first->before_picture, second->id, (size_t)n * sizeof *second->id);
    assert_memory_equal(first->logprob + first->before_picture, second->logprob, (size_t)n * sizeof(float));
    request_close(copy);
    heard_free(first);
    heard_free(second);
    world_close(&w);
}

static void test_previews(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){0}, 2);
    struct request *r = drawing_request(10, 3);
    r->draw.previews = ~0u;
    struct heard *with = run_alone(w.engine, r), *without = run_alone(w.engine, drawing_request(10, 3));
    assert_int_equal(with->n_previews, engine_config(w.engine)->drawing.n_scales - 1);
    assert_int_equal(without->n_previews, 0);
    assert_same(with, without);
    heard_free(with);
    heard_free(without);
    world_close(&w);
}

static void test_cancel_frees_pages_and_spares_others(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){.max_sequences = 4}, 2);
    struct heard *want = run_alone(w.engine, text_request(50, 9));
    uint64_t id, waiting;
    struct request *endless = text_request(40, 2);
    endless->text.max_tokens = -1;
    struct heard *h = submit(w.engine, endless, &id);
    struct heard *drawing = submit(w.engine, drawing_request(10, 1), NULL);
    struct heard *other = submit(w.engine, text_request(50, 9), NULL);
    struct heard *fourth = submit(w.engine, drawing_request(10, 2), NULL);
    struct heard *queued = submit(w.engine, text_request(10, 4), &waiting);
    while (heard_count(h) < 3)
        usleep(1000);
    engine_cancel(w.engine, id);
    engine_cancel(w.engine, waiting);
    engine_cancel(w.engine, 123456); /* nobody's */
    heard_wait(h);
    assert_int_equal(h->status, STATUS_CANCELLED);
    heard_wait(queued);
    heard_wait(other);
    assert_same(want, other);
    heard_wait(drawing);
    heard_wait(fourth);
    assert_int_equal(drawing->status, STATUS_OK);
    assert_no_pages_held(w.engine);
    struct heard *all[] = {want, h, drawing, other, fourth, queued};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        heard_free(all[i]);
    world_close(&w);
}

static void test_deadlines_and_priorities(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){.max_sequences = 1}, 2);
    struct request *r = text_request(20, 1);
    r->text.max_tokens = -1;
    r->deadline_ns = clock_ns() + 150 * 1000 * 1000;
    struct heard *late = submit(w.engine, r, NULL);
    struct heard *low = submit(w.engine, text_request(20, 2), NULL);
    r = text_request(20, 3);
    r->priority = -1;
    struct heard *high = submit(w.engine, r, NULL);
    r = text_request(20, 4);
    r->deadline_ns = clock_ns() - 1;
    struct heard *never = submit(w.engine, r, NULL);
    heard_wait(low);
    pthread_mutex_lock(&high->lock);
    assert_true(high->done); /* it came last and was served before */
    pthread_mutex_unlock(&high->lock);
    heard_wait(late);
    heard_wait(never);
    assert_int_equal(late->status, STATUS_TIMEOUT);
    assert_int_equal(never->status, STATUS_TIMEOUT);
    assert_int_equal(never->n_ids, 0);
    assert_int_equal(low->status, STATUS_OK);
    assert_no_pages_held(w.engine);
    struct heard *all[] = {late, low, high, never};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        heard_free(all[i]);
    world_close(&w);
}

/* The same picture in two conversations: looked at once, and seen the same. */
static void test_seen_pictures_are_remembered(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){0}, 2);
    struct engine_status looked;
    struct request *r = seeing_request(w.engine, 3), *alone = request_copy(r);
    r->ids[1] = 400; /* so that no page is shared */
    struct request *other = request_copy(r);
    struct heard *first = run_alone(w.engine, alone), *second = run_alone(w.engine, r);
    engine_look(w.engine, &looked);
    assert_int_equal(looked.pictures_seen, 2);
    assert_int_equal(looked.pictures_remembered, 1);
    struct world fresh = world_open((struct engine_options){0}, 2);
    struct heard *want = run_alone(fresh.engine, other);
    assert_same(want, second);
    world_close(&fresh);
    heard_free(first);
    heard_free(second);
    heard_free(want);
    world_close(&w);
}

static void test_closing_ends_everything(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){.max_sequences = 2}, 2);
    struct heard *h[6];
    for (int i = 0; i < 6; i++) {
        struct request *r = text_request(200, (unsigned)i);
        r->text.max_tokens = -1;
        h[i] = submit(w.engine, r, NULL);
    }
    while (heard_count(h[0]) < 2)
        usleep(1000);
    world_close(&w);
    for (int i = 0; i < 6; i++) {
        assert_true(h[i]->done);
        assert_int_equal(h[i]->status, STATUS_CANCELLED);
        heard_free(h[i]);
    }
}

static struct error refusal(struct engine *e, struct request *r)
{
    struct error err = {0};
    assert_int_not_equal(engine_submit(e, r, (struct event_sink){hear, NULL}, NULL, &err), STATUS_OK);
    assert_true(err.message[0] != 0);
    request_close(r);
    return err;
}

static enum status refused(struct engine *e, struct request *r)
{
    return refusal(e, r).status;
}

/* n codes are given for a drawing, all 0 but the last. */
static struct error refusal_of_codes(struct engine *e, size_t n, int32_t last)
{
    struct request *r = drawing_request(5, 0);
    r->draw.n_given = n;
    r->draw.given = xcalloc(n, sizeof *r->draw.given);
    r->draw.given[n - 1] = last;
    return refusal(e, r);
}

/* It is said which field is wrong, and what it may be. */
static void test_refusals_of_codes(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){.max_sequences = 1, .context = 1024}, 1);
    struct error err = refusal_of_codes(w.engine, 680, 1024);
    assert_int_equal(err.status, STATUS_BAD_REQUEST);
    assert_string_equal(err.message, "draw.given[679] is 1024, must be -1 to 1023");
    err = refusal_of_codes(w.engine, 680, -2);
    assert_string_equal(err.message, "draw.given[679] is -2, must be -1 to 1023");
    err = refusal_of_codes(w.engine, 3, 0);
    assert_string_equal(err.message, "draw.given has 3 codes, this model's pictures have 680");
    struct request *r = text_request(700, 1);
    r->picture = xcalloc(1, sizeof *r->picture);
    r->n_pictures = 1;
    r->picture[0] = (struct prompt_picture){.kind = PICTURE_DRAWN, .first_id = 5, .n_codes = 680};
    r->picture[0].codes = xcalloc(680, sizeof *r->picture[0].codes);
    r->picture[0].codes[7] = -1; /* must be known */
    err = refusal(w.engine, r);
    assert_string_equal(err.message, "picture.codes[7] is -1, must be 0 to 1023");
    world_close(&w);
}

static void test_refusals(void **state)
{
    (void)state;
    struct world w =
        world_open((struct engine_options){.max_sequences = 1, .max_queue = 1, .context = 1024}, 1);
    struct engine *e = w.engine;
    struct request *r = text_request(5, 0);
    r->ids[3] = 912;
    assert_int_equal(refused(e, r), STATUS_BAD_REQUEST);
    r = text_request(5, 0);
    r->ids[3] = -1;
    assert_int_equal(refused(e, r), STATUS_BAD_REQUEST);
    assert_int_equal(refused(e, request_new()), STATUS_BAD_REQUEST);
    assert_int_equal(refused(e, text_request(1024, 0)), STATUS_TOO_LARGE);
    assert_int_equal(refused(e, drawing_request(1024 - 680, 0)), STATUS_TOO_LARGE);
    r = seeing_request(e, 0);
    r->picture[0].first_id = r->n_ids - 2;
    assert_int_equal(refused(e, r), STATUS_BAD_REQUEST);
    r = seeing_request(e, 0);
    r->picture[0].n_pixels--;
    assert_int_equal(refused(e, r), STATUS_BAD_REQUEST);

    r = text_request(20, 1); /* one runs, one waits, one is refused */
    r->text.max_tokens = -1;
    struct heard *running = submit(e, r, NULL);
    while (heard_count(running) < 1)
        usleep(1000);
    struct heard *waiting = submit(e, text_request(20, 2), NULL);
    assert_int_equal(refused(e, text_request(20, 3)), STATUS_BUSY);
    heard_wait(running);
    assert_int_equal(running->last.finish, FINISH_LENGTH); /* the context's end */
    assert_int_equal(running->n_ids, 1024 - 20);
    heard_wait(waiting);
    heard_free(running);
    heard_free(waiting);
    world_close(&w);
}

/* The same greedy request with what bends logits and what does not, in one batch. */
static void test_options_bend_their_own_row(void **state)
{
    (void)state;
    enum { PLAIN, BIASED, UNTOLD, PENALISED, REQUESTS };
    struct world w = world_open((struct engine_options){.max_sequences = REQUESTS}, 2);
    struct heard *h[REQUESTS];
    for (int i = 0; i < REQUESTS; i++) {
        struct request *r = text_request(9, 5);
        r->text.filter.temperature = 0;
        r->text.logprobs = i != UNTOLD;
        if (i == BIASED) {
            r->text.bias = xcalloc(1, sizeof *r->text.bias);
            r->text.bias[0] = (struct token_bias){299, -50}; /* of an id that is not chosen */
            r->text.n_bias = 1;
        }
        if (i == PENALISED)
            r->text.frequency_penalty = 100;
        h[i] = submit(w.engine, r, NULL);
    }
    for (int i = 0; i < REQUESTS; i++) {
        heard_wait(h[i]);
        assert_int_equal(h[i]->n_ids, 24);
    }
    assert_same(h[PLAIN], h[BIASED]); /* log-probabilities are the model's own */
    assert_memory_equal(h[PLAIN]->id, h[UNTOLD]->id, 24 * sizeof h[PLAIN]->id[0]);
    for (int i = 0; i < 24; i++) {
        assert_int_not_equal(h[PLAIN]->id[i], 299);
        assert_true(h[PLAIN]->logprob[i] < 0 && h[UNTOLD]->logprob[i] == 0);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(h[PENALISED]->id[i], h[PENALISED]->id[k]);
    }
    for (int i = 0; i < REQUESTS; i++)
        heard_free(h[i]);
    world_close(&w);
}

static void test_request_copy(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){0}, 2);
    struct request *r = seeing_request(w.engine, 3);
    struct request *copy = request_copy(r);
    struct heard *a = run_alone(w.engine, r), *b = run_alone(w.engine, copy);
    assert_same(a, b);
    heard_free(a);
    heard_free(b);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes_in_a_crowd),
        cmocka_unit_test(test_same_bytes_from_short_caches),
        cmocka_unit_test(test_same_bytes_in_small_steps),
        cmocka_unit_test(test_same_bytes_with_interludes),
        cmocka_unit_test(test_same_bytes_when_pages_are_short),
        cmocka_unit_test(test_same_bytes_from_cached_prefixes),
        cmocka_unit_test(test_choices_share_their_prompt),
        cmocka_unit_test(test_picture_in_the_middle),
        cmocka_unit_test(test_drawn_picture_comes_back),
        cmocka_unit_test(test_previews),
        cmocka_unit_test(test_cancel_frees_pages_and_spares_others),
        cmocka_unit_test(test_deadlines_and_priorities),
        cmocka_unit_test(test_seen_pictures_are_remembered),
        cmocka_unit_test(test_closing_ends_everything),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_refusals_of_codes),
        cmocka_unit_test(test_options_bend_their_own_row),
        cmocka_unit_test(test_request_copy),
    };
    return cmocka_run_group_tests(tests, NULL, forget_alone);
}
