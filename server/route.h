/* From method and path to a handler: one table. */
#ifndef VARGPT_SERVER_ROUTE_H
#define VARGPT_SERVER_ROUTE_H

#include "server/exchange.h"

/* Leaves an answer in the exchange, whatever is asked. */
void route_run(struct exchange *);

/* Whether there is a handler for that. path: unescaped, without the query. */
bool route_takes(const char *method, const char *path);

#endif
