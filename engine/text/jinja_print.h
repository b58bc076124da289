/* Values as text: Python's str() and repr(), and JSON. */
#ifndef VARGPT_ENGINE_TEXT_JINJA_PRINT_H
#define VARGPT_ENGINE_TEXT_JINJA_PRINT_H

#include "engine/text/jinja_value.h"

void print_value(struct jinja_builder *, struct jinja_value); /* str() */
void print_repr(struct jinja_builder *, struct jinja_value);  /* repr() */
/* str() as a text; a string is returned as it is. */
const struct jinja_text *value_string(struct jinja_run *, struct jinja_value);
/* The shortest decimal that reads back as d, in Python's spelling; out holds at least 32 bytes. */
void print_real(char *out, size_t size, double d);

struct json_style {
    bool ascii, sort_keys, indented;
    const struct jinja_text *indent; /* one level, when indented */
    const struct jinja_text *between_items, *after_key;
};
void print_json(struct jinja_builder *, struct jinja_value, const struct json_style *);

#endif
