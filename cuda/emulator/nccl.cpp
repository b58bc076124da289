/* NCCL's stand-in: communicators of devices in one process, driven by one thread. A rank's part of a
 * collective is work in that rank's stream; whichever comes first makes the others run up to theirs. What
 * would make cards wait for ever, or mix up memory, ends the program. */
#include "cuda/emulator/internal.h"
#include "cuda/nccl_api.h"

extern "C" {
#include "base/memory.h"
}

#include <memory>
#include <stdlib.h>
#include <vector>

static const char COMMUNICATOR[] = "a communicator";

/* The communicators that were made together. */
struct clique {
    int ranks, waiting; /* collectives that have not run */
    bool aborted;
};

struct ncclComm {
    std::shared_ptr<clique> all;
    int rank, device;
};

/* One rank's call. */
struct part {
    ncclComm_t comm;
    const char *send;
    char *receive;
    size_t bytes; /* of what is sent */
    cudaStream_t stream;
};

static thread_local int depth;
static thread_local std::vector<part> calls; /* of the open group */

/* ---- running ---- */

struct meeting {
    std::shared_ptr<clique> all;
    std::vector<part> parts; /* by rank */
    std::vector<int> device;
    std::unique_ptr<bool[]> arrived;
    int n_arrived;
};

static void gather(const meeting &m)
{
    for (size_t to = 0; to < m.parts.size(); to++) {
        for (size_t from = 0; from < m.parts.size(); from++) {
            const part &a = m.parts[to], &b = m.parts[from];
            char *place = a.receive + from * b.bytes;
            if (place != b.send)
                emulated_copy_between(m.device[to], place, m.device[from], b.send, b.bytes);
        }
    }
    m.all->waiting--;
}

struct arrival : emulated_work {
    std::shared_ptr<meeting> m;
    size_t rank;

    void run() override
    {
        m->arrived[rank] = true;
        if (++m->n_arrived == m->all->ranks && !m->all->aborted)
            gather(*m);
        for (size_t r = 0; r < m->parts.size() && !m->all->aborted; r++) {
            if (!m->arrived[r])
                emulated_run_until(m->parts[r].stream, &m->arrived[r]);
        }
    }
    const char *name() const override
    {
        return "ncclAllGather";
    }
};

/* ---- checks ---- */

static void check_memory(const part &p)
{
    static const char call[] = "ncclAllGather";
    size_t all = p.bytes * (size_t)p.comm->all->ranks;
    if (emulated_device_of(p.stream) != p.comm->device)
        emulated_fail("%s: rank %d is device %d, its stream is of device %d", call, p.comm->rank,
                      p.comm->device, emulated_device_of(p.stream));
    emulated_need_memory_of(p.comm->device, call, "what is sent", p.send, p.bytes, sizeof(float));
    emulated_need_memory_of(p.comm->device, call, "what is received", p.receive, all, sizeof(float));
    bool in_place = p.send == p.receive + (size_t)p.comm->rank * p.bytes;
    if (!in_place && p.send < p.receive + all && p.receive < p.send + p.bytes)
        emulated_fail("%s: what is sent overlaps what is received, and not at its own place", call);
}

/* The calls of ranks 0, 1, ... that belong to the first call that is left; they are taken out. */
static std::vector<part> take_matching()
{
    std::shared_ptr<clique> all = calls.front().comm->all;
    std::vector<part> found;
    for (int rank = 0; rank < all->ranks; rank++) {
        size_t i = 0;
        while (i < calls.size() && !(calls[i].comm->all == all && calls[i].comm->rank == rank))
            i++;
        if (i == calls.size())
            emulated_fail(
                "ncclGroupEnd: rank %d takes no part in a collective, the others would wait for ever", rank);
        if (rank && calls[i].bytes != found[0].bytes)
            emulated_fail("ncclAllGather: rank %d sends %zu bytes, rank 0 %zu", rank, calls[i].bytes,
                          found[0].bytes);
        found.push_back(calls[i]);
        calls.erase(calls.begin() + (long)i);
    }
    return found;
}

