/* The normalizer of a tokenizer.json: steps that rewrite a text before it is split. */
#ifndef VARGPT_ENGINE_TEXT_NORMALIZER_H
#define VARGPT_ENGINE_TEXT_NORMALIZER_H

#include "base/error.h"
#include "engine/text/marked_text.h"
#include "engine/text/normal_form.h"
#include "engine/text/pattern.h"

#include <jansson.h>

enum { COMPONENT_STEPS = 32 }; /* most steps a normalizer, splitter or decoder may have */

struct normalizer_step {
    enum normalizer_kind {
        NORMALIZER_PREPEND, /* content, unless the text is empty */
        NORMALIZER_REPLACE, /* matches of the pattern by content */
        NORMALIZER_LOWERCASE,
        NORMALIZER_FORM,
        NORMALIZER_STRIP, /* white space on the left, right */
        NORMALIZER_BYTE_LEVEL,
    } kind;
    char *content;
    size_t content_length;
    struct pattern pattern;
    enum normal_form form;
    bool left, right;
};

struct normalizer {
    struct normalizer_step step[COMPONENT_STEPS];
    size_t count;
};

/* component: the "normalizer" of the file, or null. Release in any case. */
enum status normalizer_read(struct normalizer *, const json_t *component, struct error *err);
void normalizer_release(struct normalizer *);

/* The same for LLaMA: `prefix` (may be empty) in front, then spaces by U+2581. */
void normalizer_make_llama(struct normalizer *, const char *prefix);

/* Rewrites *text in place; *spare is working space of the same kind. False when memory is short. */
bool normalizer_run(const struct normalizer *, struct regex_run *, struct marked_text *text,
                    struct marked_text *spare);

/* Fills in a pattern from {"String": ...} or {"Regex": ...} in a component's field "pattern". */
enum status pattern_read(struct pattern *, const json_t *component, struct error *err);

#endif
