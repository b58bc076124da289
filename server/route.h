/* From method and path to a handler: one table. */
#ifndef VARGPT_SERVER_ROUTE_H
#define VARGPT_SERVER_ROUTE_H

#include "server/exchange.h"

/* Numbers of the table's rows, for counting; -1: the path is unknown. Of several rows with the path, the
 * method's. */
int route_find(const char *method, const char *path);
int route_count(void);
const char *route_path(int route); /* as in the table: "/v1/models/..." */
/* Is this request answered without a key? */
bool route_is_open(const struct exchange *);

/* Leaves an answer in the exchange, whatever is asked. */
void route_run(struct exchange *);

/* Whether there is a handler for that. path: unescaped, without the query. */
bool route_takes(const char *method, const char *path);

#endif