static void start(std::vector<part> parts)
{
    auto m = std::make_shared<meeting>();
    m->all = parts[0].comm->all;
    m->all->waiting++;
    m->arrived.reset(new bool[parts.size()]());
    m->n_arrived = 0;
    for (const part &p : parts) {
        check_memory(p);
        m->device.push_back(p.comm->device);
    }
    m->parts = parts;
    std::vector<emulated_meeting_place> places;
    for (size_t rank = 0; rank < parts.size(); rank++) {
        arrival *work = new arrival;
        work->m = m;
        work->rank = rank;
        places.push_back({parts[rank].stream, work});
    }
    emulated_enqueue_meeting(places);
}

/* ---- calls ---- */

static bool no_memory()
{
    void *memory = try_malloc(1, 1);
    free(memory);
    return !memory;
}

ncclResult_t ncclCommInitAll(ncclComm_t *out, int n, const int *device)
{
    if (n < 1)
        return ncclInvalidArgument;
    for (int i = 0; i < n; i++) {
        if (device[i] < 0 || device[i] >= emulated_devices())
            return ncclInvalidArgument;
        for (int k = 0; k < i; k++) {
            if (device[i] == device[k])
                return ncclInvalidUsage;
        }
    }
    if (no_memory())
        return ncclUnhandledCudaError;
    auto all = std::make_shared<clique>(clique{n, 0, false});
    for (int i = 0; i < n; i++) {
        out[i] = new ncclComm{all, i, device[i]};
        emulated_object_made(out[i], COMMUNICATOR);
    }
    return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    emulated_object_gone(comm, COMMUNICATOR, "ncclCommDestroy");
    if (comm->all->waiting && !comm->all->aborted)
        emulated_fail("ncclCommDestroy: a collective of rank %d has not run", comm->rank);
    delete comm;
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    emulated_object_gone(comm, COMMUNICATOR, "ncclCommAbort");
    comm->all->aborted = true;
    delete comm;
    return ncclSuccess;
}

ncclResult_t ncclGroupStart(void)
{
    depth++;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void)
{
    if (depth == 0)
        return ncclInvalidUsage;
    if (--depth)
        return ncclSuccess;
    if (no_memory()) {
        calls.clear();
        return ncclUnhandledCudaError;
    }
    while (!calls.empty())
        start(take_matching());
    return ncclSuccess;
}

ncclResult_t ncclAllGather(const void *send, void *receive, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream)
{
    static const char call[] = "ncclAllGather";
    emulated_need_object(comm, COMMUNICATOR, call);
    if (depth == 0)
        emulated_fail("%s: outside of a group one thread would wait for its own other ranks", call);
    if (type != ncclFloat32)
        emulated_fail("%s: type %d, which is not emulated", call, (int)type);
    if (count == 0)
        emulated_fail("%s: nothing to gather", call);
    calls.push_back(part{comm, (const char *)send, (char *)receive, count * sizeof(float), stream});
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    switch (result) {
    case ncclSuccess: return "no error";
    case ncclUnhandledCudaError: return "unhandled cuda error";
    case ncclSystemError: return "unhandled system error";
    case ncclInternalError: return "internal error";
    case ncclInvalidArgument: return "invalid argument";
    case ncclInvalidUsage: return "invalid usage";
    }
    return "unknown result code";
}

#define FUNCTION(name)                                                                                       \
    {                                                                                                        \
#name, (void *)name                                                                                  \
    }
static const struct emulated_function functions[] = {
    FUNCTION(ncclCommInitAll),    FUNCTION(ncclCommDestroy), FUNCTION(ncclCommAbort),
    FUNCTION(ncclGroupStart),     FUNCTION(ncclGroupEnd),    FUNCTION(ncclAllGather),
    FUNCTION(ncclGetErrorString), {nullptr, nullptr},
};
const struct emulated_library emulated_nccl = {"libnccl.so.2", functions};
