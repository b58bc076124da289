/* Stand-ins for CUDA's runtime calls: memory, copies, devices. Memory is known by address, so that every copy
 * can be checked. Streams are streams.cpp's. */
#include "cuda/emulator/internal.h"

extern "C" {
#include "base/memory.h"
}

#include <atomic>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { ALIGNMENT = 256, GUARD = EMULATED_GUARD, PAGE = EMULATED_PAGE };
static const size_t DEVICE_BYTES = (size_t)2 << 30, DRY_BYTES = (size_t)80 << 30;
/* So large a piece is to be cut into parts (parts.cpp), which are filled one by one: it comes straight from
 * the system, which has no memory for it before it is touched. */
static const size_t LARGE_BYTES = (size_t)64 << 20;

std::recursive_mutex emulated_lock;
std::map<char *, region> emulated_regions;
static std::map<int, size_t> device_used;
static std::atomic<unsigned long> allocations;
static bool guarded, asked_environment;
static thread_local cudaError_t last_error;
static thread_local int current_device;

cudaError_t emulated_answer(cudaError_t error)
{
    if (error != cudaSuccess)
        last_error = error;
    return error;
}

/* ---- guarded memory ---- */

void emulator_guard_memory(void)
{
    guarded = asked_environment = true;
}

bool emulated_guarded()
{
    if (!asked_environment) {
        const char *text = getenv("VARGPT_EMULATOR_GUARD");
        guarded = text && text[0] == '1';
        asked_environment = true;
    }
    return guarded;
}

static bool dry = false, asked_dry = false;

void emulator_run_dry(void)
{
    dry = asked_dry = true;
}

bool emulated_dry()
{
    if (!asked_dry) {
        const char *text = getenv("VARGPT_EMULATOR_DRY");
        dry = text && text[0] == '1';
        asked_dry = true;
    }
    return dry;
}

static size_t device_bytes()
{
    return emulated_dry() ? DRY_BYTES : DEVICE_BYTES;
}

/* ---- memory ---- */

static bool guard_whole(const char *memory)
{
    for (int i = 0; i < GUARD; i++) {
        if (memory[i] != (char)0xA5)
            return false;
    }
    return true;
}

/* Guards stand behind the memory; AddressSanitizer watches over them where it is, otherwise we look at them.
 */
#if defined(__SANITIZE_ADDRESS__)
static const bool own_guards = false;
#else
static const bool own_guards = true;
#endif

void emulated_guard_behind(char *memory, size_t bytes)
{
    memset(memory + bytes, 0xA5, GUARD);
    ASAN_POISON_MEMORY_REGION(memory + bytes, GUARD);
}

void emulated_check_region(char *memory, const struct region &r)
{
    if (own_guards && !r.mapped && !guard_whole(memory + r.bytes))
        emulated_fail("something was written behind %zu bytes of device memory", r.bytes);
}

void emulated_fill(char *memory, size_t bytes)
{
    const uint32_t word = 0x7fc5a5a5;
    for (size_t i = 0; i + sizeof word <= bytes; i += sizeof word)
        memcpy(memory + i, &word, sizeof word);
}

