#include "server/connection_check.h"

#include "server/cors.h"
#include "server/keys.h"
#include "server/loopback.h"
#include "server/route.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct headers {
    int lengths, hosts, codings, types, origins, keys, packings;
    const char *length, *host, *coding, *type, *origin, *key, *packing;
    bool bad_name, bad_value;
};

static bool is_token(const char *s, size_t n)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == 0 || !strchr(marks, c)))
            return false;
    }
    return n > 0;
}

static bool has_control(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7F)
            return true;
    return false;
}

/* libmicrohttpd appends a folded line to the header's name: "Content-Length:\r\n 5" arrives as
 * "Content-Length5", and the body would be taken for the next request. */
static bool is_folded(const char *name, size_t length)
{
    static const char *const framing[] = {"Content-Length", "Transfer-Encoding"};
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(framing[i]);
        if (length > n && strncasecmp(name, framing[i], n) == 0)
            return true;
    }
    return false;
}

static void note(const char *name, const char *wanted, const char *value, const char **out, int *count)
{
    if (strcasecmp(name, wanted) != 0)
        return;
    *out = value ? value : "";
    ++*count;
}

static enum MHD_Result on_header(void *context, enum MHD_ValueKind kind, const char *name, size_t name_length,
                                 const char *value, size_t value_length)
{
    struct headers *h = context;
    (void)kind;
    h->bad_name |= !is_token(name, name_length) || is_folded(name, name_length);
    h->bad_value |= has_control(value, value_length);
    note(name, "Content-Length", value, &h->length, &h->lengths);
    note(name, "Host", value, &h->host, &h->hosts);
    note(name, "Transfer-Encoding", value, &h->coding, &h->codings);
    note(name, "Content-Type", value, &h->type, &h->types);
    note(name, "Origin", value, &h->origin, &h->origins);
    note(name, "Authorization", value, &h->key, &h->keys);
    note(name, "Content-Encoding", value, &h->packing, &h->packings);
    return MHD_YES;
}

static void check_framing(const struct headers *h, const char *version, struct http_error *e)
{
    if (h->bad_name || h->bad_value)
        http_error_set(e, PROBLEM_HTTP, NULL,
                       "a header's name or value holds a character that is not allowed");
    if (h->lengths > 1 || h->hosts > 1 || h->codings > 1 || h->types > 1 || h->origins > 1 || h->keys > 1)
        http_error_set(e, PROBLEM_HTTP, NULL, "a header that must be unique is sent twice");
    if (h->lengths && h->codings)
        http_error_set(e, PROBLEM_HTTP, NULL, "Content-Length and Transfer-Encoding exclude each other");
    if (h->codings && strcasecmp(h->coding, "chunked") != 0)
        http_error_set(e, PROBLEM_HTTP, NULL, "the only Transfer-Encoding understood is 'chunked'");
    if (h->lengths && (h->length[0] == 0 || h->length[strspn(h->length, "0123456789")]))
        http_error_set(e, PROBLEM_HTTP, NULL, "Content-Length must be a number");
    if (!h->hosts && strcmp(version, "HTTP/1.1") == 0)
        http_error_set(e, PROBLEM_HTTP, NULL, "HTTP/1.1 needs a Host header");
}

/* "application/json", perhaps with parameters, in any case. */
static bool is_json(const char *type)
{
    static const char json[] = "application/json";
    size_t n = sizeof json - 1;
    return type && strncasecmp(type, json, n) == 0 && (type[n] == 0 || strchr("; \t", type[n]));
}

/* Pictures are uploaded as forms there; the answer is that this is not offered, in words. */
static bool takes_forms(const char *path, const char *type)
{
    static const char form[] = "multipart/form-data";
    return (strstr(path, "/images/edits") || strstr(path, "/images/variations")) && type &&
           strncasecmp(type, form, sizeof form - 1) == 0;
}

static void check_origin(const struct headers *h, const struct server *server, struct http_error *e)
{
    const char *allowed = server->options.cors_origins;
    if (!server->loopback || key_ring_is_locked(server->keys)) /* a web page has no key */
        return;
    if (h->host && !loopback_host(h->host))
        http_error_set(e, PROBLEM_FORBIDDEN, NULL,
                       "this server listens on this machine only: use localhost or 127.0.0.1 as its name");
    if (h->origin && !loopback_origin(h->origin) && !cors_allows(allowed, h->origin))
        http_error_set(e, PROBLEM_FORBIDDEN, NULL, "web pages of other origins may not use this server");
}

void connection_check(struct MHD_Connection *connection, const struct server *server, const char *path,
                      const char *method, const char *version, size_t *declared, struct http_error *e)
{
    struct headers h = {0};
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_header, &h);
    check_framing(&h, version, e);
    check_origin(&h, server, e);
    *declared = h.length ? strtoull(h.length, NULL, 10) : 0;
    if (*declared > server->options.max_body_bytes)
        http_error_set(e, PROBLEM_BODY_SIZE, NULL,
                       "the body has %zu bytes, the limit is %zu (setting max-body)", *declared,
                       server->options.max_body_bytes);
    if (h.packings && strcasecmp(h.packing, "identity") != 0)
        http_error_set(e, PROBLEM_MEDIA_TYPE, NULL,
                       "send the body as it is: Content-Encoding is not understood");
    if (strcmp(method, "POST") == 0 && route_takes(method, path) && !is_json(h.type) &&
        !takes_forms(path, h.type))
        http_error_set(e, PROBLEM_MEDIA_TYPE, NULL,
                       "send JSON, with the header Content-Type: application/json");
}
