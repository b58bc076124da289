/* GET /metrics: what the server and its engine have counted, in Prometheus' text format. docs/metrics.md
 * lists it. */
#include "server/endpoints.h"

#include "server/metrics.h"
#include "server/route.h"
#include "server/state.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TEXT = 4 << 20 };

static const char type_text[] = "text/plain; version=0.0.4; charset=utf-8";

static void head(struct buffer *b, const char *name, const char *type, const char *help)
{
    buffer_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(struct buffer *b, const char *name, const char *help, double value)
{
    head(b, name, "gauge", help);
    buffer_printf(b, "%s %.17g\n", name, value);
}

static void counter(struct buffer *b, const char *name, const char *help, uint64_t value)
{
    head(b, name, "counter", help);
    buffer_printf(b, "%s %llu\n", name, (unsigned long long)value);
}

/* A label's value: backslash, quote and line end are escaped. */
static void append_label(struct buffer *b, const char *name, const char *value)
{
    buffer_printf(b, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n')
            buffer_append_text(b, "\\n");
        else if (*value == '"' || *value == '\\')
            buffer_printf(b, "\\%c", *value);
        else
            buffer_append_char(b, *value);
    }
    buffer_append_char(b, '"');
}

/* label: "" or "scale=\"3\",". Buckets are counted up here, not where time matters. */
static void histogram(struct buffer *b, const char *name, const char *label, const struct histogram *h,
                      const double *bound, int n)
{
    uint64_t sum = 0;
    for (int i = 0; i <= n; i++) {
        sum += atomic_load(&h->bucket[i]);
        buffer_printf(b, "%s_bucket{%sle=\"", name, label);
        if (i < n)
            buffer_printf(b, "%g", bound[i]);
        else
            buffer_append_text(b, "+Inf");
        buffer_printf(b, "\"} %llu\n", (unsigned long long)sum);
    }
    const char *open = *label ? "{" : "", *shut = *label ? "}" : "";
    int inner = *label ? (int)strlen(label) - 1 : 0; /* without the comma */
    buffer_printf(b, "%s_sum%s%.*s%s %.9f\n", name, open, inner, label, shut,
                  (double)atomic_load(&h->sum_ns) * 1e-9);
    buffer_printf(b, "%s_count%s%.*s%s %llu\n", name, open, inner, label, shut, (unsigned long long)sum);
}

static void append_timings(struct buffer *b, const struct metrics *m)
{
    static const struct {
        const char *name, *help;
    } texts[N_TIMINGS] = {
        [TIMING_FIRST] = {"vargpt_time_to_first_token_seconds",
                          "From a call's arrival to its first token or scale."},
        [TIMING_NEXT] = {"vargpt_inter_token_seconds",
                         "From a text token to the next one of the same reply."},
        [TIMING_QUEUE] = {"vargpt_queue_seconds", "In the engine's queue."},
        [TIMING_WHOLE] = {"vargpt_request_seconds", "From a call's arrival to the end of its answer."},
        [TIMING_FREE] = {"vargpt_cancel_to_free_seconds",
                         "From giving a request up to the engine's having let go."},
    };
    int n;
    for (int t = 0; t < N_TIMINGS; t++) {
        const double *bound = metrics_bounds((enum timing)t, &n);
        head(b, texts[t].name, "histogram", texts[t].help);
        histogram(b, texts[t].name, "", &m->timing[t], bound, n);
    }
    const double *bound = metrics_scale_bounds(&n);
    head(b, "vargpt_scale_seconds", "histogram", "From a picture's scale to the next, by the scale drawn.");
    for (int i = 0; i < METRIC_SCALES; i++) {
        char label[32];
        if (atomic_load(&m->scale[i].sum_ns) == 0)
            continue;
        snprintf(label, sizeof label, "scale=\"%d\",", i);
        histogram(b, "vargpt_scale_seconds", label, &m->scale[i], bound, n);
    }
}

static void append_replies(struct buffer *b, const struct metrics *m)
{
    static const char name[] = "vargpt_http_requests_total";
    head(b, name, "counter", "Answers by path and status; 499: the client left first.");
    for (int row = 0; row <= m->n_routes; row++) {
        for (int i = 0; metrics_status(i); i++) {
            uint64_t count = atomic_load(&m->replies[row * METRIC_STATUSES + i]);
            if (count == 0)
                continue;
            buffer_printf(b, "%s{", name);
            append_label(b, "path", row < m->n_routes ? route_path(row) : "other");
            buffer_printf(b, ",status=\"%d\"} %llu\n", metrics_status(i), (unsigned long long)count);
        }
    }
}

static void append_counts(struct buffer *b, const struct metrics *m)
{
    gauge(b, "vargpt_connections", "Open connections.", atomic_load(&m->connections));
    counter(b, "vargpt_connections_accepted_total", "Connections taken so far.", atomic_load(&m->accepted));
    counter(b, "vargpt_prompt_tokens_total", "Tokens of prompts, picture rows included.",
            atomic_load(&m->prompt_tokens));
    counter(b, "vargpt_cached_tokens_total", "Of them, found in the prefix cache.",
            atomic_load(&m->cached_tokens));
    counter(b, "vargpt_text_tokens_total", "Text tokens chosen.", atomic_load(&m->text_tokens));
    counter(b, "vargpt_picture_tokens_total", "Image codes drawn.", atomic_load(&m->picture_tokens));
    counter(b, "vargpt_pictures_total", "Pictures drawn.", atomic_load(&m->pictures));
    static const char ends[] = "vargpt_requests_ended_total";
    head(b, ends, "counter", "Requests of the engine by how they ended; a call has one for each choice.");
    buffer_printf(b, "%s{end=\"done\"} %llu\n%s{end=\"failed\"} %llu\n%s{end=\"cancelled\"} %llu\n", ends,
                  (unsigned long long)atomic_load(&m->done), ends,
                  (unsigned long long)atomic_load(&m->failed), ends,
                  (unsigned long long)atomic_load(&m->cancelled));
}

static void append_engine(struct buffer *b, const struct engine_status *s)
{
    static const char rows[] = "vargpt_rows_total";
    gauge(b, "vargpt_requests_running", "Requests being computed.", s->running);
    gauge(b, "vargpt_requests_waiting", "Requests in the queue.", s->waiting);
    gauge(b, "vargpt_pages", "Pages of the key/value cache.", s->pages);
    gauge(b, "vargpt_pages_used", "Pages held by requests.", s->pages_used);
    gauge(b, "vargpt_pages_cached", "Pages held by nobody, kept for prompts that begin alike.",
          s->pages_cached);
    counter(b, "vargpt_steps_total", "Forward passes of the language model.", s->steps);
    counter(b, "vargpt_interludes_total", "Passes of chats alone, between the layers of longer ones.",
            s->interludes);
    gauge(b, "vargpt_text_step_seconds", "A pass of nothing but chats' next tokens, smoothed.",
          (double)s->token_step_ns * 1e-9);
    gauge(b, "vargpt_longest_unit_seconds",
          "So far the longest piece of work that chats could not come in between.",
          (double)s->longest_unit_ns * 1e-9);
    gauge(b, "vargpt_longest_token_wait_seconds", "So far the longest that a chat waited for its next token.",
          (double)s->longest_wait_ns * 1e-9);
    counter(b, "vargpt_preemptions_total", "Requests that gave their pages back and were computed again.",
            s->preemptions);
    head(b, rows, "counter", "Rows of the language model's passes by kind.");
    buffer_printf(b, "%s{kind=\"text\"} %llu\n%s{kind=\"image\"} %llu\n%s{kind=\"prefill\"} %llu\n", rows,
                  (unsigned long long)s->text_rows, rows, (unsigned long long)s->image_rows, rows,
                  (unsigned long long)s->prefill_rows);
    counter(b, "vargpt_prefix_query_tokens_total", "Prompt tokens looked up in the prefix cache.",
            s->prompt_tokens);
    counter(b, "vargpt_prefix_hit_tokens_total", "Of them, found there.", s->cached_tokens);
    counter(b, "vargpt_pictures_seen_total", "Pictures of prompts.", s->pictures_seen);
    counter(b, "vargpt_pictures_remembered_total", "Of them, found in the cache.", s->pictures_remembered);
}

/* The names by which a Kubernetes gateway's endpoint picker knows a model server: vLLM's. */
static void append_gateway(struct buffer *b, const struct server *server, const struct engine_status *s)
{
    double usage = s->pages > 0 ? (double)s->pages_used / s->pages : 0;
    const struct {
        const char *name, *help;
        double value;
    } gauges[] = {
        {"vllm:num_requests_running", "As vargpt_requests_running.", s->running},
        {"vllm:num_requests_waiting", "As vargpt_requests_waiting.", s->waiting},
        {"vllm:kv_cache_usage_perc", "Part of the key/value pages that requests hold, 0 to 1.", usage},
        {"vllm:gpu_cache_usage_perc", "The same under its older name.", usage},
    };
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++) {
        head(b, gauges[i].name, "gauge", gauges[i].help);
        buffer_printf(b, "%s{", gauges[i].name);
        append_label(b, "model_name", server->model_name);
        buffer_printf(b, "} %.17g\n", gauges[i].value);
    }
    head(b, "vllm:cache_config_info", "gauge", "Size and number of the key/value pages.");
    buffer_printf(b, "vllm:cache_config_info{block_size=\"%d\",num_gpu_blocks=\"%d\"} 1\n", s->page_tokens,
                  s->pages);
}

