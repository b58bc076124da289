/* The parts of one message; for message_read.c. */
#ifndef VARGPT_SERVER_MESSAGE_PARTS_H
#define VARGPT_SERVER_MESSAGE_PARTS_H

#include "server/message_read.h"

struct message_reader {
    struct message_list *list;
    const char *role;
    const char *prefix; /* "messages[3]." */
    struct prompt_part *part;
    size_t n_parts, capacity;
};

/* text lies in the request's JSON. */
void message_add_text(struct message_reader *, const char *text, size_t length);
/* Decodes a picture and adds it: to look at, or, in an assistant message, as one that was drawn. name: for
 * errors. */
void message_add_picture(struct message_reader *, const char *url, size_t length, const char *name);

/* content as an array of parts. */
void message_read_parts(struct message_reader *, json_t *parts);
/* An assistant's message as this server writes it: content (a string, or NULL) and, in f, perhaps `images`
 * and `content_parts`; or pictures as markdown in the string. */
void message_read_reply(struct message_reader *, const struct params *f, json_t *content);

#endif
