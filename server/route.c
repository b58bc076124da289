#include "server/route.h"

#include "base/memory.h"
#include "server/endpoints.h"
#include "server/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct route {
    const char *method;
    const char *path; /* ending in "/...": what follows is an id */
    void (*run)(struct exchange *, const char *rest);
    bool always; /* answers also while the model loads and while the server drains */
};

static const struct route routes[] = {
    {"GET", "/", endpoint_page, true},
    {"GET", "/web/...", endpoint_page_file, true},
    {"GET", "/health", endpoint_health, true},
    {"GET", "/health/live", endpoint_live, true},
    {"GET", "/health/ready", endpoint_health, true},
    {"GET", "/v1/models", endpoint_models, false},
    {"GET", "/v1/models/...", endpoint_model, false},
    {"POST", "/v1/chat/completions", endpoint_chat, false},
    {"POST", "/v1/images/generations", endpoint_images, false},
    {"POST", "/tokenize", endpoint_tokenize, false},
    {"POST", "/detokenize", endpoint_detokenize, false},
};
enum { N_ROUTES = sizeof routes / sizeof routes[0] };

/* The rest of the path after the route's, "" for an exact match, or NULL. */
static const char *match_path(const char *route, const char *path)
{
    size_t n = strlen(route);
    if (n > 4 && strcmp(route + n - 4, "/...") == 0)
        return strncmp(route, path, n - 3) == 0 && path[n - 3] ? path + n - 3 : NULL;
    return strcmp(route, path) == 0 ? "" : NULL;
}

/* "/v1" may be missing: people forget it in their base URL. */
static const char *match(const struct route *r, const char *path)
{
    const char *rest = match_path(r->path, path);
    if (!rest && strncmp(r->path, "/v1/", 4) == 0)
        rest = match_path(r->path + 3, path);
    return rest;
}

static bool same_method(const struct route *r, const char *method)
{
    return strcmp(r->method, method) == 0 || (strcmp(r->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* A path that is known, with another method. */
static void answer_other_method(struct exchange *x, const char *known)
{
    bool get = strcmp(known, "GET") == 0;
    snprintf(x->answer.allow, sizeof x->answer.allow, "%s, OPTIONS", get ? "GET, HEAD" : known);
    if (strcmp(x->method, "OPTIONS") == 0) {
        exchange_reply_text(x, 204, NULL, xstrdup(""), 0);
        return;
    }
    struct http_error e = {0};
    http_error_set(&e, PROBLEM_METHOD, NULL, "this path takes %s only", x->answer.allow);
    exchange_fail(x, &e);
}

/* A long path is quoted by its beginning. */
static void answer_unknown(struct exchange *x)
{
    struct http_error e = {0};
    http_error_set(&e, PROBLEM_PATH, NULL, "no such path: %s %.100s", x->method, x->path);
    exchange_fail(x, &e);
}

static void run(struct exchange *x, const struct route *r, const char *rest)
{
    if (!r->always && refuse_unready(x))
        return;
    r->run(x, rest);
}

void route_run(struct exchange *x)
{
    char *path = xstrdup(x->path);
    size_t n = strlen(path);
    const char *known = NULL;
    while (n > 1 && path[n - 1] == '/')
        path[--n] = 0;
    for (int i = 0; i < N_ROUTES; i++) {
        const char *rest = match(&routes[i], path);
        if (rest && same_method(&routes[i], x->method)) {
            run(x, &routes[i], rest);
            free(path);
            return;
        }
        if (rest)
            known = routes[i].method;
    }
    if (strcmp(path, "*") == 0 && strcmp(x->method, "OPTIONS") == 0)
        known = "GET, HEAD, POST";
    if (!known && refuse_unready(x))
        known = NULL;
    else if (known)
        answer_other_method(x, known);
    else
        answer_unknown(x);
    free(path);
}
