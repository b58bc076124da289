/* Stacks that a thread changes between. */
#ifndef VARGPT_CUDA_EMULATOR_FIBER_H
#define VARGPT_CUDA_EMULATOR_FIBER_H

#include <stddef.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

struct fiber {
    char *stack; /* NULL: the thread's own */
    size_t size;
#if defined(__x86_64__)
    void *sp;
#else
    ucontext_t context;
#endif
    void *fake; /* AddressSanitizer's */
};

/* `fiber` is to begin with entry() on its stack when it is next switched to; entry never returns. */
void fiber_prepare(struct fiber *, char *stack, size_t size, void (*entry)());
/* Goes on with `to`; returns when something switches back to `from`. `ends`: nothing will. */
void fiber_switch(struct fiber *from, struct fiber *to, bool ends);
/* The first thing entry() does, told where it comes from. */
void fiber_entered(struct fiber *from);

#endif
