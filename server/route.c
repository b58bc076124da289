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
    bool always; /* answers also while the model loads and while the server drains, and without a key */
};

static const struct route routes[] = {
    {"GET", "/", endpoint_page, true},
    {"GET", "/web/...", endpoint_page_file, true},
    {"GET", "/health", endpoint_health, true},
    {"GET", "/health/live", endpoint_live, true},
    {"GET", "/health/ready", endpoint_health, true},
    {"GET", "/metrics", endpoint_metrics, true},
    {"GET", "/v1/models", endpoint_models, false},
    {"GET", "/v1/models/...", endpoint_model, false},
    {"POST", "/v1/chat/completions", endpoint_chat, false},
    {"POST", "/v1/completions", endpoint_completions, false},
    {"POST", "/v1/images/generations", endpoint_images, false},
    {"POST", "/v1/images/edits", endpoint_not_offered, false},
    {"POST", "/v1/images/variations", endpoint_not_offered, false},
    {"POST", "/v1/responses", endpoint_not_offered, false},
    {"GET", "/openapi.json", endpoint_openapi, false},
    {"GET", "/images/...", endpoint_picture, false},
    {"GET", "/v1/files/...", endpoint_file, false},
    {"POST", "/tokenize", endpoint_tokenize, false},
    {"POST", "/detokenize", endpoint_detokenize, false},
};
enum { N_ROUTES = sizeof routes / sizeof routes[0] };

/* What needs no key, beside what answers always: links to pictures carry a secret of their own. */
static const char *const open_paths[] = {"/images/..."};
enum { N_OPEN = sizeof open_paths / sizeof open_paths[0] };

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

/* malloc'ed; slashes at the end do not count. */
static char *plain_path(const char *path)
{
    char *copy = xstrdup(path);
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/';)
        copy[--n] = 0;
    return copy;
}

int route_find(const char *method, const char *path)
{
    char *plain = plain_path(path);
    int found = -1;
    for (int i = 0; i < N_ROUTES; i++) {
        if (!match(&routes[i], plain))
            continue;
        bool same = same_method(&routes[i], method);
        found = found < 0 || same ? i : found;
        if (same)
            break;
    }
    free(plain);
    return found;
}

bool route_takes(const char *method, const char *path)
{
    int route = route_find(method, path);
    return route >= 0 && same_method(&routes[route], method);
}

int route_count(void)
{
    return N_ROUTES;
}

const char *route_path(int route)
{
    return routes[route].path;
}

bool route_is_open(const struct exchange *x)
{
    if (strcmp(x->method, "OPTIONS") == 0)
        return true;
    if (x->route < 0 || !same_method(&routes[x->route], x->method))
        return false;
    const struct route *r = &routes[x->route];
    bool open = r->always;
    for (int i = 0; i < N_OPEN; i++)
        open |= strcmp(r->path, open_paths[i]) == 0;
    return r->run == endpoint_metrics ? x->server->options.metrics_open : open;
}

void route_run(struct exchange *x)
{
    char *path = plain_path(x->path);
    const char *known = NULL;
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
