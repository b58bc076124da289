/* The side of libmicrohttpd: callbacks that gather a request into an exchange, have it routed, and send the
 * answer. */
#ifndef VARGPT_SERVER_CONNECTION_H
#define VARGPT_SERVER_CONNECTION_H

#include "server/state.h"

/* Starts the daemon, one thread a connection, on a listening socket (which it then owns). NULL on failure. */
struct MHD_Daemon *connection_listen(struct server *, int socket);

#endif
