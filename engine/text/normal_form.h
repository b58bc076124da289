/* Unicode normal forms as the tokenizers library makes them (Unicode 9: see char_class.h). Linear, whatever
 * the text. */
#ifndef VARGPT_ENGINE_TEXT_NORMAL_FORM_H
#define VARGPT_ENGINE_TEXT_NORMAL_FORM_H

#include "engine/text/marked_text.h"

enum normal_form { NORMAL_FORM_C, NORMAL_FORM_D, NORMAL_FORM_KC, NORMAL_FORM_KD };

/* Appends the text in a normal form; a composed character is plain when any of its parts was. False when
 * memory is short. */
bool normal_form_write(struct marked_text *out, struct span text, enum normal_form);

#endif
