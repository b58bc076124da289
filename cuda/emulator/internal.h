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

enum { MOST_THREADS = 1024, MOST_SHARED = 48 << 10 };

#endif
