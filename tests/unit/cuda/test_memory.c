/* The card's memory: the arena that all is cut from, and the engine, which asks the driver for nothing while
 * it serves and makes do where the arena is short. */
#include "../engine/hearing.h"
#include "expect_end.h"

#include "cuda/cuda_backend.h"
#include "cuda/emulator/emulator.h"
#include "cuda/group.h"

/* ---- the arena ---- */

static struct card_arena *open_arena(size_t bytes)
{
    struct card_arena *a = NULL;
    struct error err = {0};
    if (card_arena_open(&a, bytes, &err))
        fail_msg("%s", err.message);
    return a;
}

enum { PIECES = 64, ARENA_BYTES = 1 << 20 };

/* Takes and gives back at random; the sum of where everything lay. Pieces never overlap: the emulated card
 * sees to that. */
static size_t at_random(void)
{
    struct card_arena *a = open_arena(ARENA_BYTES);
    size_t whole = card_arena_left(a), sum = 0;
    char *piece[PIECES] = {NULL}, *first = card_arena_take(a, 1);
    unsigned refused = 0;
    srand(7);
    for (int i = 0; i < 20000; i++) {
        char **p = &piece[rand() % PIECES];
        card_arena_give_back(a, *p);
        size_t bytes = (size_t)(rand() % 60000);
        *p = i % 3 ? card_arena_take(a, bytes) : NULL;
        refused += i % 3 && !*p;
        assert_int_equal((uintptr_t)*p % 256, 0);
        assert_true(!*p || bytes <= card_arena_size(a));
        sum += *p ? (size_t)(*p - first) * (size_t)(i + 1) : 0;
    }
    assert_true(refused > 0);
    for (int i = 0; i < PIECES; i++)
        card_arena_give_back(a, piece[i]);
    card_arena_give_back(a, first);
    assert_int_equal(card_arena_left(a), whole);
    void *all = card_arena_take(a, whole);
    assert_non_null(all);
    assert_null(card_arena_take(a, 1));
    assert_int_equal(card_arena_left(a), 0);
    card_arena_give_back(a, all);
    card_arena_close(a);
    return sum;
}

static void pieces_have_places(void **state)
{
    (void)state;
    assert_int_equal(at_random(), at_random());
}

static void misuse(int what)
{
    struct card_arena *a = open_arena(ARENA_BYTES);
    char *piece = card_arena_take(a, 1000);
    if (what == 0)
        card_arena_give_back(a, piece + 256);
    else
        card_arena_close(a); /* with a piece still taken */
}

static void misuse_is_seen(void **state)
{
    (void)state;
    assert_ends(misuse, 0, "taken[low].at == at");
    assert_ends(misuse, 1, "memory is freed of which a part is still taken, 1000 bytes");
}

static void too_much_is_refused(void **state)
{
    (void)state;
    struct backend *be = NULL;
    struct error err = {0};
    assert_int_equal(cuda_backend_open(&be, 0, (size_t)1 << 40, &err), STATUS_DEVICE);
    assert_string_equal(err.message,
                        "cuda: no 1048576 MiB of device memory (out of memory), 2048 MiB of 2048 are "
                        "free: see --device-memory");
    assert_int_equal(cuda_backend_open(&be, 0, 1 << 20, &err), STATUS_DEVICE); /* less than what is staged */
    assert_non_null(strstr(err.message, "a larger --device-memory gives more"));
    assert_int_equal(cuda_backend_open(&be, 0, 10 << 20, &err), STATUS_OK);
    assert_in_range(be->op->memory_left(be), 1 << 20, 2 << 20);
    cuda_backend_close(be);
}

/* ---- serving ---- */

static struct world open_world(int cards, bool fast, struct engine_options options)
{
    static const int devices[] = {0, 1};
    struct world w = {0};
    struct error err = {0};
    options.model_path = "tests/golden/tiny-c/checkpoint";
    if (cards == 1 ? cuda_backend_open(&w.be, 0, 0, &err) : cuda_group_open(&w.be, devices, cards, 0, &err))
        fail_msg("%s", err.message);
    cuda_backend_set_fast(w.be, fast);
    if (fast)
        cuda_backend_use_libraries(w.be);
    assert_int_equal(w.be->rows_vary, fast);
    if (engine_open(&w.engine, w.be, &options, &err))
        fail_msg("%s", err.message);
    return w;
}

static void close_world(struct world *w)
{
    engine_close(w->engine);
    cuda_backend_close(w->be);
}

/* A prompt with n pictures to look at, no two the same. */
static struct request *album_request(const struct engine *e, int n, unsigned salt)
{
    struct request *r = NULL;
    size_t rows = (size_t)engine_seen_rows(e);
    r = text_request((int)(rows + 3) * n + 5, salt);
    r->text.max_tokens = 4;
    r->picture = xcalloc((size_t)n, sizeof *r->picture);
    r->n_pictures = (size_t)n;
    for (int i = 0; i < n; i++) {
        struct request *one = seeing_request(e, salt * 16 + (unsigned)i);
        r->picture[i] = one->picture[0];
        r->picture[i].first_id = 3 + (size_t)i * (rows + 3);
        one->picture[0].pixels = NULL;
        request_close(one);
    }
    return r;
}

