/* The answer of /v1/chat/completions: events to JSON, in one piece or as a stream. */
#ifndef VARGPT_SERVER_CHAT_REPLY_H
#define VARGPT_SERVER_CHAT_REPLY_H

#include "server/chat_request.h"
#include "server/exchange.h"

/* Submits the request's choices and answers, now or as a stream. Takes the request's contents over in any
 * case. */
void chat_reply_run(struct exchange *, struct chat_request *);

#endif
