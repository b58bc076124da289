/* The CUDA backend's two lines of work and its recorded passes, on an emulated card that watches what orders
 * them; and the engine, whose requests get the same bytes with graphs and without. */
#include "../engine/hearing.h"
#include "expect_end.h"

#include "cuda/cuda_backend.h"
#include "cuda/emulator/emulator.h"

enum { ROWS = 4, COLS = 32, VALUES = ROWS * COLS, BYTES = VALUES * sizeof(float) };

static struct backend *open_card(bool graphs)
{
    struct backend *be = NULL;
    struct error err = {0};
    if (cuda_backend_open(&be, 0, 0, &err))
        fail_msg("%s", err.message);
    cuda_backend_set_graphs(be, graphs);
    return be;
}

static struct backend *second_line(struct backend *be)
{
    struct backend *aside = NULL, *again = NULL;
    assert_int_equal(be->op->aside(be, &aside, NULL), STATUS_OK);
    assert_int_equal(be->op->aside(be, &again, NULL), STATUS_OK);
    assert_ptr_equal(aside, again);
    return aside;
}

/* Rows of `value` in the card's memory. */
static struct tensor take_rows(struct backend *be, float value)
{
    float in[VALUES];
    for (int i = 0; i < VALUES; i++)
        in[i] = value;
    struct tensor t = {be->op->alloc(be, BYTES), DTYPE_F32, ROWS, COLS, COLS};
    assert_non_null(t.data);
    be->op->upload(be, t.data, in, BYTES);
    return t;
}

static float first_of(struct backend *be, struct tensor t)
{
    float out[VALUES];
    be->op->download(be, out, t.data, BYTES);
    assert_int_equal(be->op->finish(be, NULL), STATUS_OK);
    for (int i = 1; i < VALUES; i++)
        assert_true(out[i] == out[0]);
    return out[0];
}

/* ---- lines ---- */

/* The second line adds rows of the first to its own: `a`, 1, and `b`, 2. */
struct reading {
    struct backend *be, *aside;
    struct tensor a, b;
};

static struct reading open_reading(void)
{
    struct reading r = {.be = open_card(false)};
    r.aside = second_line(r.be);
    r.a = take_rows(r.be, 1);
    r.b = take_rows(r.aside, 2);
    return r;
}

/* The reading is under way; what the first line does next comes after it, or not. */
static struct reading start_reading(int ordered)
{
    struct reading r = open_reading();
    r.aside->op->after(r.aside, r.be);
    r.aside->op->add(r.aside, r.b, r.a, NULL);
    if (ordered)
        r.be->op->after(r.be, r.aside);
    return r;
}

/* left: the first line's rows. */
static void end_reading(const struct reading *r, struct tensor left)
{
    assert_true(first_of(r->aside, r->b) == 3);
    r->be->op->free(r->be, left.data);
    r->aside->op->free(r->aside, r->b.data);
    cuda_backend_close(r->be);
}

/* The second line reads what the first is writing; ordered or not. */
static void read_aside(int ordered)
{
    struct reading r = open_reading();
    if (ordered)
        r.aside->op->after(r.aside, r.be);
    r.aside->op->add(r.aside, r.b, r.a, NULL);
    assert_int_equal(r.aside->op->finish(r.aside, NULL), STATUS_OK);
    assert_int_equal(r.be->op->finish(r.be, NULL), STATUS_OK); /* unordered, `a` is written only here */
    end_reading(&r, r.a);
}

/* The first line writes what the second is reading. */
static void write_under(int ordered)
{
    struct reading r = start_reading(ordered);
    r.be->op->add(r.be, r.a, r.a, NULL);
    assert_true(first_of(r.be, r.a) == 2);
    end_reading(&r, r.a);
}

/* The first line gives back what the second is reading, and gets its place again. */
static void reuse_under(int ordered)
{
    struct reading r = start_reading(ordered);
    r.be->op->free(r.be, r.a.data);
    struct tensor c = take_rows(r.be, 5);
    assert_ptr_equal(c.data, r.a.data);
    assert_true(first_of(r.be, c) == 5);
    end_reading(&r, c);
}

