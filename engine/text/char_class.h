/* Classes of characters as the tokenizers library sees them. It mixes several editions of Unicode (Oniguruma
 * and Rust's regex crate: 16; Rust itself: 17; its punctuation: 8; its normal forms: 9), and utf8proc and
 * PCRE2 here are older or newer than those, so what the editions disagree on is listed in char_class.c. All
 * of it was found by asking the library (0.23) about every code point. */
#ifndef VARGPT_ENGINE_TEXT_CHAR_CLASS_H
#define VARGPT_ENGINE_TEXT_CHAR_CLASS_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

bool char_is_space(uint32_t code);       /* White_Space */
bool char_is_numeric(uint32_t code);     /* N: decimal digits, letter-like and other numbers */
bool char_is_word(uint32_t code);        /* \w of Rust's regex crate */
bool char_is_punctuation(uint32_t code); /* P as in Unicode 8, and ASCII's symbols */

/* Appends the lower case of one character, without regard to its neighbours. */
void char_append_lower(struct buffer *out, uint32_t code);

/* True for characters that the library's normal forms (Unicode 9) leave alone though newer ones do not. */
bool char_is_opaque(uint32_t code);

/* Characters that got their general category between Unicode 14 (PCRE2 10.42) and 16, by code point. */
struct char_range {
    uint32_t first, last;
    char category[3]; /* "Lo" */
};
extern const struct char_range char_recent[];
extern const int char_recent_count;

#endif