enum { KINDS = 5, CHATS = 4, CROWD = CHATS + KINDS };

static struct request *new_request(const struct engine *e, int kind)
{
    struct request *r;
    switch (kind) {
    case 0:
        r = drawing_request(20, 9);
        r->draw.previews = 1u << 1 | 1u << 2;
        return r;
    case 1: return drawing_request(11, 3);
    case 2: return album_request(e, 7, 1);
    case 3: return album_request(e, 6, 2);
    case 4: return mixed_request(e, 5);
    default:
        r = text_request(90 + 5 * kind, (unsigned)kind);
        r->text.max_tokens = 45;
        return r;
    }
}

/* Its prompt is new to the cache. */
static struct request *request_of(const struct engine *e, int kind)
{
    static uint8_t salt;
    struct request *r = new_request(e, kind);
    r->cache_salt[0] = ++salt;
    return r;
}

static size_t scratch_of(const struct backend *be)
{
    const struct cuda_backend *c = (const struct cuda_backend *)be;
    return c->scratch_bytes + (c->aside ? c->aside->scratch_bytes << 32 : 0);
}

/* Chats, drawings and pictures to look at, with so few pages that some are preempted: nothing is asked for
 * that was not taken at start. */
static void serve_crowd(int cards, bool fast)
{
    struct world w = open_world(
        cards, fast, (struct engine_options){.max_sequences = CROWD, .context = 512, .cache_bytes = 1});
    struct heard *h[CROWD];
    struct engine_status s;
    const struct backend *one = cards == 1 ? w.be : &((struct cuda_group *)w.be)->card[1]->base;
    unsigned long allocations = emulator_allocations();
    size_t scratch = scratch_of(one);
    assert_true(scratch > 0);
    for (int i = 0; i < CROWD; i++)
        h[i] = submit(w.engine, request_of(w.engine, i), NULL);
    for (int i = 0; i < CROWD; i++) {
        heard_wait(h[i]);
        assert_int_equal(h[i]->status, STATUS_OK);
        heard_free(h[i]);
    }
    assert_no_pages_held(w.engine);
    engine_look(w.engine, &s);
    assert_true(s.preemptions > 0);
    assert_true(s.pictures >= 2 && s.pictures_seen >= 13);
    assert_int_equal(emulator_allocations(), allocations);
    assert_int_equal(scratch_of(one), scratch);
    close_world(&w);
}

static void serving_takes_nothing(void **state)
{
    (void)state;
    serve_crowd(1, false);
    serve_crowd(1, true);
    setenv("VARGPT_EMULATED_DEVICES", "2", 1);
    serve_crowd(2, false);
    serve_crowd(2, true);
    unsetenv("VARGPT_EMULATED_DEVICES");
}

/* ---- where memory is short ---- */

enum { HOARD = 1024 };

/* Takes memory until no place is left of more than `room` bytes. */
static int hoard(struct backend *be, size_t room, void *piece[HOARD])
{
    int n = 0;
    for (size_t left; (left = be->op->memory_left(be)) > room; n++) {
        assert_true(n < HOARD);
        piece[n] = be->op->alloc(be, left - room < 2048 ? left : left - room);
        assert_non_null(piece[n]);
    }
    return n;
}

static void give_up(struct backend *be, void **piece, int n)
{
    while (n > 0)
        be->op->free(be, piece[--n]);
}

/* Room for a drawing, or for some pictures' rows: requests wait for each other, and get what they get alone.
 * Without any room those with pictures fail, one by one, and chats do not notice. */
static void requests_make_do(void **state)
{
    (void)state;
    struct world w = open_world(
        1, false, (struct engine_options){.max_sequences = CROWD, .context = 512, .token_wait_ms = 1});
    struct heard *want[CROWD], *h[CROWD];
    void *piece[HOARD];
    for (int i = 0; i < CROWD; i++) {
        want[i] = run_alone(w.engine, request_of(w.engine, i));
        assert_int_equal(want[i]->status, STATUS_OK);
    }
    static const size_t rooms[] = {15 << 10, 1 << 10};
    for (size_t k = 0; k < sizeof rooms / sizeof *rooms; k++) {
        assert_no_pages_held(w.engine); /* and the engine's thread sleeps */
        int n = hoard(w.be, rooms[k], piece);
        bool none = rooms[k] < 2 << 10;
        for (int i = 0; i < CROWD; i++)
            h[i] = submit(w.engine, request_of(w.engine, i), NULL);
        for (int i = 0; i < CROWD; i++) {
            heard_wait(h[i]);
            if (h[i]->status == STATUS_OK)
                assert_same(want[i], h[i]);
            else
                assert_int_equal(h[i]->status, STATUS_NO_MEMORY);
            if (!none || i >= KINDS)
                assert_int_equal(h[i]->status, STATUS_OK);
            heard_free(h[i]);
        }
        assert_no_pages_held(w.engine);
        give_up(w.be, piece, n);
    }
    for (int i = 0; i < CROWD; i++) {
        if (i == 0 || i == 2 || i == KINDS) {
            h[i] = run_alone(w.engine, request_of(w.engine, i));
            assert_same(want[i], h[i]);
            heard_free(h[i]);
        }
        heard_free(want[i]);
    }
    close_world(&w);
}

