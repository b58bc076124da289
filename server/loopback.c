#include "server/loopback.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool loopback_address(const char *address)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (strcasecmp(address, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, address, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* ":" and 1 to 5 digits, or nothing. */
static bool is_port(const char *s)
{
    if (*s == 0)
        return true;
    size_t digits = *s == ':' ? strspn(s + 1, "0123456789") : 0;
    return digits >= 1 && digits <= 5 && s[1 + digits] == 0;
}

bool loopback_host(const char *host)
{
    char name[64];
    const char *end;
    if (host[0] == '[') {
        host++;
        end = strchr(host, ']');
        if (!end || !is_port(end + 1))
            return false;
    } else {
        end = host + strcspn(host, ":");
        if (!is_port(end))
            return false;
    }
    size_t n = (size_t)(end - host);
    if (n == 0 || n >= sizeof name)
        return false;
    snprintf(name, sizeof name, "%.*s", (int)n, host);
    return loopback_address(name);
}

bool loopback_origin(const char *origin)
{
    if (strncasecmp(origin, "http://", 7) == 0)
        return loopback_host(origin + 7);
    if (strncasecmp(origin, "https://", 8) == 0)
        return loopback_host(origin + 8);
    return false;
}
