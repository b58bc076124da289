/* Chat templates: a checkpoint's own Jinja template, rendered as transformers' apply_chat_template does (Jinja2 with
 * trim_blocks and lstrip_blocks, loop controls, raise_exception, strftime_now, tojson).
 * Every byte of the rendering knows whether it came from the template or from message content, so that the tokenizer
 * can refuse to see a special token in what a person typed. Immutable after opening; any thread. Rendering has a work
 * limit: a hostile template or a huge conversation ends in an error, never in a hang. */
#ifndef VARGPT_ENGINE_TEXT_CHAT_TEMPLATE_H
#define VARGPT_ENGINE_TEXT_CHAT_TEMPLATE_H

#include "base/error.h"
#include "engine/text/tokenizer.h" /* struct byte_range */

struct chat_template;

enum chat_part_kind {
    CHAT_TEXT,   /* what a person (or the model) wrote: plain text to the tokenizer, whatever it spells */
    CHAT_IMAGE,  /* a picture to look at: the template's own placeholder */
    CHAT_MARKER, /* text put there by the program: special tokens in it count (a drawn picture's start and end tokens) */
};

struct chat_part {
    enum chat_part_kind kind;
    const char *text; /* not for CHAT_IMAGE; need not be NUL-terminated */
    size_t length;
};

struct chat_message {
    const char *role; /* "system", "user", "assistant", "tool" */
    const struct chat_part *part;
    size_t n_parts;
};

struct chat_options {
    bool add_generation_prompt;
    const char *bos_token, *eos_token;  /* spelt out, "" when there is none */
    const char *image_token;            /* what stands for a picture where the template takes content as one string: "<image>" */
    int64_t now;                        /* for strftime_now, seconds since 1970 */
};

/* What chat_template_render gives; release with chat_rendering_release. */
struct chat_rendering {
    char *text; /* NUL-terminated */
    size_t length;
    struct byte_range *plain; /* the bytes that came from CHAT_TEXT parts; ascending, disjoint, merged */
    size_t n_plain;
};
void chat_rendering_release(struct chat_rendering *);

/* Parses a template; a syntax error or an unknown filter, test or function is STATUS_BAD_FILE with line and reason. */
enum status chat_template_open(struct chat_template **out, const char *source, size_t length, struct error *err);
void chat_template_close(struct chat_template *); /* accepts NULL */

/* The LLaVA-1.5 format (docs/model.md, "Prompt and tokens"), for checkpoints without a template of their own. */
extern const char chat_template_llava[];

/* True when the template iterates over (or indexes) a message's content, and so is given parts, not one string. */
bool chat_template_takes_parts(const struct chat_template *);

/* Renders. raise_exception and other template errors are STATUS_BAD_REQUEST with the template's words. In the parts form
 * a part is {"type": "text", "text": ...} or {"type": "image"}; in the string form the parts are joined: pictures first,
 * each as image_token and a newline, then the texts. A message whose only parts are text is given as a string where the
 * template asks `content is string` and takes both. */
enum status chat_template_render(const struct chat_template *, const struct chat_message *, size_t n_messages,
                                 const struct chat_options *, struct chat_rendering *out, struct error *err);

#endif