/* Whole pages, which nobody may touch: watch.cpp lets kernels in. */
static char *map_memory(struct region *r, size_t bytes)
{
    r->mapped = (bytes + PAGE - 1) / PAGE * PAGE;
    void *memory =
        mmap(nullptr, r->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return nullptr;
    if (!emulated_dry() && bytes < LARGE_BYTES)
        emulated_fill((char *)memory, r->mapped);
    mprotect(memory, r->mapped, PROT_NONE);
    return r->base = (char *)memory;
}

static size_t large_bytes(size_t bytes)
{
    return (bytes + GUARD + PAGE - 1) / PAGE * PAGE;
}

static char *take_large(struct region *r, size_t bytes)
{
    if (!emulated_may_take())
        return nullptr;
    void *memory = mmap(nullptr, large_bytes(bytes), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return nullptr;
    emulated_guard_behind((char *)memory, bytes);
    return r->base = (char *)memory;
}

static char *take_memory(struct region *r, size_t bytes)
{
    if (r->device != HOST && (emulated_guarded() || emulated_dry()))
        return map_memory(r, bytes);
    if (bytes >= LARGE_BYTES)
        return take_large(r, bytes);
    r->base = (char *)try_malloc(bytes + ALIGNMENT + GUARD, 1);
    if (!r->base)
        return nullptr;
    char *memory = (char *)(((uintptr_t)r->base + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1));
    emulated_fill(memory, bytes);
    emulated_guard_behind(memory, bytes);
    ASAN_POISON_MEMORY_REGION(r->base, (size_t)(memory - r->base));
    return memory;
}

static cudaError_t take(void **out, size_t bytes, int device)
{
    emulated_not_in_capture("memory taken");
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    struct region r = {nullptr, bytes, 0, device, {}, {}};
    *out = nullptr;
    allocations++;
    if (device != HOST && bytes > device_bytes() - device_used[device])
        return emulated_answer(cudaErrorMemoryAllocation);
    char *memory = take_memory(&r, bytes);
    if (!memory)
        return emulated_answer(cudaErrorMemoryAllocation);
    emulated_regions[memory] = r;
    device_used[device] += bytes;
    *out = memory;
    return cudaSuccess;
}

static cudaError_t give_back(void *memory, bool device)
{
    emulated_not_in_capture("memory freed");
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    if (!memory)
        return cudaSuccess;
    emulated_run_all(); /* as a device does, frees wait for what was started before */
    emulated_uncut((char *)memory);
    auto found = emulated_regions.find((char *)memory);
    if (found == emulated_regions.end() || (found->second.device != HOST) != device)
        emulated_fail("frees %p, which is not the beginning of %s memory", memory,
                      device ? "device" : "pinned");
    struct region r = found->second;
    emulated_check_region((char *)memory, r);
    emulated_regions.erase(found);
    device_used[r.device] -= r.bytes;
    if (r.mapped) {
        munmap(r.base, r.mapped);
    } else if (r.bytes >= LARGE_BYTES) {
        ASAN_UNPOISON_MEMORY_REGION(r.base + r.bytes, GUARD);
        munmap(r.base, large_bytes(r.bytes));
    } else {
        ASAN_UNPOISON_MEMORY_REGION(r.base, r.bytes + ALIGNMENT + GUARD);
        free(r.base);
    }
    return cudaSuccess;
}

struct region *emulated_find_region(const void *memory, size_t bytes)
{
    char *p = (char *)memory;
    auto after = emulated_regions.upper_bound(p);
    if (after != emulated_regions.end() && after->first < p + bytes)
        emulated_fail("a copy of %zu bytes at %p runs into memory that begins later", bytes, memory);
    if (after == emulated_regions.begin())
        return nullptr;
    --after;
    if (p >= after->first + after->second.bytes)
        return nullptr;
    if (p + bytes > after->first + after->second.bytes)
        emulated_fail("a copy of %zu bytes at %p runs over the end of its memory", bytes, memory);
    return &after->second;
}

void emulated_need_memory_of(int device, const char *call, const char *what, const void *memory, size_t bytes,
                             size_t alignment)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    char *p = (char *)memory;
    auto region = emulated_regions.upper_bound(p);
    if (region == emulated_regions.begin() || (--region)->second.device == HOST ||
        p + bytes > region->first + region->second.bytes)
        emulated_fail("%s: %s, %zu bytes at %p, is not device memory", call, what, bytes, memory);
    if (region->second.device != device)
        emulated_fail("%s: %s lies on device %d, not on %d", call, what, region->second.device, device);
    if ((uintptr_t)memory % alignment)
        emulated_fail("%s: %s at %p is not aligned to %zu bytes", call, what, memory, alignment);
}

void emulated_need_memory(const char *call, const char *what, const void *memory, size_t bytes,
                          size_t alignment)
{
    emulated_need_memory_of(current_device, call, what, memory, bytes, alignment);
}

int emulated_current_device()
{
    return current_device;
}

void emulated_check_stream(const char *kernel, cudaStream_t stream)
{
    int device = emulated_device_of(stream);
    if (device != current_device)
        emulated_fail("%s: its stream is device %d's, the current one is %d", kernel, device, current_device);
}

void emulated_check_argument(const char *kernel, cudaStream_t stream, const void *argument, size_t bytes)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    int device = emulated_device_of(stream);
    for (size_t at = 0; at + sizeof(char *) <= bytes; at += sizeof(char *)) {
        char *word;
        memcpy(&word, (const char *)argument + at, sizeof word);
        auto region = emulated_regions.upper_bound(word);
        if (region == emulated_regions.begin() || word >= (--region)->first + region->second.bytes)
            continue;
        if (region->second.device != HOST && region->second.device != device)
            emulated_fail("%s on device %d is given memory of device %d", kernel, device,
                          region->second.device);
    }
}

unsigned long emulator_allocations(void)
{
    return allocations;
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    return take(memory, bytes, current_device);
}

cudaError_t cudaFree(void *memory)
{
    return give_back(memory, true);
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned)
{
    return take(memory, bytes, HOST);
}

cudaError_t cudaFreeHost(void *memory)
{
    return give_back(memory, false);
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    *free_bytes = device_bytes() - device_used[current_device];
    *total_bytes = device_bytes();
    return cudaSuccess;
}

void emulated_check_guards()
{
    for (auto &entry : emulated_regions)
        emulated_check_region(entry.first, entry.second);
}

/* ---- copies ---- */

struct copy_work : emulated_work {
    char *to;
    const char *from;
    size_t to_pitch, from_pitch, width, height; /* rows of bytes */
    void *held;                                 /* pageable source: copied when the call was made */
    bool to_device;

