/* Token counts of a call, and the JSON objects that show them. */
#ifndef VARGPT_SERVER_USAGE_H
#define VARGPT_SERVER_USAGE_H

#include "engine/engine.h"

#include <jansson.h>

/* Of a prompt; counted once however many choices there are. */
struct prompt_usage {
    int tokens, picture_tokens, cached_tokens;
};
/* Of the replies. */
struct reply_usage {
    int text_tokens, picture_tokens;
};

/* What can be told from the request alone. */
struct prompt_usage prompt_usage_count(const struct engine *, const struct request *);

json_t *usage_chat_json(const struct prompt_usage *, const struct reply_usage *);
json_t *usage_images_json(const struct prompt_usage *, const struct reply_usage *);

#endif
