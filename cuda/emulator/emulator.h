/* The emulated device as tests see it: in which order it runs, and what it has run.
 *
 * The emulator executes the same .cu sources as a graphics card, on the processor: blocks one after the
 * other, the threads of a block as fibers that change places at barriers and warp exchanges alone. Whatever a
 * card would leave undefined and the emulator can see ends the program with a message: a barrier that some
 * threads do not reach, a lane that is missing from an exchange, a copy outside its memory, a launch that no
 * card would take. What a kernel computes must not depend on the order of its threads, so tests run it in
 * several and compare bytes. With VARGPT_EMULATOR_LOSE_AFTER=N in the environment the N-th wait for a stream
 * (or question that finds it done), and every one after it, finds that the card was lost.
 * VARGPT_EMULATED_DEVICES=N: there are N cards (0: none), each with its own memory;
 * VARGPT_EMULATED_OLD_DEVICE=K: card K is of an older kind. */
#ifndef VARGPT_CUDA_EMULATOR_EMULATOR_H
#define VARGPT_CUDA_EMULATOR_EMULATOR_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum emulator_order {
    EMULATOR_ASCENDING,
    EMULATOR_DESCENDING, /* threads and blocks */
    EMULATOR_SHUFFLED,   /* threads, in an order of each block's own */
};

/* For launches from now on. */
void emulator_set_order(enum emulator_order);

/* Device memory cannot be touched by the host from now on, except in copies: a dereferenced device pointer
 * faults. And what each kernel, copy and library call reads and writes is noted, by allocation: two streams
 * that touch the same one, at least one of them writing, with neither an event nor a wait between them, end
 * the program with the names of both. To be called before any device memory is taken; also set by the
 * environment's VARGPT_EMULATOR_GUARD=1. */
void emulator_guard_memory(void);

/* Everything is checked and counted and nothing done, with 80 GiB of memory that is not there: for what a
 * model that no processor could emulate would launch. Downloads give zeros. To be called first; also set by
 * the environment's VARGPT_EMULATOR_DRY=1. */
void emulator_run_dry(void);

/* For the owner of a block of device memory who cuts it into parts: each is checked from then on as memory is
 * that was taken alone, what lies between them is none, and the block goes (cudaFree) after its parts.
 * Giving a part back waits for nothing. Whoever gets that place next must come after all that used it, as on
 * a card; guarded memory sees it when he does not. */
void emulator_cut(void *block);
size_t emulator_part_bytes(size_t bytes);           /* what a part takes of its block, edges included */
bool emulator_part_taken(void *part, size_t bytes); /* false: memory_fail_after wants it so */
void emulator_part_given_back(void *part);

/* Device and pinned memory asked for so far (cudaMalloc, cudaHostAlloc). */
unsigned long emulator_allocations(void);

/* Kernels run so far. */
unsigned long emulator_launches(void);

/* What the host has started so far: kernels one by one, and graphs of them, each counted once. */
unsigned long emulator_submissions(void);

/* Products and convolutions given to the stand-ins of cuBLASLt and cuDNN so far. */
unsigned long emulator_library_calls(void);

#ifdef __cplusplus
}
#endif

#endif
