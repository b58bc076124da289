#include "server/picture_store.h"

#include "base/clock.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Oldest first. */
struct kept {
    struct kept *next;
    int64_t until_ns;
    char name[PICTURE_NAME_BYTES];
    const char *type;
    size_t length;
    char bytes[];
};

struct picture_store {
    pthread_mutex_t lock; /* guards the list and its sums */
    struct kept *first, **last;
    int count;
    size_t bytes;
    int max_count;
    size_t max_bytes;
    int64_t keep_ns;
};

struct picture_store *picture_store_open(int count, size_t bytes, int seconds)
{
    struct picture_store *s = xcalloc(1, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->last = &s->first;
    s->max_count = count;
    s->max_bytes = bytes;
    s->keep_ns = (int64_t)seconds * 1000000000;
    return s;
}

static void drop_oldest(struct picture_store *s)
{
    struct kept *k = s->first;
    s->first = k->next;
    if (!s->first)
        s->last = &s->first;
    s->count--;
    s->bytes -= k->length;
    free(k);
}

void picture_store_close(struct picture_store *s)
{
    if (!s)
        return;
    while (s->first)
        drop_oldest(s);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Every picture is kept equally long, so the expired ones come first. */
static void drop_expired(struct picture_store *s)
{
    int64_t now = clock_ns();
    while (s->first && s->first->until_ns <= now)
        drop_oldest(s);
}

static bool make_name(char name[PICTURE_NAME_BYTES])
{
    unsigned char random[PICTURE_NAME_DIGITS / 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(name + 2 * i, 3, "%02x", random[i]);
    return true;
}

static void add(struct picture_store *s, struct kept *k)
{
    pthread_mutex_lock(&s->lock);
    drop_expired(s);
    while (s->first && (s->count >= s->max_count || s->bytes + k->length > s->max_bytes))
        drop_oldest(s);
    k->until_ns = clock_ns() + s->keep_ns;
    *s->last = k;
    s->last = &k->next;
    s->count++;
    s->bytes += k->length;
    pthread_mutex_unlock(&s->lock);
}

enum status picture_store_put(struct picture_store *s, const char *type, const void *bytes, size_t length,
                              char name[PICTURE_NAME_BYTES], struct error *err)
{
    if (s->max_count == 0 || length > s->max_bytes)
        return error_set(err, STATUS_BAD_REQUEST, "a picture of %zu bytes is more than may be kept here",
                         length);
    struct kept *k = try_malloc(1, sizeof *k + length);
    if (!k || !make_name(name)) {
        free(k);
        return error_set(err, STATUS_NO_MEMORY, "no memory to keep a picture");
    }
    *k = (struct kept){.type = type, .length = length};
    memcpy(k->name, name, PICTURE_NAME_BYTES);
    memcpy(k->bytes, bytes, length);
    add(s, k);
    return STATUS_OK;
}

int picture_store_get(struct picture_store *s, const char *name, size_t name_length, struct buffer *out,
                      const char **type)
{
    int seconds = 0;
    if (name_length != PICTURE_NAME_DIGITS)
        return 0;
    pthread_mutex_lock(&s->lock);
    drop_expired(s);
    for (struct kept *k = s->first; k; k = k->next) {
        if (memcmp(k->name, name, PICTURE_NAME_DIGITS) != 0)
            continue;
        buffer_append(out, k->bytes, k->length);
        *type = k->type;
        seconds = 1 + (int)((k->until_ns - clock_ns()) / 1000000000);
        break;
    }
    pthread_mutex_unlock(&s->lock);
    return seconds;
}
