/* A conversation from JSON: messages with text and pictures in the forms that clients send, and pictures of
 * earlier turns in every form that this server gives (`images` with or without `content_parts`, parts in
 * content, markdown). */
#ifndef VARGPT_SERVER_MESSAGE_READ_H
#define VARGPT_SERVER_MESSAGE_READ_H

#include "engine/prompt.h"
#include "server/json_read.h"
#include "server/state.h"

/* A picture decoded from a request. */
struct message_picture {
    struct picture picture;
    int32_t *codes; /* of a picture drawn here, or NULL */
    size_t n_codes;
    size_t budgeted; /* bytes of the server's pixel budget */
};

struct message_list {
    struct server *server;
    struct http_error *error;
    struct prompt_message *message; /* [n_messages]; texts lie in the JSON */
    size_t n_messages;
    struct message_picture *picture; /* [max_pictures] */
    int n_pictures;
    int64_t pixels; /* of all pictures */
};

/* Reads the array `messages`, which must outlive the list. Problems go to the http_error; release in any
 * case. */
void message_list_read(struct message_list *, struct server *, json_t *messages, struct http_error *);
void message_list_release(struct message_list *);

#endif
