/* The engine at its limits: pages that hardly suffice, replies that end where something else begins, odd
 * requests. */
#include "hearing.h"

#include <math.h>

/* Text, but the first token is made to be the one that starts a picture. */
static struct request *picture_first(const struct engine *e, int n, unsigned salt)
{
    struct request *r = mixed_request(e, salt), *text = text_request(n, salt);
    free(r->ids);
    r->ids = text->ids;
    r->n_ids = text->n_ids;
    text->ids = NULL;
    request_close(text);
    r->text.bias[0].bias = 1000;
    return r;
}

static int count_pictures(struct heard *h, bool previews)
{
    pthread_mutex_lock(&h->lock);
    int n = previews ? h->n_previews : h->n_pictures;
    pthread_mutex_unlock(&h->lock);
    return n;
}

/* The image-start token may be the last that max_tokens allows: the picture is drawn whole, and that is all.
 */
static void test_picture_as_last_token(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){.context = 1024}, 2);
    struct request *r = picture_first(w.engine, 12, 1);
    r->text.max_tokens = 1;
    struct heard *h = run_alone(w.engine, r);
    assert_int_equal(h->status, STATUS_OK);
    assert_int_equal(h->n_pictures, 1);
    assert_int_equal(h->n_ids, 0);
    assert_int_equal(h->last.usage.text_tokens, 1);
    assert_int_equal(h->last.finish, FINISH_LENGTH);
    heard_free(h);
    world_close(&w);
}

/* A picture that just fits the context leaves no room for a token after it. */
static void test_picture_to_the_end_of_the_context(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){.context = 1024}, 2);
    for (int spare = 0; spare < 2; spare++) {
        struct request *r = picture_first(w.engine, 1024 - engine_picture_tokens(w.engine) - 2 - spare, 1);
        r->text.max_tokens = -1;
        struct heard *h = run_alone(w.engine, r);
        assert_int_equal(h->status, STATUS_OK);
        assert_int_equal(h->n_pictures, 1);
        assert_int_equal(h->n_ids, spare);
        assert_int_equal(h->last.finish, FINISH_LENGTH);
        heard_free(h);
    }
    world_close(&w);
}

/* Together the choices' page tables are longer than the cache, since they share their prompt's pages. */
static void test_more_table_than_pages(void **state)
{
    (void)state;
    enum { CHOICES = 12 };
    struct world w = world_open((struct engine_options){.max_sequences = CHOICES, .cache_bytes = 1}, 2);
    struct heard *h[CHOICES];
    for (int i = 0; i < CHOICES; i++) {
        struct request *r = text_request(500, 3);
        r->choice = (uint32_t)i;
        r->text.max_tokens = 10;
        h[i] = submit(w.engine, r, NULL);
    }
    for (int i = 0; i < CHOICES; i++) {
        heard_wait(h[i]);
        assert_int_equal(h[i]->status, STATUS_OK);
        heard_free(h[i]);
    }
    world_close(&w);
}

/* The older request wants a page while the younger one draws, and takes all it has as soon as the picture is
 * done. */
static void test_preempted_right_after_a_picture(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){.max_sequences = 2, .cache_bytes = 1}, 2);
    struct request *draw = picture_first(w.engine, 12, 1);
    struct heard *alone = run_alone(w.engine, request_copy(draw));
    struct engine_status looked;
    engine_look(w.engine, &looked);
    int left = looked.pages - (12 + 1 + engine_picture_tokens(w.engine) + 15) / 16;
    draw->draw.previews = 1;
    struct heard *younger = submit(w.engine, draw, NULL);
    while (count_pictures(younger, true) == 0)
        usleep(500);
    struct request *first = text_request(16 * left, 2);
    first->priority = -1;
    struct heard *older = submit(w.engine, first, NULL);
    heard_wait(older);
    heard_wait(younger);
    assert_same(alone, younger);
    engine_look(w.engine, &looked);
    assert_true(looked.preemptions > 0);
    assert_no_pages_held(w.engine);
    heard_free(alone);
    heard_free(older);
    heard_free(younger);
    world_close(&w);
}

/* No room in a step for everybody: pictures, prompts and chats get on all the same, also where rows take
 * long. */
