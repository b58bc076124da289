/* The emulated card's streams, events and graphs: what is ordered runs in order, what is not ends the
 * program, and graphs do again what was captured. What ends a program happens in a child process. */
#include "expect_end.h"
#include "mistakes.h"

#include "cuda/emulator/emulator.h"

enum { N = 64, BYTES = N * sizeof(float) };

/* Two streams and an event; device memory a, b and c, pinned memory p. */
struct stage {
    cudaStream_t one, two;
    cudaEvent_t event;
    float *a, *b, *c, *p;
};

static struct stage set_up(void)
{
    struct stage s;
    float **device[] = {&s.a, &s.b, &s.c};
    assert_int_equal(cudaStreamCreateWithFlags(&s.one, cudaStreamNonBlocking), cudaSuccess);
    assert_int_equal(cudaStreamCreateWithFlags(&s.two, cudaStreamNonBlocking), cudaSuccess);
    assert_int_equal(cudaEventCreateWithFlags(&s.event, cudaEventDisableTiming), cudaSuccess);
    assert_int_equal(cudaHostAlloc((void **)&s.p, BYTES, cudaHostAllocDefault), cudaSuccess);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cudaMalloc((void **)device[i], BYTES), cudaSuccess);
        cudaMemsetAsync(*device[i], 0, BYTES, s.one);
    }
    memset(s.p, 0, BYTES);
    cudaStreamSynchronize(s.one);
    return s;
}

static void take_down(struct stage *s)
{
    cudaStreamDestroy(s->one);
    cudaStreamDestroy(s->two);
    cudaEventDestroy(s->event);
    cudaFree(s->a);
    cudaFree(s->b);
    cudaFree(s->c);
    cudaFreeHost(s->p);
}

/* Stream two comes after all that was given to stream one. */
static void order(struct stage *s)
{
    cudaEventRecord(s->event, s->one);
    cudaStreamWaitEvent(s->two, s->event, 0);
}

static float first_of(struct stage *s, const float *device, cudaStream_t stream)
{
    cudaMemcpyAsync(s->p, device, BYTES, cudaMemcpyDeviceToHost, stream);
    cudaStreamSynchronize(stream);
    return s->p[0];
}

/* ---- what is not ordered ---- */

enum hazard { READ_AFTER_WRITE, WRITE_AFTER_READ, WRITE_AFTER_WRITE, PINNED, EVENT_TOO_EARLY, IN_GRAPH };

static cudaGraphExec_t capture_add(cudaStream_t stream, float *to, const float *from)
{
    cudaGraph_t graph;
    cudaGraphExec_t ready;
    assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    start_add(stream, to, from);
    assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    assert_int_equal(cudaGraphInstantiate(&ready, graph, 0), cudaSuccess);
    cudaGraphDestroy(graph);
    return ready;
}

static void do_hazard(int hazard)
{
    struct stage s = set_up();
    cudaGraphExec_t graph = hazard == IN_GRAPH ? capture_add(s.two, s.b, s.a) : NULL;
    if (hazard == EVENT_TOO_EARLY)
        order(&s);
    if (hazard == WRITE_AFTER_READ)
        start_add(s.one, s.c, s.a);
    else if (hazard == PINNED)
        cudaMemcpyAsync(s.p, s.b, BYTES, cudaMemcpyDeviceToHost, s.one);
    else
        start_mistake(s.one, BEHAVES, s.a);
    if (graph)
        cudaGraphLaunch(graph, s.two);
    else if (hazard == PINNED)
        cudaMemcpyAsync(s.a, s.p, BYTES, cudaMemcpyHostToDevice, s.two);
    else if (hazard == WRITE_AFTER_READ || hazard == WRITE_AFTER_WRITE)
        start_mistake(s.two, BEHAVES, s.a);
    else
        start_add(s.two, s.b, s.a);
    cudaStreamSynchronize(s.one);
    cudaStreamSynchronize(s.two);
}

static void sees_hazards(void **state)
{
    (void)state;
    assert_ends(do_hazard, READ_AFTER_WRITE,
                "adds on stream 2 reads 256 bytes of device memory that kernels[mistake] on stream 1 wrote");
    assert_ends(
        do_hazard, WRITE_AFTER_READ,
        "on stream 2 writes 256 bytes of device memory that adds on stream 1 read, and no event or wait");
    assert_ends(do_hazard, WRITE_AFTER_WRITE,
                "on stream 2 writes 256 bytes of device memory that kernels[mistake]");
    assert_ends(do_hazard, PINNED,
                "a copy to the card on stream 2 reads 256 bytes of pinned memory that a copy from the card "
                "on stream 1");
    assert_ends(do_hazard, EVENT_TOO_EARLY, "adds on stream 2 reads 256 bytes of device memory");
    assert_ends(do_hazard, IN_GRAPH, "adds on stream 2 reads 256 bytes of device memory");
}

