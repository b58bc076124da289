/* Numbers read as Python's int() and float() read them from strings. */
#ifndef VARGPT_ENGINE_TEXT_JINJA_NUMBER_H
#define VARGPT_ENGINE_TEXT_JINJA_NUMBER_H

#include "engine/text/jinja_text.h"

/* base: 0 (by prefix) or 2 to 36. False for what is no such number, or has more than 64 bits. */
bool number_read_int(const struct jinja_text *, int64_t base, int64_t *out);
bool number_read_real(const struct jinja_text *, double *out);

#endif
