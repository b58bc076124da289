/* What str % value and str.format share: one value written by a specification. */
#ifndef VARGPT_ENGINE_TEXT_JINJA_FORMAT_H
#define VARGPT_ENGINE_TEXT_JINJA_FORMAT_H

#include "engine/text/jinja_builtin.h"

struct format_spec {
    uint32_t fill; /* a character */
    char align;    /* '<', '>', '^', '='; 0: strings left, numbers right */
    char sign;     /* '+', ' ' or 0 */
    bool alternate, comma;
    int64_t width, precision; /* precision: -1 = none */
    char type;                /* as Python's; 0 = none */
};

enum { FORMAT_MAX_WIDTH = 1 << 20, FORMAT_MAX_PRECISION = 300 };

/* Text cut to the precision and padded to the width. */
void format_text(struct jinja_builder *, const struct jinja_text *, const struct format_spec *);
/* A number by type d, i, u, x, X, o, b, c, n, e, E, f, F, g, G, % or none. Fails for what the type does not
 * fit. */
void format_number(struct jinja_builder *, struct jinja_value, const struct format_spec *);

#endif