/* ---- what is ---- */

/* Waiting for the second stream runs what it waits for in the first. */
static void follows_events(void **state)
{
    (void)state;
    struct stage s = set_up();
    start_mistake(s.one, BEHAVES, s.a);
    order(&s);
    start_add(s.two, s.b, s.a);
    assert_true(first_of(&s, s.b, s.two) == 2016);
    start_mistake(s.one, BEHAVES, s.b); /* the host waited */
    assert_true(first_of(&s, s.b, s.one) == 2016);
    start_add(s.one, s.b, s.a); /* reading side by side */
    start_add(s.two, s.c, s.a);
    assert_true(first_of(&s, s.c, s.two) == 2016);
    assert_true(first_of(&s, s.b, s.one) == 4032);
    take_down(&s);
}

static void answers_questions(void **state)
{
    (void)state;
    struct stage s = set_up();
    int asked = 0;
    assert_int_equal(cudaStreamQuery(s.one), cudaSuccess);
    start_mistake(s.one, BEHAVES, s.a);
    start_add(s.one, s.b, s.a);
    cudaMemcpyAsync(s.p, s.b, BYTES, cudaMemcpyDeviceToHost, s.one);
    while (cudaStreamQuery(s.one) == cudaErrorNotReady)
        asked++;
    assert_int_equal(asked, 2);
    assert_true(s.p[0] == 2016);
    take_down(&s);
}

/* ---- graphs ---- */

static void replays(void **state)
{
    (void)state;
    struct stage s = set_up();
    unsigned long launches = emulator_launches(), submissions = emulator_submissions();
    float *to = s.b;
    cudaGraphExec_t graph = capture_add(s.one, to, s.a);
    to = s.c; /* arguments are those of the capture */
    assert_true(first_of(&s, s.b, s.one) == 0);
    assert_int_equal(emulator_submissions(), submissions);
    for (int i = 1; i <= 3; i++) {
        for (int k = 0; k < N; k++)
            s.p[k] = (float)i;
        cudaMemcpyAsync(s.a, s.p, BYTES, cudaMemcpyHostToDevice, s.one); /* memory is that of the replay */
        assert_int_equal(cudaGraphLaunch(graph, s.one), cudaSuccess);
        assert_true(first_of(&s, s.b, s.one) == (float)(i * (i + 1) / 2));
    }
    assert_true(first_of(&s, to, s.one) == 0);
    assert_int_equal(emulator_launches(), launches + 3);
    assert_int_equal(emulator_submissions(), submissions + 3);
    cudaGraphExecDestroy(graph);
    take_down(&s);
}

enum forbidden { WAITS, ASKS, TAKES, FREES, COPIES_PAGEABLE, RECORDS, ENDS_ONLY, DESTROYS_RUNNING };

static void do_forbidden(int what)
{
    struct stage s = set_up();
    float host[N] = {0};
    void *memory;
    cudaGraph_t graph;
    if (what == DESTROYS_RUNNING) {
        cudaGraphExec_t ready = capture_add(s.one, s.b, s.a);
        cudaGraphLaunch(ready, s.one);
        cudaGraphExecDestroy(ready);
    }
    if (what != ENDS_ONLY)
        cudaStreamBeginCapture(s.one, cudaStreamCaptureModeThreadLocal);
    switch ((enum forbidden)what) {
    case WAITS: cudaStreamSynchronize(s.two); break;
    case ASKS: cudaStreamQuery(s.one); break;
    case TAKES: cudaMalloc(&memory, 4); break;
    case FREES: cudaFree(s.a); break;
    case COPIES_PAGEABLE: cudaMemcpyAsync(s.a, host, BYTES, cudaMemcpyHostToDevice, s.one); break;
    case RECORDS: cudaEventRecord(s.event, s.one); break;
    default: cudaStreamEndCapture(s.one, &graph);
    }
}

static void sees_what_captures_forbid(void **state)
{
    (void)state;
    assert_ends(do_forbidden, WAITS, "a wait for a stream while a stream is captured");
    assert_ends(do_forbidden, ASKS, "a question for a stream while");
    assert_ends(do_forbidden, TAKES, "memory taken while");
    assert_ends(do_forbidden, FREES, "memory freed while");
    assert_ends(do_forbidden, COPIES_PAGEABLE, "not pinned while");
    assert_ends(do_forbidden, RECORDS, "an event while");
    assert_ends(do_forbidden, ENDS_ONLY, "did not begin");
    assert_ends(do_forbidden, DESTROYS_RUNNING, "before it has run");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sees_hazards),
        cmocka_unit_test(follows_events),
        cmocka_unit_test(answers_questions),
        cmocka_unit_test(replays),
        cmocka_unit_test(sees_what_captures_forbid),
    };
    emulator_guard_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
