/* The listening socket: a TCP address, or a path in the file system. */
#ifndef VARGPT_SERVER_LISTEN_H
#define VARGPT_SERVER_LISTEN_H

#include "base/error.h"

/* "unix:/run/vargpt.sock": the path; NULL for any other host. */
const char *listen_unix_path(const char *host);

/* *port: 0 = any free one; set to the one taken (0 for a path). A socket file that nobody listens on any more
 * is replaced; this user and group may connect to the new one. */
enum status listen_open(const char *host, int *port, int *fd, struct error *err);
/* Removes the path, if it is one. The descriptor is somebody else's by now. */
void listen_forget(const char *host);

#endif
