/* Runs the blocks of a launch, one after the other, and the threads of a block as fibers. */
#include "cuda/emulator/fiber.h"
#include "cuda/emulator/internal.h"

#include <atomic>
#include <map>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <sys/mman.h>

thread_local struct emulated_place *emulated_here;

#if defined(__SANITIZE_ADDRESS__)
enum { STACK_BYTES = 256 << 10 };
#else
enum { STACK_BYTES = 64 << 10 };
#endif
enum { PAGE = 4096 };

struct lane_thread {
    struct fiber fiber;
    struct emulated_place place;
    int warp;
    bool done;
    const char *waits;       /* what for; NULL: for nothing */
    int line;                /* of its barrier */
    const unsigned *awaited; /* runnable once this has moved on from `seen` */
    unsigned seen;
};

struct warp {
    const char *what;
    int arrived;
    unsigned generation;
    alignas(16) char value[2][32 * EMULATED_SLOT]; /* by the generation's last bit */
};

/* With VARGPT_EMULATOR_COUNT=1: what was launched, told when the program ends. */
struct launch_count {
    unsigned long launches, blocks;
};
struct launch_counts {
    std::map<std::string, launch_count> of;

    ~launch_counts()
    {
        for (const auto &entry : of)
            fprintf(stderr, "%10lu launches %12lu blocks  %s\n", entry.second.launches, entry.second.blocks,
                    entry.first.c_str());
    }
};

static void count_launch(const char *name, unsigned long blocks)
{
    static struct launch_counts counts;
    static const char *const asked = getenv("VARGPT_EMULATOR_COUNT");
    if (!asked || asked[0] != '1')
        return;
    struct launch_count *c = &counts.of[name];
    c->launches++;
    c->blocks += blocks;
}

/* The launch and block that run on this thread. */
struct machine {
    const char *kernel;
    emulated_body *body;
    void *context;
    int n, running, done; /* threads of a block; index of the running one */
    int order[MOST_THREADS], rank[MOST_THREADS];
    int arrived, barrier_line;
    unsigned generation;
    const char *barrier_file;
    struct fiber own;
    struct fiber *previous; /* what was left last */
    struct lane_thread thread[MOST_THREADS];
    struct warp warp[MOST_THREADS / 32];
    char *stacks;

    ~machine()
    {
        shared_release();
        if (stacks)
            munmap(stacks, (size_t)MOST_THREADS * STACK_BYTES);
    }
};

static thread_local struct machine m;
static std::atomic<unsigned long> launches;
static std::atomic<int> order_asked;

void emulator_set_order(enum emulator_order order)
{
    order_asked = order;
}

unsigned long emulator_launches(void)
{
    return launches;
}

void emulated_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fprintf(stderr, "emulated device: ");
    if (m.kernel)
        fprintf(stderr, "%s: ", m.kernel);
    if (emulated_here) {
        const struct emulated_place *p = emulated_here;
        fprintf(stderr, "block (%u,%u,%u) thread (%u,%u,%u): ", p->block.x, p->block.y, p->block.z,
                p->thread.x, p->thread.y, p->thread.z);
    }
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    abort();
}

/* ---- who runs next ---- */

static bool runnable(const struct lane_thread *t)
{
    return !t->done && !(t->waits && *t->awaited == t->seen);
}

/* The next thread in order that can go on, or NULL. */
static struct lane_thread *find_next()
{
    int at = m.rank[m.running];
    for (int i = 1; i <= m.n; i++) {
        int place = at + i < m.n ? at + i : at + i - m.n;
        struct lane_thread *t = &m.thread[m.order[place]];
        if (runnable(t))
            return t;
    }
    return nullptr;
}

/* Nobody can go on: says who waits for whom. */
[[noreturn]] static void tell_stuck()
{
    const struct lane_thread *waiting = nullptr;
    for (int i = 0; i < m.n && !waiting; i++)
        waiting = m.thread[i].done ? nullptr : &m.thread[i];
    bool barrier = waiting->line > 0;
    int first = barrier ? 0 : waiting->warp * 32, n = barrier ? m.n : 32, here = 0, left = 0;
    char missing[200] = "";
    int length = 0;
    for (int i = first; i < first + n; i++) {
        const struct lane_thread *t = &m.thread[i];
        bool same = !t->done && t->waits == waiting->waits;
        here += same;
        left += t->done;
        if (!same && length < 150)
            length += snprintf(missing + length, sizeof missing - (size_t)length, " %d (%s)", i,
                               t->done ? "has left" : t->waits);
    }
    emulated_fail("%d of %d threads reached %s line %d and wait for ever; %d have left; missing:%s", here, n,
                  waiting->waits, waiting->line, left, missing);
}

static void resume(struct lane_thread *t, struct fiber *from, bool ends)
{
    m.running = (int)(t - m.thread);
    m.previous = from;
    emulated_here = &t->place;
    fiber_switch(from, &t->fiber, ends);
}

/* Gives way until *awaited moves on. */
static void wait_for(struct lane_thread *t, const char *what, int line, const unsigned *awaited)
{
    t->waits = what;
    t->line = line;
    t->awaited = awaited;
    t->seen = *awaited;
    struct lane_thread *next = find_next();
    if (!next)
        tell_stuck();
    resume(next, &t->fiber, false);
    t->waits = nullptr;
}