/* Resident memory in bytes; 0 where the system does not tell. */
static double resident_bytes(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%*d %lld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void append_process(struct buffer *b, const struct server *server)
{
    static const char build[] = "vargpt_build_info";
    head(b, build, "gauge", "This program and its model.");
    buffer_printf(b, "%s{", build);
    append_label(b, "version", VARGPT_VERSION);
    buffer_append_char(b, ',');
    append_label(b, "model", server_engine(server) ? server->model_name : "");
    buffer_append_char(b, ',');
    append_label(b, "fingerprint", server_engine(server) ? server->fingerprint : "");
    buffer_append_text(b, "} 1\n");
    gauge(b, "vargpt_ready", "1 while requests are taken.",
          server_engine(server) && !atomic_load(&server->stopping) && !server_has_lost_device(server));
    gauge(b, "vargpt_loading_progress", "How much of the model is loaded, 0 to 1.",
          atomic_load(&server->progress));
    gauge(b, "process_resident_memory_bytes", "Resident memory.", resident_bytes());
    gauge(b, "process_start_time_seconds", "When the server began, in seconds since 1970.",
          (double)server->metrics->started_unix);
}

void endpoint_metrics(struct exchange *x, const char *rest)
{
    struct buffer b;
    struct engine_status status = {0};
    size_t length;
    (void)rest;
    buffer_init(&b, MAX_TEXT);
    append_process(&b, x->server);
    append_counts(&b, x->server->metrics);
    append_timings(&b, x->server->metrics);
    append_replies(&b, x->server->metrics);
    if (server_engine(x->server)) {
        engine_look(server_engine(x->server), &status);
        append_engine(&b, &status);
        append_gateway(&b, x->server, &status);
    }
    char *text = buffer_take(&b, &length);
    if (text) {
        exchange_reply_text(x, 200, type_text, text, length);
    } else {
        struct http_error e = {0};
        http_error_set(&e, PROBLEM_MEMORY, NULL, "no memory for the metrics");
        exchange_fail(x, &e);
    }
    buffer_release(&b);
}