static void test_full_steps(void **state)
{
    (void)state;
    struct engine_options options = {
        .max_sequences = 8, .step_rows = 1, .token_wait_steps = 1, .token_wait_ms = 1};
    struct world w = world_open(options, 2);
    struct heard *chat[4], *drawing[2], *prompt[2];
    for (int i = 0; i < 4; i++) {
        struct request *r = text_request(10, (unsigned)i);
        r->text.max_tokens = -1;
        chat[i] = submit(w.engine, r, NULL);
    }
    for (int i = 0; i < 2; i++) {
        drawing[i] = submit(w.engine, drawing_request(10 + i, (unsigned)i), NULL);
        prompt[i] = submit(w.engine, text_request(400 + i, (unsigned)i), NULL);
    }
    for (int i = 0; i < 2; i++) {
        heard_wait(drawing[i]);
        heard_wait(prompt[i]);
        assert_int_equal(drawing[i]->status, STATUS_OK);
        assert_int_equal(prompt[i]->status, STATUS_OK);
        heard_free(drawing[i]);
        heard_free(prompt[i]);
    }
    int running = 0;
    for (int i = 0; i < 4; i++) {
        pthread_mutex_lock(&chat[i]->lock);
        running += !chat[i]->done;
        pthread_mutex_unlock(&chat[i]->lock);
    }
    assert_true(running > 0); /* nobody waited for the chats to end */
    world_close(&w);
    for (int i = 0; i < 4; i++)
        heard_free(chat[i]);
}

/* Pictures without guidance need half of the decoder's pages: one after the other they must not keep out, for
 * ever, one that needs them all. */
static void test_guided_picture_gets_its_turn(void **state)
{
    (void)state;
    enum { PICTURES = 3 };
    size_t picture = 2 * 3 * 2 * 128 * sizeof(float) * 688; /* both branches */
    struct engine_options options = {.max_sequences = 4, .cache_bytes = 5 * picture};
    options.token_wait_ms = 60000; /* no preview is dropped, however slow the machine */
    struct world w = world_open(options, 2);
    struct heard *half[2];
    for (int i = 0; i < 2; i++) {
        struct request *r = picture_first(w.engine, 12 + i, (unsigned)i);
        r->draw.max_pictures = PICTURES;
        r->draw.guidance = 0;
        r->draw.previews = 1 << 3;
        r->text.max_tokens = PICTURES;
        half[i] = submit(w.engine, r, NULL);
        while (count_pictures(half[i], true) == 0)
            usleep(500);
    }
    struct request *r = drawing_request(14, 3);
    r->priority = -1;
    bool in_time = count_pictures(half[0], false) < 2; /* false on a machine that is very busy */
    struct heard *whole = run_alone(w.engine, r);
    assert_int_equal(whole->status, STATUS_OK);
    if (in_time)
        assert_true(count_pictures(half[0], false) < PICTURES);
    for (int i = 0; i < 2; i++) {
        heard_wait(half[i]);
        assert_int_equal(half[i]->n_pictures, PICTURES);
        heard_free(half[i]);
    }
    heard_free(whole);
    world_close(&w);
}

/* Nonsense that the server's checks would not let through must not hurt either. */
static void test_odd_requests(void **state)
{
    (void)state;
    struct world w = world_open((struct engine_options){.max_sequences = 2}, 2);
    struct request *r = text_request(10, 1);
    r->text.top_logprobs = -5;
    r->text.max_tokens = 3;
    struct heard *h = run_alone(w.engine, r);
    assert_int_equal(h->n_ids, 3);
    heard_free(h);

    r = seeing_request(w.engine, 1); /* codes are no part of a picture to look at */
    r->text.max_tokens = 3;
    r->picture[0].codes = xcalloc(1, sizeof(int32_t));
    r->picture[0].n_codes = 1;
    struct heard *other = run_alone(w.engine, r);
    assert_int_equal(other->status, STATUS_OK);
    heard_free(other);

    r = mixed_request(w.engine, 1);
    r->text.filter = (struct choice_filter){.temperature = NAN, .top_k = -3, .top_p = NAN, .min_p = NAN};
    r->text.bias[0].bias = NAN;
    r->text.repetition_penalty = 0;
    r->text.max_tokens = 5;
    h = run_alone(w.engine, r);
    assert_int_equal(h->status, STATUS_OK);
    heard_free(h);

    r = drawing_request(10, 1);
    r->draw.filter = (struct choice_filter){.temperature = INFINITY, .top_k = -3, .top_p = 7, .min_p = 2};
    r->draw.guidance = NAN;
    r->choice = UINT32_MAX;
    r->draw.first_picture = UINT32_MAX;
    h = run_alone(w.engine, r);
    assert_int_equal(h->status, STATUS_OK);
    assert_int_equal(h->n_pictures, 1);
    heard_free(h);
    assert_no_pages_held(w.engine);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_picture_as_last_token),
        cmocka_unit_test(test_picture_to_the_end_of_the_context),
        cmocka_unit_test(test_more_table_than_pages),
        cmocka_unit_test(test_preempted_right_after_a_picture),
        cmocka_unit_test(test_full_steps),
        cmocka_unit_test(test_guided_picture_gets_its_turn),
        cmocka_unit_test(test_odd_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
