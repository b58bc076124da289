#include "cli/conversation.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

void said_release(struct said *m)
{
    for (size_t i = 0; i < m->n_parts; i++) {
        free(m->part[i].text);
        picture_release(&m->part[i].picture);
        free(m->part[i].codes);
    }
    free(m->part);
    *m = (struct said){.role = m->role};
}

void conversation_cut(struct conversation *c, size_t count)
{
    while (c->count > count)
        said_release(&c->message[--c->count]);
}

void conversation_release(struct conversation *c)
{
    conversation_cut(c, 0);
    free(c->message);
    *c = (struct conversation){0};
}

struct said *conversation_turn(struct conversation *c, const char *role)
{
    if (c->count && strcmp(c->message[c->count - 1].role, role) == 0)
        return &c->message[c->count - 1];
    c->message = xrealloc(c->message, (c->count + 1) * sizeof *c->message);
    c->message[c->count] = (struct said){.role = role};
    return &c->message[c->count++];
}

static struct said_part *add_part(struct said *m, enum prompt_part_kind kind)
{
    m->part = xrealloc(m->part, (m->n_parts + 1) * sizeof *m->part);
    m->part[m->n_parts] = (struct said_part){.kind = kind};
    return &m->part[m->n_parts++];
}

void said_add_text(struct said *m, const char *text, size_t length)
{
    struct said_part *part = add_part(m, PROMPT_TEXT);
    part->text = xstrndup(text, length);
    part->length = length;
}

void said_add_seen(struct said *m, struct picture *picture)
{
    add_part(m, PROMPT_SEEN)->picture = *picture;
    *picture = (struct picture){0};
}

void said_add_drawn(struct said *m, struct picture *picture, int32_t **codes, size_t n_codes)
{
    struct said_part *part = add_part(m, PROMPT_DRAWN);
    part->picture = *picture;
    part->codes = *codes;
    part->n_codes = n_codes;
    *picture = (struct picture){0};
    *codes = NULL;
}

static struct prompt_part *list_parts(const struct said *m)
{
    struct prompt_part *part = xcalloc(m->n_parts, sizeof *part);
    for (size_t i = 0; i < m->n_parts; i++) {
        const struct said_part *p = &m->part[i];
        part[i] = (struct prompt_part){
            .kind = p->kind,
            .text = p->text,
            .length = p->length,
            .picture = p->kind == PROMPT_TEXT ? NULL : &p->picture,
            .codes = p->codes,
            .n_codes = p->n_codes,
        };
    }
    return part;
}

enum status conversation_build(const struct conversation *c, const struct engine *engine,
                               struct request *request, struct error *err)
{
    struct prompt_message *message = xcalloc(c->count, sizeof *message);
    struct prompt_part **part = xcalloc(c->count, sizeof *part);
    for (size_t i = 0; i < c->count; i++) {
        part[i] = list_parts(&c->message[i]);
        message[i] = (struct prompt_message){c->message[i].role, part[i], c->message[i].n_parts};
    }
    enum status status = prompt_build(engine, message, c->count, true, request, err);
    for (size_t i = 0; i < c->count; i++)
        free(part[i]);
    free(part);
    free(message);
    return status;
}
