/* Memory. Small sizes that we decide die on failure (x*); sizes that a client, a file or a device decides are tried
 * (try_*) and become STATUS_NO_MEMORY. Sizes are multiplied and added through the checked functions only. */
#ifndef VARGPT_BASE_MEMORY_H
#define VARGPT_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* *out = a * b (a + b); false, with *out untouched, when it does not fit in size_t. */
static inline bool size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool size_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* As malloc, calloc, realloc and strdup, but abort with a message instead of returning NULL. Free with free(). */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t length);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* count * size bytes, uninitialised (try_calloc: zeroed); NULL when it overflows or cannot be had. Free with free().
 * A size of 0 gives a pointer that may be freed. */
void *try_malloc(size_t count, size_t size);
void *try_calloc(size_t count, size_t size);
/* As realloc for count * size bytes; on NULL the old block is untouched. */
void *try_realloc(void *old, size_t count, size_t size);

/* Aligned for any vector kernel (64 bytes), in huge pages where it is large and the system has them; NULL when it cannot
 * be had. Free with free(). */
void *try_malloc_aligned(size_t count, size_t size);

/* For tests/fault: the n-th try_* call from now fails (1 = the next one), once; 0 turns it off. Not thread-safe. */
void memory_fail_after(long n);

#endif
