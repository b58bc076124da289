/* From a conversation to a request's prompt: the chat template, the tokenizer, and pictures put in their places.
 * Pure functions of the engine's immutable parts: any thread, never the engine's. */
#ifndef VARGPT_ENGINE_PROMPT_H
#define VARGPT_ENGINE_PROMPT_H

#include "engine/engine.h"

enum prompt_part_kind {
    PROMPT_TEXT,
    PROMPT_SEEN,  /* a picture to look at (user, tool) */
    PROMPT_DRAWN, /* a picture that the model drew (assistant) */
};

struct prompt_part {
    enum prompt_part_kind kind;
    const char *text; /* TEXT; need not be NUL-terminated */
    size_t length;
    const struct picture *picture; /* SEEN; DRAWN without codes */
    const int32_t *codes;          /* DRAWN: [engine_picture_tokens], engine_submit checks their range; or NULL */
    size_t n_codes;
};

struct prompt_message {
    const char *role; /* "system", "user", "assistant", "tool" */
    const struct prompt_part *part;
    size_t n_parts;
};

/* Renders, tokenizes and expands the conversation into request->ids and request->picture (which must be empty).
 * STATUS_BAD_REQUEST: the template refuses, a picture for a model that cannot look or draw, too few or many codes.
 * STATUS_TOO_LARGE: more ids than the context holds. On failure the request has no prompt. */
enum status prompt_build(const struct engine *, const struct prompt_message *, size_t n_messages,
                         bool add_generation_prompt, struct request *, struct error *err);

/* The rendering alone, as text (malloc'ed, caller frees), for `vargpt verify` and debugging. */
enum status prompt_render(const struct engine *, const struct prompt_message *, size_t n_messages,
                          bool add_generation_prompt, struct chat_rendering *out, struct error *err);

#endif
