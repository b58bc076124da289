/* A growable run of bytes that carries its own maximum: every buffer a peer feeds has a stated limit.
 * The first failure sticks: later appends do nothing, and buffer_failed() tells, so callers check once at the end. */
#ifndef VARGPT_BASE_BUFFER_H
#define VARGPT_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *data;      /* always NUL-terminated once anything was appended; NULL before */
    size_t length;   /* bytes in use, without the NUL */
    size_t capacity; /* bytes held */
    size_t maximum;  /* most bytes it may ever hold; appends beyond it fail */
    bool failed;     /* over maximum, or out of memory */
};

#define BUFFER_NO_LIMIT ((size_t)-1 / 4)

void buffer_init(struct buffer *, size_t maximum);
void buffer_release(struct buffer *); /* frees; the buffer may be initialised again */
void buffer_clear(struct buffer *);   /* length 0, memory and maximum kept, failure forgotten */

void buffer_append(struct buffer *, const void *bytes, size_t n);
void buffer_append_text(struct buffer *, const char *text);
void buffer_append_char(struct buffer *, char c);
void buffer_printf(struct buffer *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for n more bytes and returns where they go (then add to length yourself); NULL on failure. */
char *buffer_reserve(struct buffer *, size_t n);

/* Hands over the bytes (never NULL, NUL-terminated; caller frees) and empties the buffer. NULL if it has failed. */
char *buffer_take(struct buffer *, size_t *length);

static inline bool buffer_failed(const struct buffer *b)
{
    return b->failed;
}

#endif
