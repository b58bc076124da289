/* Streams, events and graphs. A stream is a list of work that runs when something waits for it, so that a
 * missing wait is seen; where it waits for an event, the other stream runs up to that first. Clocks say what
 * is ordered (watch.cpp). */
#include "cuda/emulator/internal.h"

#include <atomic>
#include <deque>
#include <memory>
#include <stdlib.h>

typedef std::vector<std::shared_ptr<emulated_work>> works;

/* A place in a stream: all that was given to it until then. */
struct place {
    int stream; /* its number; 0: no place */
    unsigned long count;
};

/* What a stream does next: work (a graph: much of it), or to wait for a place in another stream. */
struct item {
    works work;
    struct place awaited;
    emulated_clock clock;
};

struct CUgraph_st {
    works work;
};

struct CUgraphExec_st {
    works work;
    struct place launched; /* last */
};

struct CUevent_st {
    struct place place;
    emulated_clock clock;
};

struct CUstream_st {
    int number, device;
    bool running; /* an item, perhaps one that makes other streams run */
    std::deque<item> queue;
    unsigned long given, done; /* items */
    emulated_clock clock;
    cudaGraph_t capture; /* what is captured goes there; NULL: it is not */
};

static std::map<int, cudaStream_t> streams; /* by number */
static int n_streams;                       /* so far */
static emulated_clock host;                 /* what some thread of the host has waited for */
static thread_local int captures;           /* under way on this thread */
static std::atomic<unsigned long> submissions;

unsigned long emulator_submissions(void)
{
    return submissions;
}

void emulated_not_in_capture(const char *what)
{
    if (captures > 0)
        emulated_fail("%s while a stream is captured", what);
}

static void check_stream(cudaStream_t stream)
{
    for (const auto &entry : streams) {
        if (entry.second == stream)
            return;
    }
    emulated_fail("%p is not a stream (the default stream is not used here)", (void *)stream);
}

/* ---- clocks ---- */

static void join(emulated_clock &to, const emulated_clock &from)
{
    if (to.size() < from.size())
        to.resize(from.size());
    for (size_t i = 0; i < from.size(); i++)
        to[i] = from[i] > to[i] ? from[i] : to[i];
}

static void tick(cudaStream_t s)
{
    join(s->clock, host);
    if (s->clock.size() <= (size_t)s->number)
        s->clock.resize((size_t)s->number + 1);
    s->clock[(size_t)s->number]++;
}

/* ---- running ---- */

static void run_to(struct place);

static void run_next(cudaStream_t s)
{
    if (s->running || s->queue.empty())
        emulated_fail("streams wait for each other for ever, one of them stream %d on device %d", s->number,
                      s->device);
    struct item next = std::move(s->queue.front());
    s->queue.pop_front();
    s->running = true;
    run_to(next.awaited);
    for (const auto &work : next.work)
        watch_run(work.get(), s->number, s->device, next.clock);
    s->running = false;
    s->done++;
}

static void run_to(struct place p)
{
    auto found = streams.find(p.stream); /* one that is gone has run */
    while (found != streams.end() && found->second->done < p.count)
        run_next(found->second);
}

void emulated_run_until(cudaStream_t s, const bool *reached)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    while (!*reached)
        run_next(s);
}

void emulated_wait(cudaStream_t s)
{
    run_to({s->number, s->given});
    join(host, s->clock);
}

void emulated_run_all()
{
    for (const auto &entry : streams)
        emulated_wait(entry.second);
}

void emulated_run_unordered()
{
    for (const auto &entry : streams)
        run_to({entry.first, entry.second->given});
}

static void give(cudaStream_t s, works work, struct place awaited)
{
    tick(s);
    s->queue.push_back({std::move(work), awaited, s->clock});
    s->given++;
}

void emulated_enqueue(cudaStream_t stream, emulated_work *work)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    check_stream(stream);
    std::shared_ptr<emulated_work> owned(work);
    if (stream->capture)
        stream->capture->work.push_back(owned);
    else
        give(stream, {owned}, {});
}

void emulated_enqueue_kernel(cudaStream_t stream, emulated_work *work)
{
    emulated_enqueue(stream, work);
    submissions += !stream->capture;
}

void emulated_enqueue_meeting(const std::vector<emulated_meeting_place> &places)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    emulated_clock all;
    emulated_not_in_capture("streams meet");
    for (const emulated_meeting_place &p : places) {
        emulated_enqueue(p.stream, p.work);
        join(all, p.stream->clock);
    }
    for (const emulated_meeting_place &p : places) {
        join(p.stream->clock, all);
        p.stream->queue.back().clock = p.stream->clock;
    }
}

/* ---- streams ---- */

int emulated_device_of(cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    check_stream(stream);
    return stream->device;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    if (flags != cudaStreamNonBlocking)
        emulated_fail("a stream that waits for the default stream");
    *out = new CUstream_st{++n_streams, emulated_current_device(), false, {}, 0, 0, {}, nullptr};
    streams[n_streams] = *out;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    check_stream(stream);
    if (stream->capture)
        emulated_fail("a stream is destroyed while it is captured");
    emulated_wait(stream);
    streams.erase(stream->number);
    delete stream;
    return cudaSuccess;
}

/* From the given wait on, every one fails. */
static bool is_lost()
{
    static const char *const text = getenv("VARGPT_EMULATOR_LOSE_AFTER");
    static long left = text ? strtol(text, nullptr, 10) : -1;
    return left == 0 || (left > 0 && --left == 0);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    check_stream(stream);
    emulated_not_in_capture("a wait for a stream");
    emulated_wait(stream);
    emulated_check_guards();
    return is_lost() ? emulated_answer(cudaErrorLaunchFailure) : cudaSuccess;
}

/* Each question finds the stream one piece of work further. */
cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    check_stream(stream);
    emulated_not_in_capture("a question for a stream");
    if (!stream->queue.empty())
        run_next(stream);
    if (!stream->queue.empty())
        return cudaErrorNotReady;
    emulated_wait(stream);
    return is_lost() ? emulated_answer(cudaErrorLaunchFailure) : cudaSuccess;
}

/* ---- events ---- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    if (flags != cudaEventDisableTiming)
        emulated_fail("an event that takes times, which slows streams down");
    *out = new CUevent_st{};
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    check_stream(stream);
    emulated_not_in_capture("an event");
    *event = {{stream->number, stream->given}, stream->clock};
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    check_stream(stream);
    emulated_not_in_capture("waiting for an event");
    join(stream->clock, event->clock);
    give(stream, {}, event->place);
    return cudaSuccess;
}

/* ---- graphs ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    check_stream(stream);
    if (mode != cudaStreamCaptureModeThreadLocal || stream->capture)
        emulated_fail(stream->capture ? "a stream is captured twice"
                                      : "a capture that forbids other threads");
    stream->capture = new CUgraph_st;
    captures++;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    check_stream(stream);
    if (!stream->capture)
        emulated_fail("the end of a capture that did not begin");
    *out = stream->capture;
    stream->capture = nullptr;
    captures--;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long)
{
    emulated_not_in_capture("a graph made ready");
    *out = new CUgraphExec_st{graph->work, {}};
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    check_stream(stream);
    emulated_not_in_capture("a graph");
    give(stream, graph->work, {});
    graph->launched = {stream->number, stream->given};
    submissions++;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    auto found = streams.find(graph->launched.stream);
    if (found != streams.end() && found->second->done < graph->launched.count)
        emulated_fail("a graph is destroyed before it has run");
    delete graph;
    return cudaSuccess;
}