static void lines_are_ordered(void **state)
{
    (void)state;
    read_aside(true);
    write_under(true);
    assert_ends(read_aside, false, "writes 512 bytes of device memory that add_kernel<4> on stream");
    assert_ends(write_under, false, "that add_kernel<4> on stream"); /* whichever ran first */
    reuse_under(true);
    assert_ends(reuse_under, false, "a copy to the card on stream");
}

/* Scratch and staging memory are each line's own; waiting for one leaves the other's work undone. */
static void lines_are_apart(void **state)
{
    (void)state;
    struct backend *be = open_card(true), *aside = second_line(be);
    struct tensor a = take_rows(be, 1), b = take_rows(aside, 2);
    float norm[COLS], t[ROWS] = {0}, out[VALUES] = {0};
    for (int i = 0; i < COLS; i++)
        norm[i] = 1;
    float *weight = be->op->alloc(be, sizeof norm);
    be->op->upload(be, weight, norm, sizeof norm);
    be->op->after(aside, be);
    be->op->group_norm(be, a, a, 2, weight, weight, 1e-6f, ACT_NONE);
    be->op->guide(be, a, a, a, t);
    aside->op->group_norm(aside, b, b, 2, weight, weight, 1e-6f, ACT_NONE);
    aside->op->guide(aside, b, b, b, t);
    aside->op->download(aside, out, b.data, BYTES);
    assert_true(first_of(be, a) == 1);
    assert_true(out[0] == 0);
    assert_true(aside->op->pending(aside));
    while (aside->op->pending(aside))
        ;
    assert_false(be->op->pending(be));
    assert_int_equal(aside->op->finish(aside, NULL), STATUS_OK);
    assert_true(out[0] == 1);
    be->op->free(be, weight);
    be->op->free(be, a.data);
    be->op->free(aside, b.data);
    cuda_backend_close(be);
}

/* ---- recorded passes ---- */

/* x += y, as a pass of that shape: what the backend made of it. */
static enum replay add_pass(struct backend *be, struct tensor x, struct tensor y, int keys)
{
    struct pass_shape shape = {x.data, ROWS, keys};
    enum replay replay = be->op->replay(be, &shape);
    if (replay != REPLAY_DONE)
        be->op->add(be, x, y, NULL);
    if (replay == REPLAY_RECORDS)
        be->op->replay_end(be);
    return replay;
}

static void passes_are_replayed(void **state)
{
    (void)state;
    struct backend *be = open_card(true);
    struct tensor x = take_rows(be, 0), y = take_rows(be, 1);
    assert_int_equal(add_pass(be, x, y, 1), REPLAY_NOT);
    assert_int_equal(add_pass(be, x, y, 256), REPLAY_RECORDS); /* as many splits */
    unsigned long submissions = emulator_submissions();
    assert_int_equal(add_pass(be, x, y, 100), REPLAY_DONE);
    assert_int_equal(emulator_submissions(), submissions + 1);
    assert_int_equal(add_pass(be, x, y, 257), REPLAY_NOT);
    assert_true(first_of(be, x) == 4);

    float two[VALUES]; /* numbers may change, places not */
    for (int i = 0; i < VALUES; i++)
        two[i] = 2;
    be->op->upload(be, y.data, two, BYTES);
    assert_int_equal(add_pass(be, x, y, 1), REPLAY_DONE);
    assert_true(first_of(be, x) == 6);

    struct tensor large = {be->op->alloc(be, 1 << 20), DTYPE_F32, 1 << 13, COLS, COLS};
    be->op->group_norm(be, large, large, 2, y.data, y.data, 1e-6f, ACT_NONE); /* scratch memory moves */
    assert_int_equal(add_pass(be, x, y, 1), REPLAY_NOT);
    assert_true(first_of(be, x) == 8);
    cuda_backend_set_graphs(be, false);
    for (int i = 0; i < 3; i++)
        assert_int_equal(add_pass(be, x, y, 1), REPLAY_NOT);
    assert_true(first_of(be, x) == 14);
    be->op->free(be, large.data);
    be->op->free(be, x.data);
    be->op->free(be, y.data);
    cuda_backend_close(be);
}

