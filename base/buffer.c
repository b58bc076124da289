#include "base/buffer.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_init(struct buffer *b, size_t maximum)
{
    *b = (struct buffer){.maximum = maximum};
}

void buffer_release(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){.maximum = b->maximum};
}

void buffer_clear(struct buffer *b)
{
    b->length = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = 0;
}

char *buffer_reserve(struct buffer *b, size_t n)
{
    if (b->failed || n > b->maximum || b->length > b->maximum - n) {
        b->failed = true;
        return NULL;
    }
    size_t need = b->length + n + 1;
    if (need > b->capacity) {
        size_t capacity = b->capacity * 2 > need ? b->capacity * 2 : need < 64 ? 64 : need;
        char *data = try_realloc(b->data, capacity, 1);
        if (!data) {
            b->failed = true;
            return NULL;
        }
        b->data = data;
        b->capacity = capacity;
    }
    return b->data + b->length;
}

void buffer_append(struct buffer *b, const void *bytes, size_t n)
{
    char *end = buffer_reserve(b, n);
    if (!end)
        return;
    if (n)
        memcpy(end, bytes, n);
    end[n] = 0;
    b->length += n;
}

void buffer_append_text(struct buffer *b, const char *text)
{
    buffer_append(b, text, strlen(text));
}

void buffer_append_char(struct buffer *b, char c)
{
    buffer_append(b, &c, 1);
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *end = n < 0 ? NULL : buffer_reserve(b, (size_t)n);
    if (end) {
        vsnprintf(end, (size_t)n + 1, format, again);
        b->length += (size_t)n;
    } else {
        b->failed = true;
    }
    va_end(again);
}

char *buffer_take(struct buffer *b, size_t *length)
{
    if (b->failed || !buffer_reserve(b, 0))
        return NULL;
    char *data = b->data;
    data[b->length] = 0;
    if (length)
        *length = b->length;
    *b = (struct buffer){.maximum = b->maximum};
    return data;
}
