/* Text on its way through normalizer and splitter. Where it matters, each byte carries a mark that says where
 * it came from: whether a person typed it, and whether it stood at the very beginning. */
#ifndef VARGPT_ENGINE_TEXT_MARKED_TEXT_H
#define VARGPT_ENGINE_TEXT_MARKED_TEXT_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    MARK_PLAIN = 1,  /* came, at least in part, from message content: no added token may touch it */
    MARK_ORIGIN = 2, /* its original begins at byte 0 of the whole text */
};

/* A view. */
struct span {
    const char *text; /* valid UTF-8 */
    const char *mark; /* [length], or NULL where no text is marked */
    size_t length;
};

static inline struct span span_part(struct span s, size_t begin, size_t end)
{
    return (struct span){s.text + begin, s.mark ? s.mark + begin : NULL, end - begin};
}

/* A text being written. Failure of either buffer is for the caller to notice (marked_text_failed). */
struct marked_text {
    struct buffer text, mark; /* as long as each other when marked */
    bool marked;
};

void marked_text_init(struct marked_text *, bool marked);
void marked_text_clear(struct marked_text *);
void marked_text_release(struct marked_text *);
bool marked_text_failed(const struct marked_text *);

void marked_text_add(struct marked_text *, struct span);
void marked_text_put(struct marked_text *, const char *text, size_t length,
                     int mark); /* the same mark for all bytes */

struct span marked_text_span(const struct marked_text *); /* until the next change */

/* The mark of what replaces a span: plain when any byte was; at the beginning when the last byte was. */
int span_mark(struct span);

#endif