void emulated_syncthreads(const char *file, int line)
{
    struct lane_thread *t = &m.thread[m.running];
    if (m.arrived == 0) {
        m.barrier_file = file;
        m.barrier_line = line;
    } else if (m.barrier_file != file || m.barrier_line != line) {
        emulated_fail("is at the barrier of %s:%d while others wait at that of %s:%d", file, line,
                      m.barrier_file, m.barrier_line);
    }
    if (++m.arrived < m.n) {
        wait_for(t, "__syncthreads", line, &m.generation);
        return;
    }
    m.arrived = 0;
    m.generation++;
}

const char *emulated_exchange(const char *what, unsigned mask, const void *mine, size_t bytes)
{
    struct lane_thread *t = &m.thread[m.running];
    struct warp *w = &m.warp[t->warp];
    if (mask != 0xffffffffu)
        emulated_fail("%s with the mask %08x; whole warps only", what, mask);
    if (w->arrived > 0 && strcmp(w->what, what) != 0)
        emulated_fail("is at %s while lanes of its warp wait at %s", what, w->what);
    w->what = what;
    char *values = w->value[w->generation & 1];
    memcpy(values + t->place.lane * EMULATED_SLOT, mine, bytes);
    if (++w->arrived < 32) {
        wait_for(t, what, 0, &w->generation);
    } else {
        w->arrived = 0;
        w->generation++;
    }
    return values;
}

void emulated_check_lane(const char *what, unsigned mask, int lane)
{
    if (lane < 0 || lane > 31 || !(mask >> lane & 1))
        emulated_fail("%s from lane %d, which is not there", what, lane);
}

/* ---- blocks ---- */

static void thread_main()
{
    fiber_entered(m.previous);
    m.body(m.context);
    struct lane_thread *t = &m.thread[m.running];
    t->done = true;
    m.done++;
    struct lane_thread *next = m.done < m.n ? find_next() : nullptr;
    if (next) {
        resume(next, &t->fiber, true);
    } else if (m.done < m.n) {
        tell_stuck();
    } else {
        m.previous = &t->fiber;
        emulated_here = nullptr;
        fiber_switch(&t->fiber, &m.own, true);
    }
    abort();
}

static void take_stacks()
{
    if (m.stacks)
        return;
    void *memory = mmap(nullptr, (size_t)MOST_THREADS * STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        emulated_fail("no memory for stacks");
    m.stacks = (char *)memory;
    for (int i = 0; i < MOST_THREADS; i++) /* an overflow faults */
        mprotect(m.stacks + (size_t)i * STACK_BYTES, PAGE, PROT_NONE);
}

static void order_threads(unsigned block)
{
    int how = order_asked;
    uint32_t random = block * 2654435761u + 12345;
    for (int i = 0; i < m.n; i++)
        m.order[i] = how == EMULATOR_DESCENDING ? m.n - 1 - i : i;
    for (int i = m.n - 1; how == EMULATOR_SHUFFLED && i > 0; i--) {
        random = random * 1664525u + 1013904223u;
        int other = (int)((random >> 8) % (uint32_t)(i + 1)), t = m.order[i];
        m.order[i] = m.order[other];
        m.order[other] = t;
    }
    for (int i = 0; i < m.n; i++)
        m.rank[m.order[i]] = i;
}

static void run_block(dim3 blocks, dim3 threads, dim3 block)
{
    order_threads(block.x + block.y * 7919u + block.z * 104729u);
    shared_begin_block();
    m.done = m.arrived = 0;
    for (int w = 0; w < (m.n + 31) / 32; w++)
        m.warp[w].arrived = 0;
    for (int i = 0; i < m.n; i++) {
        struct lane_thread *t = &m.thread[i];
        unsigned x = (unsigned)i % threads.x, rest = (unsigned)i / threads.x;
        t->place = {dim3(x, rest % threads.y, rest / threads.y), block, threads, blocks, i % 32};
        t->warp = i / 32;
        t->done = false;
        t->waits = nullptr;
        fiber_prepare(&t->fiber, m.stacks + (size_t)i * STACK_BYTES + PAGE, STACK_BYTES - PAGE, thread_main);
    }
    resume(&m.thread[m.order[0]], &m.own, false);
    shared_end_block();
}

void emulated_grid(const char *name, dim3 blocks, dim3 threads, emulated_body *body, void *context)
{
    m.kernel = name;
    m.body = body;
    m.context = context;
    unsigned n = threads.x * threads.y * threads.z;
    if (n == 0 || n > MOST_THREADS || n % 32 || threads.x > 1024 || threads.y > 1024 || threads.z > 64)
        emulated_fail("blocks of %u x %u x %u threads", threads.x, threads.y, threads.z);
    if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0 || blocks.x > 0x7fffffffu || blocks.y > 65535 ||
        blocks.z > 65535)
        emulated_fail("a grid of %u x %u x %u blocks", blocks.x, blocks.y, blocks.z);
    m.n = (int)n;
    launches++;
    take_stacks();
    unsigned long all = (unsigned long)blocks.x * blocks.y * blocks.z;
    count_launch(name, all);
    if (emulated_dry()) {
        m.kernel = nullptr;
        return;
    }
    for (unsigned long i = 0; i < all; i++) {
        unsigned long at = order_asked == EMULATOR_DESCENDING ? all - 1 - i : i, rest = at / blocks.x;
        dim3 block((unsigned)(at % blocks.x), (unsigned)(rest % blocks.y), (unsigned)(rest / blocks.y));
        run_block(blocks, threads, block);
    }
    shared_release(); /* the next kernel's arrays may have the same lines */
    m.kernel = nullptr;
}
