/* One choice of a chat reply as it grows: its text, its pictures, and their order. Each event gives at most
 * one piece of text and one picture; a streaming reply sends them on, another keeps them here until the end.
 */
#ifndef VARGPT_SERVER_CHAT_CHOICE_H
#define VARGPT_SERVER_CHAT_CHOICE_H

#include "server/chat_request.h"
#include "server/reply.h"

struct chat_choice {
    const struct chat_request *request;
    struct choice_text text;
    size_t given; /* bytes of text handed out in pieces */
    struct reply_usage usage;
    int n_pictures;
    struct picture_frames frames; /* of the picture being drawn */
    bool begun, ended;            /* its first event has come; its last */
    enum finish_reason finish;
    /* kept for a reply in one piece */
    json_t *images;         /* entries of message.images */
    json_t *parts;          /* content_parts, or the content itself for MIXED_PARTS */
    struct buffer content;  /* for MIXED_MARKDOWN */
    size_t part_from;       /* where the text after the last picture begins, in bytes */
    int64_t part_character; /* the same in characters */
};

void chat_choice_init(struct chat_choice *, const struct chat_request *, const struct tokenizer *);
void chat_choice_release(struct chat_choice *);

/* Takes a TOKEN, PREVIEW, PICTURE or DONE event. *image: the picture's entry for `images` (caller:
 * json_decref), or NULL. */
enum status chat_choice_feed(struct chat_choice *, const struct event *, json_t **image, struct error *err);
/* The text that may be shown and was not taken yet, valid until the next feed. */
const char *chat_choice_take_text(struct chat_choice *, size_t *length);
/* Keeps a done picture's entry, at its place in the text. Takes it. */
void chat_choice_keep(struct chat_choice *, json_t *image);

/* The message of a reply in one piece. Once, at the end. */
json_t *chat_choice_message(struct chat_choice *);
const char *chat_choice_finish(const struct chat_choice *); /* "stop" or "length" */

#endif
