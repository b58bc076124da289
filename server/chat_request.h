/* A body of /v1/chat/completions, checked and turned into what the engine is asked. */
#ifndef VARGPT_SERVER_CHAT_REQUEST_H
#define VARGPT_SERVER_CHAT_REQUEST_H

#include "server/choice_text.h"
#include "server/draw_read.h"
#include "server/usage.h"

struct server;

enum mixed_format {
    MIXED_IMAGES,   /* content is the text; pictures stand beside it */
    MIXED_PARTS,    /* content is an array of parts */
    MIXED_MARKDOWN, /* pictures as markdown inside the text */
};

struct chat_request {
    struct request *request; /* with its prompt; the first choice's */
    struct prompt_usage prompt;
    int choices, previews; /* `n`; previews of each picture */
    struct stop_list stops;
    struct picture_output output;
    enum mixed_format format;
    bool stream, include_usage, logprobs, service_tier, progress;
    uint64_t seed; /* of text */
};

/* Problems go to the http_error; release in any case. */
void chat_request_read(struct chat_request *, struct server *, const char *body, size_t length,
                       struct http_error *);
void chat_request_release(struct chat_request *);

/* `model`: may be absent, and otherwise must name what is served, unless the server serves any name. */
void model_param_check(const struct server *, const struct params *);

#endif
