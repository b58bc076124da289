/* Which addresses pictures may be fetched from, and which hosts a list of patterns allows. */
#include "server/public_address.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool is_public(const char *text)
{
    struct sockaddr_storage room = {0};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        memcpy(&room, &v4, sizeof v4);
    else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        memcpy(&room, &v6, sizeof v6);
    else
        fail_msg("%s is no address", text);
    return public_address((const struct sockaddr *)&room);
}

static void public_ones(void **state)
{
    static const char *const list[] = {
        "1.1.1.1",         "8.8.8.8",         "9.255.255.255", "11.0.0.0",        "100.63.255.255",
        "100.128.0.0",     "126.255.255.255", "128.0.0.1",     "169.253.0.1",     "172.15.255.255",
        "172.32.0.0",      "192.167.0.1",     "192.169.0.1",   "198.17.255.255",  "198.20.0.0",
        "223.255.255.255", "2606:4700::1111", "2a00:1450::1",  "2001:4860::8888", "2003::1"};
    (void)state;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (!is_public(list[i]))
            fail_msg("%s is taken for private", list[i]);
}

static void private_ones(void **state)
{
    static const char *const list[] = {"0.0.0.0",
                                       "0.255.255.255",
                                       "10.0.0.0",
                                       "10.255.255.255",
                                       "100.64.0.0",
                                       "100.127.255.255",
                                       "127.0.0.1",
                                       "127.255.255.255",
                                       "169.254.169.254",
                                       "172.16.0.0",
                                       "172.31.255.255",
                                       "192.0.0.1",
                                       "192.0.2.255",
                                       "192.168.0.0",
                                       "192.168.255.255",
                                       "198.18.0.0",
                                       "198.19.255.255",
                                       "198.51.100.1",
                                       "203.0.113.1",
                                       "224.0.0.1",
                                       "239.1.1.1",
                                       "240.0.0.1",
                                       "255.255.255.255",
                                       "192.88.99.1",
                                       "::",
                                       "::1",
                                       "::ffff:8.8.8.8",
                                       "::8.8.8.8",
                                       "64:ff9b::1",
                                       "100::1",
                                       "2001::1",
                                       "2001:1ff::1",
                                       "2001:db8::1",
                                       "2002::1",
                                       "3fff::1",
                                       "fc00::1",
                                       "fdff::1",
                                       "fe80::1",
                                       "febf::1",
                                       "fec0::1",
                                       "ff02::1",
                                       "4000::1"};
    (void)state;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (is_public(list[i]))
            fail_msg("%s is taken for public", list[i]);
    struct sockaddr local = {.sa_family = AF_UNIX};
    assert_false(public_address(&local));
}

static void patterns(void **state)
{
    (void)state;
    assert_true(host_allowed("a.org", "a.org", 443, 443) && host_allowed("x, A.org", "a.ORG", 80, 80));
    assert_false(host_allowed("a.org", "b.a.org", 443, 443) || host_allowed("a.org", "xa.org", 443, 443));
    assert_true(host_allowed("*.a.org", "b.a.org", 443, 443) &&
                host_allowed("*.a.org", "c.b.a.org", 443, 443));
    assert_false(host_allowed("*.a.org", "a.org", 443, 443) || host_allowed("*.a.org", ".a.org", 443, 443));
    assert_false(host_allowed("*.a.org", "ba.org", 443, 443) || host_allowed("a.org", "a.org", 8080, 443));
    assert_true(host_allowed("a.org:8080", "a.org", 8080, 443) && host_allowed("*:81", "x", 81, 80));
    assert_false(host_allowed("a.org:8080", "a.org", 443, 443) || host_allowed("a.org:", "a.org", 443, 443));
    assert_true(host_allowed("*", "x", 80, 80) && host_allowed("[::1]:5", "::1", 5, 80));
    assert_false(host_allowed("*", "x", 81, 80) || host_allowed("", "x", 80, 80) ||
                 host_allowed(NULL, "x", 80, 80));
    assert_false(host_allowed(",, ,", "x", 80, 80) || host_allowed("[::1]", "::2", 80, 80));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_ones),
        cmocka_unit_test(private_ones),
        cmocka_unit_test(patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
