/* /health, and the refusal of everything else while the server cannot work. */
#include "server/endpoints.h"

#include "base/clock.h"
#include "server/state.h"

#include <stdlib.h>

static bool is_stuck(const struct server *server)
{
    struct engine_status s;
    engine_look(server_engine(server), &s);
    return s.stepping && clock_ns() - s.heartbeat_ns > (int64_t)server->options.stuck_seconds * 1000000000;
}

/* How loading stands: seconds left are -1 while nothing can be said. */
struct loading {
    const char *phase;
    double fraction;
    int seconds_left;
};

static struct loading look_at_loading(struct server *server)
{
    double fraction = atomic_load(&server->progress), spent = (double)(clock_ns() - server->opened_ns) * 1e-9;
    struct loading l = {"opening the checkpoint", fraction, -1};
    if (fraction > 0)
        l.phase = fraction < 1 ? "loading weights" : "preparing";
    if (fraction >= 0.01)
        l.seconds_left = (int)(spent / fraction * (1 - fraction) + 0.5);
    return l;
}

static void loading_problem(struct server *server, struct http_error *e)
{
    struct loading l = look_at_loading(server);
    http_error_set(e, PROBLEM_LOADING, NULL, "the model is loading (%s, %d %%); try again soon", l.phase,
                   (int)(l.fraction * 100));
    if (l.seconds_left >= 0)
        e->retry_after = l.seconds_left < 1 ? 1 : l.seconds_left > 60 ? 60 : l.seconds_left;
}

static void add_progress(struct server *server, json_t *json)
{
    struct loading l = look_at_loading(server);
    json_object_set_new(json, "phase", json_string(l.phase));
    json_object_set_new(json, "progress", json_real(l.fraction));
    json_object_set_new(json, "percent", json_integer((int)(l.fraction * 100)));
    json_object_set_new(json, "seconds_left",
                        l.seconds_left < 0 ? json_null() : json_integer(l.seconds_left));
}

/* 503 with the reason; the error beside it, as everywhere. */
static void answer_not_ready(struct exchange *x, const char *status, const struct http_error *e)
{
    size_t length;
    char *body = http_error_body(e, &length);
    json_t *json = json_loadb(body, length, 0, NULL);
    json_object_set_new(json, "status", json_string(status));
    if (e->problem == PROBLEM_LOADING)
        add_progress(x->server, json);
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
    } else if (server_has_lost_device(x->server)) {
        http_error_set(&e, PROBLEM_DEVICE, NULL,
                       "the device that computes has failed for good; the server must be started anew");
        answer_not_ready(x, "device_lost", &e);
    }
    return e.problem != PROBLEM_NONE;
}

void endpoint_health(struct exchange *x, const char *rest)
{
    (void)rest;
    if (refuse_unready(x))
        return;
    struct engine_status s;
    struct http_error e = {0};
    if (atomic_load(&x->server->stopping)) {
        http_error_set(&e, PROBLEM_DRAINING, NULL, "the server is about to shut down");
        answer_not_ready(x, "draining", &e);
        return;
    }
    if (is_stuck(x->server)) {
        http_error_set(&e, PROBLEM_STUCK, NULL, "the engine has made no step for %d seconds",
                       x->server->options.stuck_seconds);
        answer_not_ready(x, "stuck", &e);
        return;
    }
    engine_look(server_engine(x->server), &s);
    exchange_reply_json(x, 200,
                        json_pack("{s:s, s:s, s:i, s:i}", "status", "ok", "model", x->server->model_name,
                                  "running", s.running, "waiting", s.waiting));
}

/* Only what starting anew mends makes it dead. */
void endpoint_live(struct exchange *x, const char *rest)
{
    (void)rest;
    if (server_has_lost_device(x->server)) {
        refuse_unready(x);
        return;
    }
    exchange_reply_json(x, 200, json_pack("{s:s}", "status", "live"));
}
