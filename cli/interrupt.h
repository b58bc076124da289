/* Ctrl-C as a question to ask instead of the end of the program. */
#ifndef VARGPT_CLI_INTERRUPT_H
#define VARGPT_CLI_INTERRUPT_H

#include <stdbool.h>

/* From now on SIGINT only sets a mark; reads from a terminal return early with EINTR. */
void interrupt_catch(void);
/* True once for each mark. */
bool interrupt_take(void);
/* Returns when fd can be read or there is a mark, also one from before the call. */
void interrupt_wait(int fd);

#endif
