/* From a template's source to its tree. */
#ifndef VARGPT_ENGINE_TEXT_JINJA_PARSE_H
#define VARGPT_ENGINE_TEXT_JINJA_PARSE_H

#include "engine/text/jinja_ast.h"

/* Everything lies in the run's arena; on a mistake the run has failed. */
void jinja_parse(struct jinja_run *, const char *source, size_t length, struct jinja_template *out);

/* The interned form of a name, or NULL when the template does not name it. */
const struct jinja_text *jinja_find_name(const struct jinja_template *, const char *name);

#endif
