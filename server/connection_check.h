/* What libmicrohttpd lets through and we do not: framing that a proxy in front may read otherwise, headers
 * with control characters, and requests that a foreign web page could have made. */
#ifndef VARGPT_SERVER_CONNECTION_CHECK_H
#define VARGPT_SERVER_CONNECTION_CHECK_H

#include "server/exchange.h"
#include "server/state.h"

struct MHD_Connection;

/* At the first handler call, before any body. *declared: Content-Length, or 0. */
void connection_check(struct MHD_Connection *, const struct server *, const char *path, const char *method,
                      const char *version, size_t *declared, struct http_error *);

#endif
