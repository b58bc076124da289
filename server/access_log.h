/* One line in the log for each request, once it has ended. */
#ifndef VARGPT_SERVER_ACCESS_LOG_H
#define VARGPT_SERVER_ACCESS_LOG_H

#include "server/exchange.h"

/* The request is counted, timed and logged. status: what was sent; 499: the client left first. */
void access_log(const struct exchange *, int status);
/* What was asked, where a person wants that logged (log_prompts). */
void access_log_body(const struct exchange *);

#endif
