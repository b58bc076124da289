#include "base/memory.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static atomic_long fail_after; /* 0: never */

static void *or_die(void *p, size_t size)
{
    if (!p) {
        fprintf(stderr, "vargpt: out of memory (%zu bytes)\n", size);
        abort();
    }
    return p;
}

void *xmalloc(size_t size)
{
    return or_die(malloc(size ? size : 1), size);
}

void *xcalloc(size_t count, size_t size)
{
    return or_die(calloc(count ? count : 1, size ? size : 1), size);
}

void *xrealloc(void *old, size_t size)
{
    return or_die(realloc(old, size ? size : 1), size);
}

char *xstrdup(const char *text)
{
    return xstrndup(text, strlen(text));
}

char *xstrndup(const char *text, size_t length)
{
    char *copy = xmalloc(length + 1);
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

char *xasprintf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    return or_die(n < 0 ? NULL : text, 0);
}

static bool should_fail(void)
{
    if (atomic_load_explicit(&fail_after, memory_order_relaxed) == 0)
        return false;
    return atomic_fetch_sub(&fail_after, 1) == 1;
}

void memory_fail_after(long n)
{
    atomic_store(&fail_after, n);
}

void *try_malloc(size_t count, size_t size)
{
    size_t bytes;
    if (!size_mul(count, size, &bytes) || should_fail())
        return NULL;
    return malloc(bytes ? bytes : 1);
}

void *try_calloc(size_t count, size_t size)
{
    if (should_fail())
        return NULL;
    return calloc(count ? count : 1, size ? size : 1);
}

void *try_realloc(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (!size_mul(count, size, &bytes) || should_fail())
        return NULL;
    return realloc(old, bytes ? bytes : 1);
}

void *try_malloc_aligned(size_t count, size_t size)
{
    enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };
    size_t bytes, padded;
    if (!size_mul(count, size, &bytes) || !size_add(bytes, HUGE_PAGE, &padded) || should_fail())
        return NULL;
    size_t alignment = bytes < 2 * HUGE_PAGE ? ALIGNMENT : HUGE_PAGE;
    padded = (bytes / alignment + 1) * alignment;
    void *p = aligned_alloc(alignment, padded);
#ifdef MADV_HUGEPAGE
    /* a wish, which may fail: rows far apart otherwise cost a walk through the page tables each */
    if (p && alignment == HUGE_PAGE)
        madvise(p, padded, MADV_HUGEPAGE);
#endif
    return p;
}
