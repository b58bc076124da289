/* What the emulator's own files share. */
#ifndef VARGPT_CUDA_EMULATOR_INTERNAL_H
#define VARGPT_CUDA_EMULATOR_INTERNAL_H

#include "cuda/emulator/emulate.h"
#include "cuda/emulator/emulator.h"

#include <stddef.h>

/* "emulated device: MESSAGE" with the running kernel's name, and the end of the program: whatever comes here
 * is a bug of ours that a card would answer with silence or nonsense. */
[[noreturn]] void emulated_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* runtime.cpp: see emulator_run_dry. */
bool emulated_dry();

/* shared.cpp: the arrays of the running block. */
void shared_begin_block();
void shared_end_block(); /* checks the guards */
void shared_release();

/* runtime.cpp: ends the program unless these bytes lie in the device's memory (the current one's), aligned so. */
void emulated_need_memory_of(int device, const char *call, const char *what, const void *memory, size_t bytes,
                             size_t alignment);
void emulated_need_memory(const char *call, const char *what, const void *memory, size_t bytes,
                          size_t alignment);

/* runtime.cpp: for what several devices do together. Makes a stream's work run until some of it sets *reached;
 * the end of the program when there is none that does. */
void emulated_run_until(cudaStream_t, const bool *reached);
void emulated_copy_between(int to_device, void *to, int from_device, const void *from, size_t bytes);
int emulated_device_of(cudaStream_t); /* ends the program when it is no stream */
int emulated_devices();

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
