/* Which network addresses are open to everyone. Pure functions. */
#ifndef VARGPT_SERVER_PUBLIC_ADDRESS_H
#define VARGPT_SERVER_PUBLIC_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* False for everything that IANA's registries of special purpose addresses name (private, loopback,
 * link-local, shared, documentation, multicast, reserved, tunnels that hold an IPv4 address, ...) and for
 * families other than IPv4 and 6. */
bool public_address(const struct sockaddr *);

/* True when host (lower case, without brackets) and port are allowed by a list of patterns: "host",
 * "*.domain" (names below it), "*"; each perhaps with ":port", without which the port must be the scheme's
 * own. Separated by commas. */
bool host_allowed(const char *patterns, const char *host, int port, int usual_port);

#endif
