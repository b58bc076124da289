#include "server/access_headers.h"

#include "server/cors.h"
#include "server/keys.h"
#include "server/state.h"

#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static void add_number(struct MHD_Response *r, const char *name, long long value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", value);
    MHD_add_response_header(r, name, text);
}

/* "120ms", "7.5s", "3m20s", as OpenAI writes them. */
static void add_duration(struct MHD_Response *r, const char *name, double seconds)
{
    char text[32];
    if (seconds < 1)
        snprintf(text, sizeof text, "%.0fms", seconds * 1000);
    else if (seconds < 60)
        snprintf(text, sizeof text, "%.3gs", seconds);
    else
        snprintf(text, sizeof text, "%dm%ds", (int)seconds / 60, (int)seconds % 60);
    MHD_add_response_header(r, name, text);
}

static void add_rates(struct MHD_Response *r, struct api_key *key)
{
    struct key_rate requests, tokens;
    api_key_rates(key, &requests, &tokens);
    if (requests.limit) {
        add_number(r, "x-ratelimit-limit-requests", requests.limit);
        add_number(r, "x-ratelimit-remaining-requests", requests.left);
        add_duration(r, "x-ratelimit-reset-requests", requests.reset_seconds);
    }
    if (tokens.limit) {
        add_number(r, "x-ratelimit-limit-tokens", tokens.limit);
        add_number(r, "x-ratelimit-remaining-tokens", tokens.left);
        add_duration(r, "x-ratelimit-reset-tokens", tokens.reset_seconds);
    }
}

/* What a browser must see before it lets a page of another origin read the answer. */
static void add_cors(struct MHD_Response *r, struct MHD_Connection *connection, const struct exchange *x)
{
    const char *list = x->server->options.cors_origins, *origin = header(connection, MHD_HTTP_HEADER_ORIGIN);
    if (!list)
        return;
    if (!cors_allows_all(list))
        MHD_add_response_header(r, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ORIGIN);
    if (!cors_allows(list, origin))
        return;
    MHD_add_response_header(r, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_ORIGIN,
                            cors_allows_all(list) ? "*" : origin);
    MHD_add_response_header(r, MHD_HTTP_HEADER_ACCESS_CONTROL_EXPOSE_HEADERS, CORS_EXPOSED);
    if (strcmp(x->method, "OPTIONS") != 0 ||
        !header(connection, MHD_HTTP_HEADER_ACCESS_CONTROL_REQUEST_METHOD))
        return;
    struct buffer names;
    const char *wanted = header(connection, MHD_HTTP_HEADER_ACCESS_CONTROL_REQUEST_HEADERS);
    buffer_init(&names, 8192);
    cors_append_headers(&names, wanted ? wanted : "");
    MHD_add_response_header(r, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_METHODS, CORS_METHODS);
    if (names.length && !buffer_failed(&names))
        MHD_add_response_header(r, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_HEADERS, names.data);
    MHD_add_response_header(r, MHD_HTTP_HEADER_ACCESS_CONTROL_MAX_AGE, "600");
    buffer_release(&names);
}

void access_headers_add(struct MHD_Response *r, struct MHD_Connection *connection, const struct exchange *x)
{
    if (x->answer.status == MHD_HTTP_UNAUTHORIZED)
        MHD_add_response_header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"vargpt\"");
    if (x->key)
        add_rates(r, x->key);
    add_cors(r, connection, x);
}