    size_t span(size_t pitch) const
    {
        return height ? (height - 1) * pitch + width : 0;
    }
    void run() override
    {
        watch_note(held ? nullptr : from, span(from_pitch), false);
        watch_note(to, span(to_pitch), true);
        const char *source = held ? (const char *)held : from;
        for (size_t row = 0; row < height; row++) {
            if (!emulated_dry())
                memcpy(to + row * to_pitch, source + row * from_pitch, width);
            else if (!to_device)
                memset(to + row * to_pitch, 0, width);
        }
    }
    const char *name() const override
    {
        return to_device ? "a copy to the card" : "a copy from the card";
    }
    ~copy_work() override
    {
        free(held);
    }
};

struct set_work : emulated_work {
    void *memory;
    int value;
    size_t bytes;

    void run() override
    {
        if (!emulated_dry())
            memset(memory, value, bytes);
    }
    const char *name() const override
    {
        return "cudaMemsetAsync";
    }
};

/* Ends the program unless the memory is the stream's device's, or is no device's. */
static void check_side(enum cudaMemcpyKind kind, const void *memory, size_t bytes, bool on_device,
                       cudaStream_t stream)
{
    if (!bytes)
        return;
    const struct region *r = emulated_find_region(memory, bytes);
    int device = emulated_device_of(stream);
    if ((r && r->device != HOST) != on_device)
        emulated_fail("a copy of kind %d between memories that are not of that kind", (int)kind);
    if (on_device && r->device != device)
        emulated_fail("a copy of kind %d in device %d's stream takes memory of device %d", (int)kind, device,
                      r->device);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    check_side(kind, to, bytes, to_device, stream);
    check_side(kind, from, bytes, from_device, stream);
    copy_work *work = new copy_work;
    work->to = (char *)to;
    work->from = (const char *)from;
    work->to_pitch = work->from_pitch = work->width = bytes;
    work->height = 1;
    work->held = nullptr;
    work->to_device = to_device;
    bool pageable = bytes && !emulated_find_region(from_device ? to : from, bytes);
    if (pageable)
        emulated_not_in_capture("a copy of memory that is not pinned");
    if (pageable && !from_device && !emulated_dry()) {
        work->held = xmalloc(bytes);
        memcpy(work->held, from, bytes);
    }
    emulated_enqueue(stream, work);
    if (!to_device && pageable)
        emulated_wait(stream); /* into pageable memory: done when the call returns */
    return cudaSuccess;
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                              size_t height, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    if (kind != cudaMemcpyDeviceToDevice)
        emulated_fail("cudaMemcpy2DAsync: a copy of kind %d, which the emulator has not", (int)kind);
    if (width > to_pitch || width > from_pitch)
        return emulated_answer(cudaErrorInvalidValue);
    copy_work *work = new copy_work;
    work->to = (char *)to;
    work->from = (const char *)from;
    work->to_pitch = to_pitch;
    work->from_pitch = from_pitch;
    work->width = width;
    work->height = height;
    work->held = nullptr;
    work->to_device = true;
    check_side(kind, to, work->span(to_pitch), true, stream);
    check_side(kind, from, work->span(from_pitch), true, stream);
    emulated_enqueue(stream, work);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    check_side(cudaMemcpyHostToDevice, memory, bytes, true, stream);
    set_work *work = new set_work;
    work->memory = memory;
    work->value = value;
    work->bytes = bytes;
    emulated_enqueue(stream, work);
    return cudaSuccess;
}

void emulated_copy_between(int to_device, void *to, int from_device, const void *from, size_t bytes)
{
    std::lock_guard<std::recursive_mutex> hold(emulated_lock);
    if (emulated_dry())
        return;
    std::vector<char> half_way(bytes);
    int before = watch_let_in(from_device);
    memcpy(half_way.data(), from, bytes);
    watch_let_in(to_device);
    memcpy(to, half_way.data(), bytes);
    watch_let_in(before);
}

/* ---- devices ---- */

/* Fewer than none: not even a driver. */
int emulated_devices()
{
    const char *text = getenv("VARGPT_EMULATED_DEVICES");
    return text ? (int)strtol(text, nullptr, 10) : 1;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = emulated_devices() < 0 ? 0 : 13000;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = emulated_devices();
    if (*count > 0)
        return cudaSuccess;
    return emulated_answer(*count < 0 ? cudaErrorInsufficientDriver : cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= emulated_devices())
        return emulated_answer(cudaErrorInvalidDevice);
    current_device = device;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *out, int device)
{
    if (device < 0 || device >= emulated_devices())
        return emulated_answer(cudaErrorInvalidDevice);
    const char *old = getenv("VARGPT_EMULATED_OLD_DEVICE"); /* one of another kind */
    *out = cudaDeviceProp{"emulated", DEVICE_BYTES, old && device == strtol(old, nullptr, 10) ? 7 : 8, 0, 4};
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorNotReady: return "device not ready";
    case cudaErrorLaunchFailure: return "unspecified launch failure";
    }
    return "unknown error";
}
