/* Texts made from the tables of settings and subcommands. Each function appends to out. */
#ifndef VARGPT_CONFIG_HELP_H
#define VARGPT_CONFIG_HELP_H

#include "base/buffer.h"
#include "config/config.h"

/* `vargpt --help`: the subcommands, exit codes, where settings come from. */
void help_overview(struct buffer *out);
/* `vargpt NAME --help`. */
void help_command(enum command, struct buffer *out);
/* The manual page vargpt(1), as troff with man's macros. */
void help_manual(struct buffer *out);
/* A JSON file with every setting that a file may hold, at its default; null where the program or the model
 * chooses. */
void help_example(struct buffer *out);

const char *help_command_name(enum command);
/* The subcommand of that name, or -1. */
int help_command_find(const char *name);

#endif
