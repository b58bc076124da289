/* A conversation as it is kept between turns: what was said, shown and drawn. Owns its texts and pictures. */
#ifndef VARGPT_CLI_CONVERSATION_H
#define VARGPT_CLI_CONVERSATION_H

#include "engine/prompt.h"

struct said_part {
    enum prompt_part_kind kind;
    char *text;
    size_t length;
    struct picture picture;
    int32_t *codes; /* [n_codes] of a drawn picture */
    size_t n_codes;
};

struct said {
    const char *role; /* a literal */
    struct said_part *part;
    size_t n_parts;
};

struct conversation {
    struct said *message;
    size_t count;
};

void conversation_release(struct conversation *); /* leaves an empty one */

/* The last message, if it is of that role, or a new one. Valid until the next call. */
struct said *conversation_turn(struct conversation *, const char *role);
/* Drops the messages from number `count` on. */
void conversation_cut(struct conversation *, size_t count);

void said_release(struct said *); /* leaves one without parts */
void said_add_text(struct said *, const char *text, size_t length);
/* Take the picture and the codes. */
void said_add_seen(struct said *, struct picture *);
void said_add_drawn(struct said *, struct picture *, int32_t **codes, size_t n_codes);

/* The prompt for the next reply, into request (which has none). */
enum status conversation_build(const struct conversation *, const struct engine *, struct request *,
                               struct error *);

#endif
