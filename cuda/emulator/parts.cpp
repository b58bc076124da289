/* Blocks of device memory that their owner cuts into parts. A part is a region like any other; a block that
 * is cut is none until it goes.
 *
 * A part that is given back may still be in use by work under way, and on a card nothing waits for that. So
 * who touched it is remembered by place, and counts as having touched the next part there. */
#include "cuda/emulator/internal.h"

extern "C" {
#include "base/memory.h"
}

#include <stdlib.h>
#include <sys/mman.h>

/* Where a part was, and who touched it. */
struct trace {
    size_t bytes;
    std::map<int, struct toucher> writer, readers;
};

struct block {
    char *memory;
    struct region whole;
    size_t used;                           /* bytes from the front that parts have ever reached */
    std::map<char *, struct trace> traces; /* of parts given back, not overlapping */
};

static std::map<char *, block> blocks; /* by first byte */

bool emulated_may_take()
{
    void *probe = try_malloc(1, 1);
    free(probe);
    return probe;
}

static struct block *block_of(const char *memory)
{
    auto after = blocks.upper_bound((char *)memory);
    if (after == blocks.begin() || memory >= (--after)->first + after->second.whole.bytes)
        return nullptr;
    return &after->second;
}

void emulator_cut(void *memory)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    auto found = emulated_regions.find((char *)memory);
    if (found == emulated_regions.end() || found->second.device == HOST)
        emulated_fail("%p, which is to be cut, is not the beginning of device memory", memory);
    blocks[found->first] = {found->first, found->second, 0, {}};
    emulated_regions.erase(found);
}

void emulated_uncut(char *memory)
{
    auto found = blocks.find(memory);
    if (found == blocks.end())
        return;
    struct block &b = found->second;
    auto part = emulated_regions.lower_bound(memory);
    if (part != emulated_regions.end() && part->first < memory + b.whole.bytes)
        emulated_fail("memory is freed of which a part is still taken, %zu bytes", part->second.bytes);
    ASAN_UNPOISON_MEMORY_REGION(memory, b.used);
    emulated_regions[memory] = b.whole;
    blocks.erase(found);
}

static size_t round_up(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

static bool by_pages()
{
    return emulated_guarded() || emulated_dry();
}

size_t emulator_part_bytes(size_t bytes)
{
    return by_pages() ? round_up(bytes, EMULATED_PAGE) + EMULATED_PAGE
                      : round_up(bytes + EMULATED_GUARD, EMULATED_GUARD);
}

/* ---- who touched a place before ---- */

static void add_touchers(std::map<int, struct toucher> &to, const std::map<int, struct toucher> &from)
{
    for (const auto &entry : from) {
        struct toucher &mine = to[entry.first];
        if (!mine.name || mine.at < entry.second.at)
            mine = entry.second;
    }
}

/* Cuts [begin, end) out of the traces, into r. */
static void inherit(struct block &b, char *begin, char *end, struct region *r)
{
    auto it = b.traces.lower_bound(begin);
    if (it != b.traces.begin() && std::prev(it)->first + std::prev(it)->second.bytes > begin)
        --it;
    while (it != b.traces.end() && it->first < end) {
        char *at = it->first, *until = at + it->second.bytes;
        struct trace old = it->second;
        it = b.traces.erase(it);
        add_touchers(r->writer, old.writer);
        add_touchers(r->readers, old.readers);
        if (at < begin)
            b.traces[at] = {(size_t)(begin - at), old.writer, old.readers};
        if (until > end)
            b.traces[end] = {(size_t)(until - end), old.writer, old.readers};
    }
}

/* ---- taking and giving back ---- */

static void open_part(char *part, size_t bytes, struct region *r)
{
    if (by_pages()) {
        r->mapped = round_up(bytes, EMULATED_PAGE);
        if (emulated_dry())
            return;
        mprotect(part, r->mapped, PROT_READ | PROT_WRITE);
        emulated_fill(part, r->mapped);
        mprotect(part, r->mapped, PROT_NONE);
        return;
    }
    ASAN_UNPOISON_MEMORY_REGION(part, bytes + EMULATED_GUARD);
    emulated_fill(part, bytes);
    emulated_guard_behind(part, bytes);
}

bool emulator_part_taken(void *memory, size_t bytes)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    char *part = (char *)memory;
    struct block *b = block_of(part);
    size_t whole = emulator_part_bytes(bytes);
    emulated_not_in_capture("memory taken");
    if (!b || part + whole > b->memory + b->whole.bytes)
        emulated_fail("%zu bytes at %p are no part of memory that is cut", bytes, memory);
    auto next = emulated_regions.lower_bound(part);
    if ((next != emulated_regions.end() && next->first < part + whole) ||
        (next != emulated_regions.begin() && std::prev(next)->first + std::prev(next)->second.bytes > part))
        emulated_fail("%zu bytes at %p overlap another part", bytes, memory);
    if (!emulated_may_take())
        return false;
    struct region r = {part, bytes, 0, b->whole.device, {}, {}};
    size_t end = (size_t)(part - b->memory) + whole;
    b->used = end > b->used ? end : b->used;
    inherit(*b, part, part + whole, &r);
    open_part(part, bytes, &r);
    emulated_regions[part] = r;
    return true;
}

void emulator_part_given_back(void *memory)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    emulated_not_in_capture("memory freed");
    emulated_run_unordered();
    auto found = emulated_regions.find((char *)memory);
    struct block *b = found == emulated_regions.end() ? nullptr : block_of((char *)memory);
    if (!b)
        emulated_fail("gives back %p, which is not the beginning of a part", memory);
    struct region r = found->second;
    emulated_check_region((char *)memory, r);
    emulated_regions.erase(found);
    if (!r.writer.empty() || !r.readers.empty())
        b->traces[(char *)memory] = {emulator_part_bytes(r.bytes), r.writer, r.readers};
    if (!r.mapped)
        ASAN_POISON_MEMORY_REGION((char *)memory, r.bytes);
}
