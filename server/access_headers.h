/* Response headers about who may call, and how much: keys, allowances, web pages of other origins. */
#ifndef VARGPT_SERVER_ACCESS_HEADERS_H
#define VARGPT_SERVER_ACCESS_HEADERS_H

#include "server/exchange.h"

struct MHD_Connection;
struct MHD_Response;

/* WWW-Authenticate, x-ratelimit-*, Access-Control-*, each where it belongs. */
void access_headers_add(struct MHD_Response *, struct MHD_Connection *, const struct exchange *);

#endif
