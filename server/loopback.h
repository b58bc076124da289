/* A server bound to this machine only, without keys, must not be reachable from a web page that a person
 * happens to visit: names that resolve here by a trick (DNS rebinding) and foreign origins are refused. Pure
 * functions. */
#ifndef VARGPT_SERVER_LOOPBACK_H
#define VARGPT_SERVER_LOOPBACK_H

#include <stdbool.h>

/* "localhost", "127.x.y.z" or "[::1]", each perhaps with a port: a Host header's value. */
bool loopback_host(const char *host);
/* An Origin header's value: http or https at such a host. */
bool loopback_origin(const char *origin);
/* An address to bind: the same without brackets or port. */
bool loopback_address(const char *address);

#endif
