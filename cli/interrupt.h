/* Ctrl-C as a question to ask instead of the end of the program. */
#ifndef VARGPT_CLI_INTERRUPT_H
#define VARGPT_CLI_INTERRUPT_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

/* From now on SIGINT only sets a mark. A write under way goes on, so that nothing printed is lost. */
void interrupt_catch(void);
/* True once for each mark. */
bool interrupt_take(void);
/* Returns when fd can be read or there is a mark, also one from before the call. */
void interrupt_wait(int fd);
/* getline(3) that a SIGINT ends early: -1, and there is a mark. */
ssize_t interrupt_getline(char **line, size_t *room, FILE *from);

#endif
