/* What a template does with a message's content, seen from its tree without running it. */
#ifndef VARGPT_ENGINE_TEXT_CHAT_TEMPLATE_SCAN_H
#define VARGPT_ENGINE_TEXT_CHAT_TEMPLATE_SCAN_H

#include "engine/text/jinja_ast.h"

struct content_use {
    bool parts;  /* it is walked through, or its items' types and texts are read: a list of parts */
    bool string; /* it is asked whether it is a string */
};

struct content_use chat_template_scan(const struct jinja_template *);

#endif
