/* What a terminal can do, and text and pictures on it. Decided from the environment alone: nothing is asked
 * of the terminal, so nothing has to be waited for. */
#ifndef VARGPT_CLI_TERMINAL_H
#define VARGPT_CLI_TERMINAL_H

#include "config/config.h"
#include "engine/picture/codec.h"

#include <stdio.h>

/* How pictures can be shown on standard output: `wanted`, unless that is SHOW_AUTO; SHOW_OFF where it is no
 * terminal. */
enum show_setting terminal_show(enum show_setting wanted);

/* The columns of the terminal; 80 where it does not say. */
int terminal_columns(void);

/* Appends text for a terminal: control characters but tab and newline as their pictures, so that nothing a
 * model writes can move the cursor or send an escape sequence. Text is whole UTF-8 characters. */
void terminal_make_safe(const char *text, size_t length, struct buffer *out);

/* Appends what shows a picture, with a newline. how: not SHOW_AUTO or SHOW_OFF. */
enum status terminal_picture(const struct picture *, enum show_setting how, int columns, struct buffer *out,
                             struct error *err);

#endif
