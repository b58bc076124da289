/* /health, and the refusal of everything else while the server cannot work. */
#include "server/endpoints.h"

#include "base/clock.h"
#include "server/state.h"

#include <stdlib.h>

/* A step of a large model on a small machine takes long; nothing takes that long. */
enum { STUCK_SECONDS = 300 };

static bool is_stuck(struct engine *engine)
{
    struct engine_status s;
    engine_look(engine, &s);
    return s.stepping && clock_ns() - s.heartbeat_ns > (int64_t)STUCK_SECONDS * 1000000000;
}

static void loading_problem(struct server *server, struct http_error *e)
{
    http_error_set(e, PROBLEM_LOADING, NULL, "the model is loading (%d %%); try again soon",
                   (int)(atomic_load(&server->progress) * 100));
}

/* 503 with the reason; the error beside it, as everywhere. */
static void answer_not_ready(struct exchange *x, const char *status, const struct http_error *e)
{
    size_t length;
    char *body = http_error_body(e, &length);
    json_t *json = json_loadb(body, length, 0, NULL);
    json_object_set_new(json, "status", json_string(status));
    json_object_set_new(json, "progress", json_real(atomic_load(&x->server->progress)));
    exchange_fail(x, e);
    free(body);
    exchange_reply_json(x, http_error_status(e), json);
}

bool refuse_unready(struct exchange *x)
{
    struct http_error e = {0};
    if (atomic_load(&x->server->draining)) {
        http_error_set(&e, PROBLEM_DRAINING, NULL, "the server is shutting down");
        answer_not_ready(x, "draining", &e);
    } else if (!server_engine(x->server)) {
        loading_problem(x->server, &e);
        answer_not_ready(x, "loading", &e);
    }
    return e.problem != PROBLEM_NONE;
}

void endpoint_health(struct exchange *x, const char *rest)
{
    (void)rest;
    if (refuse_unready(x))
        return;
    struct engine *engine = server_engine(x->server);
    struct engine_status s;
    if (is_stuck(engine)) {
        struct http_error e = {0};
        http_error_set(&e, PROBLEM_MEMORY, NULL, "the engine has made no step for %d seconds", STUCK_SECONDS);
        answer_not_ready(x, "stuck", &e);
        return;
    }
    engine_look(engine, &s);
    exchange_reply_json(x, 200,
                        json_pack("{s:s, s:s, s:i, s:i}", "status", "ok", "model", x->server->model_name,
                                  "running", s.running, "waiting", s.waiting));
}

void endpoint_live(struct exchange *x, const char *rest)
{
    (void)rest;
    exchange_reply_json(x, 200, json_pack("{s:s}", "status", "live"));
}
