/* One conversation in a terminal or a pipe: what chat.c (lines and commands) and chat_reply.c (replies)
 * share. */
#ifndef VARGPT_CLI_CHAT_H
#define VARGPT_CLI_CHAT_H

#include "cli/cli.h"
#include "cli/conversation.h"

struct chat {
    const struct config *config;
    struct engine *engine;
    struct conversation talk;
    uint64_t seed;
    uint32_t turn;          /* replies so far; keeps their random numbers apart */
    enum show_setting show; /* not SHOW_AUTO */
    bool terminal;          /* standard output is one */
    int saved;              /* pictures saved under config->output so far */
    /* the picture drawn last */
    struct picture picture;
    int32_t *codes;
    size_t n_codes;
    uint64_t picture_seed;
    uint32_t ordinal;
};

enum chat_end { CHAT_FAILED, CHAT_STOPPED, CHAT_DONE };

/* Has the model answer the last user message: prints text as it comes, shows or saves pictures, and adds the
 * reply to the conversation. draw: a picture at once instead of what the model likes; if that message has an
 * answer already, the picture joins it. CHAT_STOPPED: by Ctrl-C; what was said until then is kept.
 * CHAT_FAILED with *err set: nothing is kept but the user's message. */
enum chat_end chat_reply(struct chat *, bool draw, struct error *err);

#endif
