/* What the emulator's own files share. */
#ifndef VARGPT_CUDA_EMULATOR_INTERNAL_H
#define VARGPT_CUDA_EMULATOR_INTERNAL_H

#include "cuda/emulator/emulate.h"
#include "cuda/emulator/emulator.h"

#include <map>
#include <mutex>
#include <stddef.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, bytes)   ((void)(memory), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#endif

/* "emulated device: MESSAGE" with the running kernel's name, and the end of the program: whatever comes here
 * is a bug of ours that a card would answer with silence or nonsense. */
[[noreturn]] void emulated_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* runtime.cpp: see emulator_run_dry. */
bool emulated_dry();

/* Over memory and streams; whoever calls what follows has it. */
extern std::recursive_mutex emulated_lock;

/* Remembers an error for cudaGetLastError, and gives it. */
cudaError_t emulated_answer(cudaError_t);

/* How much of each stream's work, by the stream's number, has happened before something. */
typedef std::vector<unsigned long> emulated_clock;

/* Work that touched a piece of memory. */
struct toucher {
    unsigned long at; /* its own count in its stream's clock */
    const char *name;
};

enum { HOST = -1 }; /* among devices: pinned memory */

/* A piece of memory, and who touched it: the last that wrote, and of each stream the last that read since. */
struct region {
    char *base; /* what was taken from the system */
    size_t bytes, mapped;
    int device;
    std::map<int, struct toucher> writer, readers; /* by stream; writer: at most one */
};

enum { EMULATED_GUARD = 256, EMULATED_PAGE = 4096 };
extern std::map<char *, region> emulated_regions; /* by first byte */
void emulated_fill(char *memory, size_t bytes);   /* as uninitialised memory: NaNs */
/* Guards behind the end of memory, EMULATED_GUARD bytes that are there. */
void emulated_guard_behind(char *memory, size_t bytes);
/* Ends the program where a region's guards were written over. */
void emulated_check_region(char *memory, const struct region &);

/* parts.cpp: false when a test wants this piece of memory not to be had (memory_fail_after). */
bool emulated_may_take();
/* A block goes that may have been cut: it is one region again. The end of the program when parts of it are
 * still taken. */
void emulated_uncut(char *block);

/* runtime.cpp: the region that holds [memory, memory + bytes), or NULL when none does; ends the program when
 * only a part of it lies in one. */
struct region *emulated_find_region(const void *memory, size_t bytes);
/* Whether nobody but kernels and copies may touch device memory: emulator_guard_memory. */
bool emulated_guarded();
/* Ends the program where something was written behind a region. */
void emulated_check_guards();

/* streams.cpp: runs what a stream, or all of them, have to do; the host's clock has it then. */
void emulated_wait(cudaStream_t);
void emulated_run_all();
/* Runs what all streams have to do; nobody has waited for it, so that it orders nothing. */
void emulated_run_unordered();
/* Ends the program while this thread captures a stream: what may not be done then. */
void emulated_not_in_capture(const char *what);

/* watch.cpp: runs a stream's work. In guarded memory it notes which regions that touches, and ends the
 * program when another stream's work touched one of them, one of both wrote, and nothing orders them. */
void watch_run(emulated_work *, int stream, int device, const emulated_clock &);
/* The work that runs may touch this device's guarded memory from now on, and no other's. Returns the one
 * before, which is the stream's at first. */
int watch_let_in(int device);
/* The work that runs is about to touch this memory (NULL: none of ours), which the host may touch too. */
void watch_note(const void *memory, size_t bytes, bool writes);

/* shared.cpp: the arrays of the running block. */
void shared_begin_block();
void shared_end_block(); /* checks the guards */
void shared_release();

/* runtime.cpp: ends the program unless these bytes lie in the device's memory (the current one's), aligned
 * so. */
void emulated_need_memory_of(int device, const char *call, const char *what, const void *memory, size_t bytes,
                             size_t alignment);
void emulated_need_memory(const char *call, const char *what, const void *memory, size_t bytes,
                          size_t alignment);

/* streams.cpp: for what several devices do together. Enqueues work where streams meet: whatever is before any
 * of it is before what follows all of it. */
struct emulated_meeting_place {
    cudaStream_t stream;
    emulated_work *work;
};
void emulated_enqueue_meeting(const std::vector<emulated_meeting_place> &);
/* Makes a stream's work run until some of it sets *reached; the end of the program when there is none that
 * does. */
void emulated_run_until(cudaStream_t, const bool *reached);
int emulated_device_of(cudaStream_t); /* ends the program when it is no stream */
/* runtime.cpp */
void emulated_copy_between(int to_device, void *to, int from_device, const void *from, size_t bytes);
int emulated_devices();
int emulated_current_device();

/* loader.cpp: objects that a library handed out. Asked for one that is not alive, or of another kind, they
 * end the program. */
void emulated_object_made(const void *object, const char *kind);
void emulated_object_gone(const void *object, const char *kind, const char *call);
void emulated_need_object(const void *object, const char *kind, const char *call);

/* Libraries that have stand-ins; a list of functions ends with one that has no name. */
struct emulated_function {
    const char *name;
    void *address;
};
struct emulated_library {
    const char *file;
    const struct emulated_function *function;
};
extern const struct emulated_library emulated_cublas_lt, emulated_cudnn, emulated_nccl;
/* Counts a product or convolution; emulator_library_calls(). */
void emulated_count_library_call();

enum { MOST_THREADS = 1024, MOST_SHARED = 48 << 10 };

#endif
