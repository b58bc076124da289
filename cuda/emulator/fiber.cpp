#include "cuda/emulator/fiber.h"

#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#else
static void __sanitizer_start_switch_fiber(void **, const void *, size_t)
{
}
static void __sanitizer_finish_switch_fiber(void *, const void **, size_t *)
{
}
#endif

#if defined(__x86_64__)

/* Saves what a called function must keep, changes stacks, and returns into the other's last call of this. */
extern "C" void emulated_change_stacks(void **save, void *load);
__asm__(".text\n"
        ".globl emulated_change_stacks\n"
        ".hidden emulated_change_stacks\n"
        ".type emulated_change_stacks, @function\n"
        "emulated_change_stacks:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size emulated_change_stacks, . - emulated_change_stacks\n");

void fiber_prepare(struct fiber *f, char *stack, size_t size, void (*entry)())
{
    void **top = (void **)(((uintptr_t)stack + size) & ~(uintptr_t)15);
    top[-1] = nullptr; /* where entry() would return to */
    top[-2] = (void *)entry;
    for (int i = 3; i <= 8; i++)
        top[-i] = nullptr; /* the six registers */
    f->stack = stack;
    f->size = size;
    f->sp = &top[-8];
}

static void change(struct fiber *from, struct fiber *to)
{
    emulated_change_stacks(&from->sp, to->sp);
}

#else

void fiber_prepare(struct fiber *f, char *stack, size_t size, void (*entry)())
{
    f->stack = stack;
    f->size = size;
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = stack;
    f->context.uc_stack.ss_size = size;
    f->context.uc_link = nullptr;
    makecontext(&f->context, entry, 0);
}

static void change(struct fiber *from, struct fiber *to)
{
    swapcontext(&from->context, &to->context);
}

#endif

/* The thread's own stack, as AddressSanitizer tells it to whom it leaves it for. */
static thread_local const void *own_stack;
static thread_local size_t own_size;

void fiber_switch(struct fiber *from, struct fiber *to, bool ends)
{
    __sanitizer_start_switch_fiber(ends ? nullptr : &from->fake, to->stack ? to->stack : own_stack,
                                   to->stack ? to->size : own_size);
    change(from, to);
    __sanitizer_finish_switch_fiber(from->fake, nullptr, nullptr);
}

void fiber_entered(struct fiber *from)
{
    const void *stack = nullptr;
    size_t size = 0;
    __sanitizer_finish_switch_fiber(nullptr, &stack, &size);
    if (!from->stack) {
        own_stack = stack;
        own_size = size;
    }
}
