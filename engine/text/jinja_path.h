/* The `attribute` argument of filters: a.b.0 means item['a']['b'][0]. */
#ifndef VARGPT_ENGINE_TEXT_JINJA_PATH_H
#define VARGPT_ENGINE_TEXT_JINJA_PATH_H

#include "engine/text/jinja_eval.h"

/* The attribute of item; item itself when `attribute` is missing or none. otherwise (missing: none given)
 * stands in for what is undefined on the way. */
struct jinja_value path_get(struct jinja_run *, struct jinja_value item, struct jinja_value attribute,
                            struct jinja_value otherwise);
/* The same in lower case when it is a string and case does not matter: what items are compared by. */
struct jinja_value path_key(struct jinja_run *, struct jinja_value item, struct jinja_value attribute,
                            bool case_sensitive);

#endif
