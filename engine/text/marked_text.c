#include "engine/text/marked_text.h"

#include <string.h>

void marked_text_init(struct marked_text *m, bool marked)
{
    *m = (struct marked_text){.marked = marked};
    buffer_init(&m->text, BUFFER_NO_LIMIT);
    buffer_init(&m->mark, BUFFER_NO_LIMIT);
}

void marked_text_clear(struct marked_text *m)
{
    buffer_clear(&m->text);
    buffer_clear(&m->mark);
}

void marked_text_release(struct marked_text *m)
{
    buffer_release(&m->text);
    buffer_release(&m->mark);
}

bool marked_text_failed(const struct marked_text *m)
{
    return buffer_failed(&m->text) || buffer_failed(&m->mark);
}

void marked_text_add(struct marked_text *m, struct span span)
{
    buffer_append(&m->text, span.text, span.length);
    if (m->marked)
        buffer_append(&m->mark, span.mark, span.length);
}

void marked_text_put(struct marked_text *m, const char *text, size_t length, int mark)
{
    buffer_append(&m->text, text, length);
    char *to = m->marked ? buffer_reserve(&m->mark, length) : NULL;
    if (to) {
        memset(to, mark, length);
        m->mark.length += length;
    }
}

struct span marked_text_span(const struct marked_text *m)
{
    const char *text = m->text.data ? m->text.data : "";
    return (struct span){text, m->marked ? (m->mark.data ? m->mark.data : "") : NULL, m->text.length};
}

int span_mark(struct span span)
{
    if (!span.mark || span.length == 0)
        return 0;
    int mark = span.mark[span.length - 1] & MARK_ORIGIN;
    for (size_t i = 0; i < span.length; i++)
        mark |= span.mark[i] & MARK_PLAIN;
    return mark;
}
