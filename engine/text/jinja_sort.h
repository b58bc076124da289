/* Python's sorted(): stable, by <, failing where Python does not order. */
#ifndef VARGPT_ENGINE_TEXT_JINJA_SORT_H
#define VARGPT_ENGINE_TEXT_JINJA_SORT_H

#include "engine/text/jinja_value.h"

/* Items in the order of their keys (keys->count == items->count). NULL on failure. */
const struct jinja_list *sort_items(struct jinja_run *, const struct jinja_list *items,
                                    const struct jinja_list *keys, bool reverse);

#endif
