/* The answer of /v1/completions: events to JSON in the legacy shape, in one piece or as a stream. */
#ifndef VARGPT_SERVER_COMPLETION_REPLY_H
#define VARGPT_SERVER_COMPLETION_REPLY_H

#include "server/completion_request.h"
#include "server/exchange.h"

/* Submits one engine request a choice and answers, now or as a stream. Takes the request's contents over in
 * any case. */
void completion_reply_run(struct exchange *, struct completion_request *);

#endif
