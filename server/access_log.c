#include "server/access_log.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/keys.h"
#include "server/meter.h"
#include "server/metrics.h"
#include "server/state.h"

#include <stdio.h>
#include <string.h>

enum { MOST_FIELDS = 16, MOST_PATH = 200, MOST_BODY = 16000 };

struct line {
    struct log_field field[MOST_FIELDS];
    size_t n;
};

static void add_text(struct line *l, const char *name, const char *text)
{
    l->field[l->n++] = (struct log_field){.name = name, .text = text};
}

static void add_number(struct line *l, const char *name, int64_t number)
{
    l->field[l->n++] = (struct log_field){.name = name, .number = number};
}

/* Milliseconds; nothing for what did not happen. */
static void add_time(struct line *l, const char *name, int64_t ns)
{
    if (ns >= 0)
        add_number(l, name, ns / 1000000);
}

static void add_work(struct line *l, const struct meter_totals *t)
{
    add_number(l, "prompt_tokens", t->prompt_tokens);
    add_number(l, "cached_tokens", t->cached_tokens);
    add_number(l, "text_tokens", t->text_tokens);
    add_number(l, "picture_tokens", t->picture_tokens);
    add_number(l, "pictures", t->pictures);
    add_time(l, "queue_ms", t->queue_ns);
    add_time(l, "ttft_ms", t->first_ns);
}

/* Probes come every few seconds and say nothing while all is well. */
static bool is_probe(const struct exchange *x)
{
    return strncmp(x->path, "/health", 7) == 0 || strcmp(x->path, "/metrics") == 0;
}

void access_log(const struct exchange *x, int status)
{
    char path[MOST_PATH + 1];
    struct line l = {.n = 0};
    struct meter_totals totals;
    int64_t spent = clock_ns() - x->started_ns;
    metrics_reply(x->server->metrics, x->route, status);
    if (x->meter) {
        meter_read(x->meter, &totals);
        if (totals.prompt_tokens > 0)
            metrics_time(x->server->metrics, TIMING_WHOLE, spent);
    }
    /* the name of a kept picture opens it without a key */
    bool secret = strncmp(x->path, "/images/", 8) == 0;
    snprintf(path, sizeof path, "%s", secret ? "/images/..." : x->path);
    add_text(&l, "id", x->request_id);
    add_text(&l, "method", x->method);
    add_text(&l, "path", path);
    add_number(&l, "status", status);
    add_time(&l, "ms", spent);
    if (x->key)
        add_text(&l, "key", api_key_name(x->key));
    if (x->meter)
        add_work(&l, &totals);
    log_fields(is_probe(x) && status < 400 ? LOG_DEBUG : LOG_INFO, "request", l.field, l.n);
}

void access_log_body(const struct exchange *x)
{
    char body[MOST_BODY + 1];
    struct line l = {.n = 0};
    if (!x->server->options.log_prompts || x->body.length == 0 || !log_wants(LOG_INFO))
        return;
    snprintf(body, sizeof body, "%.*s", (int)(x->body.length < MOST_BODY ? x->body.length : MOST_BODY),
             x->body.data);
    add_text(&l, "id", x->request_id);
    add_text(&l, "body", body);
    log_fields(LOG_INFO, "body", l.field, l.n);
}
