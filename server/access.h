/* May this caller be answered? Keys and their limits, and how long the answer may take. */
#ifndef VARGPT_SERVER_ACCESS_H
#define VARGPT_SERVER_ACCESS_H

#include "server/exchange.h"

/* Before the body is read: gives the exchange its key and its deadline. Either header may be NULL. */
void access_check(struct exchange *, const char *authorization, const char *timeout, struct http_error *);

#endif
