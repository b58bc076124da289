#include "server/access.h"

#include "base/clock.h"
#include "server/keys.h"
#include "server/route.h"
#include "server/state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SECONDS = 86400 };

static void check_key(struct exchange *x, const char *authorization, struct http_error *e)
{
    x->key = key_ring_find(x->server->keys, authorization);
    if (x->key || route_is_open(x))
        return;
    http_error_set(
        e, PROBLEM_KEY, NULL,
        authorization ? "this API key is not known here: check it, and send it as 'Authorization: Bearer KEY'"
                      : "an API key is needed: send it as 'Authorization: Bearer KEY'");
}

/* What costs nothing is not counted: reading lists, metrics, health. */
static void check_rate(struct exchange *x, struct http_error *e)
{
    double wait;
    const char *limit;
    if (!x->key || strcmp(x->method, "POST") != 0 || api_key_admit(x->key, &wait, &limit))
        return;
    http_error_set(e, PROBLEM_BUSY, NULL, "this key's limit of %s a minute is reached; try again in %.0f s",
                   limit, ceil(wait));
    e->retry_after = http_retry_seconds(wait);
}

static void set_deadline(struct exchange *x, const char *timeout, struct http_error *e)
{
    double seconds = x->server->options.request_timeout;
    if (timeout) {
        char *end;
        double own = strtod(timeout, &end);
        bool good = timeout[strspn(timeout, "0123456789.")] == 0 && *timeout && *end == 0 && own > 0;
        if (!good || own > MOST_SECONDS) {
            http_error_set(e, PROBLEM_INVALID, "x-request-timeout", "must be a number of seconds up to %d",
                           (int)MOST_SECONDS);
            return;
        }
        seconds = seconds > 0 && seconds < own ? seconds : own;
    }
    if (seconds > 0)
        x->deadline_ns = x->started_ns + (int64_t)(seconds * 1e9);
}

void access_check(struct exchange *x, const char *authorization, const char *timeout, struct http_error *e)
{
    if (key_ring_is_locked(x->server->keys)) {
        check_key(x, authorization, e);
        if (e->problem == PROBLEM_NONE)
            check_rate(x, e);
    }
    set_deadline(x, timeout, e);
}
