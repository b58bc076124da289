#include "server/public_address.h"

#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct range4 {
    uint32_t first;
    int bits;
};

static const struct range4 special4[] = {
    {0x00000000, 8},  /* this network */
    {0x0A000000, 8},  /* private */
    {0x64400000, 10}, /* shared by a carrier's customers */
    {0x7F000000, 8},  /* loopback */
    {0xA9FE0000, 16}, /* link-local, metadata services */
    {0xAC100000, 12}, /* private */
    {0xC0000000, 24}, /* protocol assignments */
    {0xC0000200, 24}, /* documentation */
    {0xC01FC400, 24}, /* AS112 */
    {0xC034C100, 24}, /* automatic multicast tunnelling */
    {0xC0586300, 24}, /* relays to IPv6 */
    {0xC0A80000, 16}, /* private */
    {0xC0AF3000, 24}, /* AS112 */
    {0xC6120000, 15}, /* benchmarks */
    {0xC6336400, 24}, /* documentation */
    {0xCB007100, 24}, /* documentation */
    {0xE0000000, 3},  /* multicast, reserved, broadcast */
};

static bool public4(uint32_t address)
{
    for (size_t i = 0; i < sizeof special4 / sizeof special4[0]; i++)
        if ((address ^ special4[i].first) >> (32 - special4[i].bits) == 0)
            return false;
    return true;
}

struct range6 {
    uint8_t first[6];
    int bits;
};

/* Inside 2000::/3, which alone is given out. */
static const struct range6 special6[] = {
    {{0x20, 0x01, 0x00, 0x00}, 23},             /* protocol assignments, Teredo */
    {{0x20, 0x01, 0x0D, 0xB8}, 32},             /* documentation */
    {{0x20, 0x02}, 16},                         /* 6to4 */
    {{0x26, 0x20, 0x00, 0x4F, 0x80, 0x00}, 48}, /* AS112 */
    {{0x3F, 0xFF, 0x00}, 20},                   /* documentation */
};

static bool begins(const uint8_t *address, const uint8_t *first, int bits)
{
    int bytes = bits / 8, rest = bits % 8;
    return memcmp(address, first, (size_t)bytes) == 0 &&
           (rest == 0 || (address[bytes] ^ first[bytes]) >> (8 - rest) == 0);
}

static bool public6(const uint8_t *address)
{
    if (address[0] >> 5 != 1)
        return false;
    for (size_t i = 0; i < sizeof special6 / sizeof special6[0]; i++)
        if (begins(address, special6[i].first, special6[i].bits))
            return false;
    return true;
}

bool public_address(const struct sockaddr *a)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (a->sa_family == AF_INET) {
        memcpy(&v4, a, sizeof v4);
        return public4(ntohl(v4.sin_addr.s_addr));
    }
    if (a->sa_family == AF_INET6) {
        memcpy(&v6, a, sizeof v6);
        return public6(v6.sin6_addr.s6_addr);
    }
    return false;
}

static bool same(const char *a, size_t n, const char *b, size_t m)
{
    return n == m && strncasecmp(a, b, n) == 0;
}

static bool matches(const char *pattern, size_t n, const char *host, int port, int usual_port)
{
    size_t length = strlen(host);
    const char *colon = memrchr(pattern, ':', n);
    bool bracketed = n > 0 && pattern[0] == '[';
    const char *bracket = bracketed ? memchr(pattern, ']', n) : NULL;
    if (colon && (!bracket || colon > bracket)) {
        usual_port = (int)strtol(colon + 1, NULL, 10);
        n = (size_t)(colon - pattern);
    }
    if (port != usual_port)
        return false;
    if (bracket)
        return same(pattern + 1, (size_t)(bracket - pattern) - 1, host, length);
    if (n == 1 && pattern[0] == '*')
        return true;
    if (n > 2 && pattern[0] == '*' && pattern[1] == '.')
        return length > n - 1 && same(pattern + 1, n - 1, host + length - (n - 1), n - 1);
    return same(pattern, n, host, length);
}

bool host_allowed(const char *patterns, const char *host, int port, int usual_port)
{
    while (patterns && *patterns) {
        patterns += strspn(patterns, ", ");
        size_t n = strcspn(patterns, ", ");
        if (n > 0 && matches(patterns, n, host, port, usual_port))
            return true;
        patterns += n;
    }
    return false;
}