/* More shapes than there is room for: those that come by often stay. */
static void old_passes_make_room(void **state)
{
    (void)state;
    struct backend *be = open_card(true);
    struct tensor x = take_rows(be, 0), y = take_rows(be, 1);
    int passes = 0, replayed = 0;
    for (int round = 0; round < 200; round++) {
        struct tensor part = {(float *)x.data + 1 + round % 100, DTYPE_F32, 1, 1, 1};
        replayed += add_pass(be, x, y, 1) == REPLAY_DONE;
        assert_int_not_equal(add_pass(be, part, y, 1), REPLAY_DONE);
        passes++;
    }
    assert_int_equal(replayed, passes - 2);
    assert_int_equal(be->op->finish(be, NULL), STATUS_OK);
    be->op->free(be, x.data);
    be->op->free(be, y.data);
    cuda_backend_close(be);
}

enum forbidden { DOWNLOADS, FINISHES, STAGES };

static void do_while_recording(int what)
{
    struct backend *be = open_card(true);
    struct tensor x = take_rows(be, 0);
    struct pass_shape shape = {x.data, ROWS, 1};
    float out[VALUES] = {0};
    be->op->replay(be, &shape);
    if (be->op->replay(be, &shape) != REPLAY_RECORDS)
        _exit(0);
    if (what == DOWNLOADS)
        be->op->download(be, out, x.data, BYTES);
    else if (what == FINISHES)
        be->op->finish(be, NULL);
    else
        be->op->guide(be, x, x, x, out);
}

static void recording_forbids(void **state)
{
    (void)state;
    assert_ends(do_while_recording, DOWNLOADS, "is_recording");
    assert_ends(do_while_recording, FINISHES, "is_recording");
    assert_ends(do_while_recording, STAGES, "is_recording");
}

/* ---- the engine ---- */

enum { CHATS = 2 };

/* Chats of different lengths, one of which comes to a second split of its context, and a picture with a
 * preview beside them. Gives how much was submitted to the card. */
static unsigned long serve(bool graphs, struct heard *heard[CHATS + 1])
{
    static const int prompts[CHATS] = {30, 245};
    struct world w = {.be = open_card(graphs)};
    struct error err = {0};
    struct engine_options options = {.model_path = "tests/golden/tiny-c/checkpoint",
                                     .max_sequences = CHATS + 1};
    if (engine_open(&w.engine, w.be, &options, &err))
        fail_msg("%s", err.message);
    unsigned long before = emulator_submissions();
    struct request *drawing = drawing_request(20, 9);
    drawing->draw.previews = 1u << 1 | 1u << 2;
    for (int i = 0; i < CHATS; i++)
        heard[i] = submit(w.engine, text_request(prompts[i], (unsigned)i + 1), NULL);
    heard[CHATS] = submit(w.engine, drawing, NULL);
    for (int i = 0; i <= CHATS; i++)
        heard_wait(heard[i]);
    assert_no_pages_held(w.engine);
    unsigned long submitted = emulator_submissions() - before;
    engine_close(w.engine);
    cuda_backend_close(w.be);
    return submitted;
}

static void graphs_change_no_byte(void **state)
{
    (void)state;
    struct heard *without[CHATS + 1], *with[CHATS + 1];
    unsigned long many = serve(false, without), few = serve(true, with);
    print_message("submitted: %lu without graphs, %lu with them\n", many, few);
    assert_true(few < many);
    for (int i = 0; i <= CHATS; i++) {
        assert_int_equal(with[i]->status, STATUS_OK);
        assert_same(without[i], with[i]);
        heard_free(without[i]);
        heard_free(with[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_ordered),   cmocka_unit_test(lines_are_apart),
        cmocka_unit_test(passes_are_replayed), cmocka_unit_test(old_passes_make_room),
        cmocka_unit_test(recording_forbids),   cmocka_unit_test(graphs_change_no_byte),
    };
    emulator_guard_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
