/* Who touches which memory, and in which order.
 *
 * Guarded memory is closed to everybody. While a piece of work runs, its first access to a region faults, and
 * is let in for reading; writing then faults once more. So what is noted is what was touched, whatever the
 * arguments were, by kernels, copies and the stand-ins of libraries alike. When the work has ended its
 * regions are closed again.
 *
 * Each piece of work carries a clock: of each stream, how much of it has happened before. Work that touched a
 * region earlier did so in order if the clock has it; otherwise a card may run the two at once. */
#include "cuda/emulator/internal.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

enum access { NOT, READING, WRITING };

struct visit {
    struct region *region;
    char *memory;
    enum access access;
};

/* What runs on this thread; work NULL: nothing that is watched. */
struct watched {
    emulated_work *work;
    int stream, device;
    const emulated_clock *clock;
    std::vector<struct visit> visits;
};
static thread_local struct watched now;
static struct sigaction before; /* what hears of faults otherwise */

/* ---- order ---- */

static void check_order(const struct region *r, const std::map<int, struct toucher> &earlier, const char *did,
                        const char *does)
{
    for (const auto &entry : earlier) {
        int stream = entry.first;
        bool known = (size_t)stream < now.clock->size() && (*now.clock)[(size_t)stream] >= entry.second.at;
        if (!known)
            emulated_fail(
                "%s on stream %d %s %zu bytes of %s memory that %s on stream %d %s, and no event or wait "
                "orders the two",
                now.work->name(), now.stream, does, r->bytes, r->device == HOST ? "pinned" : "device",
                entry.second.name, stream, did);
    }
}

static void note(struct region *r, bool writes)
{
    struct toucher me = {(*now.clock)[(size_t)now.stream], now.work->name()};
    check_order(r, r->writer, "wrote", writes ? "writes" : "reads");
    if (!writes) {
        r->readers[now.stream] = me;
        return;
    }
    check_order(r, r->readers, "read", "writes");
    r->readers.clear();
    r->writer = {{now.stream, me}};
}

void watch_note(const void *memory, size_t bytes, bool writes)
{
    struct region *r = now.work && memory && bytes ? emulated_find_region(memory, bytes) : nullptr;
    if (r && !r->mapped)
        note(r, writes);
}

/* ---- accesses ---- */

static struct visit *find_visit(const char *address)
{
    for (struct visit &v : now.visits) {
        if (address >= v.memory && address < v.memory + v.region->mapped)
            return &v;
    }
    struct region *r = emulated_find_region(address, 1);
    if (!r || !r->mapped)
        return nullptr;
    now.visits.push_back({r, r->base, NOT});
    return &now.visits.back();
}

static void fault(int, siginfo_t *info, void *)
{
    struct visit *v = now.work ? find_visit((const char *)info->si_addr) : nullptr;
    if (!v || v->access == WRITING) { /* not ours: it will fault again */
        sigaction(SIGSEGV, &before, nullptr);
        return;
    }
    if (v->region->device != now.device)
        emulated_fail("%s on device %d touches memory of device %d", now.work->name(), now.device,
                      v->region->device);
    v->access = v->access == NOT ? READING : WRITING;
    mprotect(v->memory, v->region->mapped, v->access == READING ? PROT_READ : PROT_READ | PROT_WRITE);
}

static void catch_faults()
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, &before);
}

/* Closes what the running work has touched; it may touch it again. */
static void leave()
{
    for (const struct visit &v : now.visits) {
        mprotect(v.memory, v.region->mapped, PROT_NONE);
        note(v.region, v.access == WRITING);
    }
    now.visits.clear();
}

int watch_let_in(int device)
{
    int one_before = now.device;
    now.device = device;
    return one_before;
}

void watch_run(emulated_work *work, int stream, int device, const emulated_clock &clock)
{
    if (!emulated_guarded() || emulated_dry()) {
        work->run();
        return;
    }
    struct watched outer = {
        now.work, now.stream, now.device, now.clock, {}}; /* work that makes another stream run */
    if (outer.work)
        leave();
    else
        catch_faults();
    now = {work, stream, device, &clock, {}};
    work->run();
    leave();
    now = outer;
    if (!outer.work)
        sigaction(SIGSEGV, &before, nullptr);
}
