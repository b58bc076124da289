#include "server/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 512, MODE = 0660 };

const char *listen_unix_path(const char *host)
{
    return host && strncmp(host, "unix:", 5) == 0 ? host + 5 : NULL;
}

static int bind_to(const struct addrinfo *a)
{
    int on = 1, fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static int port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
    socklen_t size = sizeof address;
    if (getsockname(fd, &address.any, &size))
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static enum status open_tcp(const char *host, int *port, int *fd, struct error *err)
{
    char text[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *list = NULL;
    snprintf(text, sizeof text, "%d", *port);
    if (*port < 0 || *port > 65535)
        return error_set(err, STATUS_BAD_REQUEST, "port %d is not one from 0 to 65535", *port);
    int wrong = getaddrinfo(host, text, &hints, &list);
    if (wrong)
        return error_set(err, STATUS_BAD_REQUEST, "cannot find the address '%.100s': %s", host,
                         gai_strerror(wrong));
    *fd = -1;
    for (const struct addrinfo *a = list; a && *fd < 0; a = a->ai_next)
        *fd = bind_to(a);
    int reason = errno;
    freeaddrinfo(list);
    if (*fd < 0)
        return error_set(err, STATUS_BAD_REQUEST, "cannot listen on %.100s port %d: %s", host, *port,
                         strerror(reason));
    *port = port_of(*fd);
    return STATUS_OK;
}

union unix_address {
    struct sockaddr any;
    struct sockaddr_un path;
};

/* A socket file that a server left behind goes; one that somebody answers on stays, as does any other file.
 */
static void remove_stale(const union unix_address *address)
{
    struct stat about;
    if (lstat(address->path.sun_path, &about) || !S_ISSOCK(about.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, &address->any, sizeof address->path) && errno == ECONNREFUSED)
        unlink(address->path.sun_path);
    close(fd);
}

static enum status open_unix(const char *path, int *fd, struct error *err)
{
    union unix_address address = {.path = {.sun_family = AF_UNIX}};
    if (strlen(path) == 0 || strlen(path) >= sizeof address.path.sun_path)
        return error_set(err, STATUS_BAD_REQUEST, "the path of a unix socket has 1 to %zu bytes",
                         sizeof address.path.sun_path - 1);
    snprintf(address.path.sun_path, sizeof address.path.sun_path, "%s", path);
    remove_stale(&address);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd >= 0 && bind(*fd, &address.any, sizeof address.path) == 0) {
        if (chmod(path, MODE) == 0 && listen(*fd, BACKLOG) == 0)
            return STATUS_OK;
        unlink(path);
    }
    int reason = errno;
    if (*fd >= 0)
        close(*fd);
    return error_set(err, STATUS_BAD_REQUEST, "cannot listen on unix:%.100s: %s", path, strerror(reason));
}

enum status listen_open(const char *host, int *port, int *fd, struct error *err)
{
    const char *path = listen_unix_path(host);
    if (!path)
        return open_tcp(host, port, fd, err);
    *port = 0;
    return open_unix(path, fd, err);
}

void listen_forget(const char *host)
{
    const char *path = listen_unix_path(host);
    if (path)
        unlink(path);
}