/* Pictures are becoming rows, as many as there is room for, when somebody comes who is first: he gets the
 * room, and the other one begins anew. */
static void the_first_gets_room(void **state)
{
    (void)state;
    struct world w = open_world(1, false, (struct engine_options){.max_sequences = 2, .context = 512});
    struct heard *want[2] = {run_alone(w.engine, request_of(w.engine, 2)),
                             run_alone(w.engine, request_of(w.engine, 3))};
    struct engine_status before, s;
    size_t rows =
        (size_t)engine_seen_rows(w.engine) * (size_t)engine_config(w.engine)->llm.hidden * sizeof(float);
    void *piece[HOARD];
    assert_no_pages_held(w.engine);
    int n = hoard(w.be, rows / 2, piece); /* what is left is what the eight remembered pictures have */
    while ((piece[n] = w.be->op->alloc(w.be, rows)))
        n++;
    engine_look(w.engine, &s);
    int tries = 0;
    for (; s.preemptions == 0 && tries < 50; tries++) { /* he may come too late */
        engine_look(w.engine, &before);
        struct heard *second = submit(w.engine, request_of(w.engine, 2), NULL);
        struct request *r = request_of(w.engine, 3);
        r->priority = -1;
        do {
            usleep(100);
            engine_look(w.engine, &s);
        } while (s.pictures_seen == before.pictures_seen);
        struct heard *first = submit(w.engine, r, NULL);
        heard_wait(first);
        heard_wait(second);
        assert_same(want[1], first);
        assert_same(want[0], second);
        heard_free(first);
        heard_free(second);
        assert_no_pages_held(w.engine);
        engine_look(w.engine, &s);
    }
    assert_true(s.preemptions > 0);
    print_message("after %d tries\n", tries);
    give_up(w.be, piece, n);
    heard_free(want[0]);
    heard_free(want[1]);
    close_world(&w);
}

/* Each piece that a request takes cannot be had, in turn: it fails, or something remembered makes room; and
 * the next one is as ever. */
static void requests_survive_no_memory(void **state)
{
    (void)state;
    struct world w = open_world(1, false, (struct engine_options){.max_sequences = 2, .context = 512});
    for (int kind = 0; kind < KINDS; kind += 2) {
        struct heard *want = run_alone(w.engine, request_of(w.engine, kind)), *h;
        int failures = 0;
        for (long n = 1; n <= 5; n++) {
            memory_fail_after(n);
            h = run_alone(w.engine, request_of(w.engine, kind));
            memory_fail_after(0);
            if (h->status == STATUS_OK)
                assert_same(want, h);
            else
                assert_int_equal(h->status, STATUS_NO_MEMORY);
            failures += h->status != STATUS_OK;
            heard_free(h);
            assert_no_pages_held(w.engine);
        }
        assert_true(failures > 0 || kind == 2); /* those that have looked at pictures can forget some */
        heard_free(want);
    }
    close_world(&w);
}

/* Caches that leave no room for pictures are refused at once. */
static void caches_leave_room(void **state)
{
    (void)state;
    struct backend *be = NULL;
    struct engine *e = NULL;
    struct error err = {0};
    struct engine_options options = {
        .model_path = "tests/golden/tiny-c/checkpoint", .max_sequences = 64, .step_rows = 64};
    assert_int_equal(cuda_backend_open(&be, 0, 64 << 20, &err), STATUS_OK);
    assert_int_equal(engine_open(&e, be, &options, &err), STATUS_OK); /* chosen: as much as is left */
    engine_close(e);
    for (options.cache_bytes = 1 << 20; options.cache_bytes < 128 << 20; options.cache_bytes += 1 << 18) {
        if (engine_open(&e, be, &options, &err))
            break;
        engine_close(e);
    }
    assert_int_equal(err.status, STATUS_NO_MEMORY);
    assert_non_null(strstr(err.message, "a smaller --cache"));
    options.cache_bytes = 0;
    assert_int_equal(engine_open(&e, be, &options, &err), STATUS_OK);
    engine_close(e);
    cuda_backend_close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_have_places),         cmocka_unit_test(misuse_is_seen),
        cmocka_unit_test(too_much_is_refused),        cmocka_unit_test(serving_takes_nothing),
        cmocka_unit_test(requests_make_do),           cmocka_unit_test(the_first_gets_room),
        cmocka_unit_test(requests_survive_no_memory), cmocka_unit_test(caches_leave_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
