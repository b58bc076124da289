/* vargpt serve: the server, from binding the port to the last reply. */
#include "cli/cli.h"

#include "base/log.h"
#include "base/memory.h"
#include "server/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void stop_at_once(int signal_number)
{
    (void)signal_number;
    _exit(EXIT_FAILED);
}

static void stop_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

/* Blocked before any thread starts, so that none but this one ever sees them. */
static void block_signals(void)
{
    sigset_t set;
    stop_signals(&set);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* For reading the settings again. */
struct command_line {
    int argc;
    char **argv;
};

static struct key_options key_settings(const struct config *c)
{
    return (struct key_options){.file = c->api_key_file,
                                .list = c->api_keys,
                                .requests_per_minute = c->key_requests,
                                .tokens_per_minute = c->key_tokens};
}

/* What the operator may change while the server runs: keys, their limits, the certificate, the log. */
static void reload(const struct command_line *line, struct server *server)
{
    struct config config;
    struct error err = {0};
    if (config_read(&config, COMMAND_SERVE, line->argc, line->argv, &err)) {
        log_error("SIGHUP: the settings are wrong, nothing is changed: %s", err.message);
        return;
    }
    struct key_options keys = key_settings(&config);
    log_set_level((enum log_level)config.log_level);
    log_set_format((enum log_format)config.log_format);
    if (server_reload_keys(server, &keys, &err))
        log_error("SIGHUP: the old API keys stay: %s", err.message);
    if (server_reload_tls(server, config.tls_cert, config.tls_key, &err))
        log_error("SIGHUP: the old TLS certificate stays: %s", err.message);
    if (err.status == STATUS_OK)
        log_info("SIGHUP: keys, the TLS certificate and the settings of the log read again");
    config_release(&config);
}

/* False: the device was lost, and no request can succeed any more. */
static bool wait_for_stop_signal(const struct command_line *line, struct server *server)
{
    const struct timespec second = {.tv_sec = 1};
    sigset_t set;
    stop_signals(&set);
    sigaddset(&set, SIGHUP);
    for (;;) {
        int number = sigtimedwait(&set, NULL, &second);
        if (server_has_lost_device(server))
            return false;
        if (number == SIGHUP)
            reload(line, server);
        if (number != SIGINT && number != SIGTERM)
            continue;
        log_info("%s: finishing the replies under way", number == SIGINT ? "interrupted" : "asked to stop");
        return true;
    }
}

/* From here on a signal ends the program at once. */
static void stop_at_next_signal(void)
{
    sigset_t set;
    stop_signals(&set);
    struct sigaction action = {.sa_handler = stop_at_once};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* Loading cannot be given up half-way, and nothing was promised to anyone yet. */
static void on_progress(void *context, double fraction)
{
    struct server *server = context;
    sigset_t pending;
    server_set_progress(server, fraction);
    sigpending(&pending);
    if (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM))
        _exit(EXIT_DONE);
}

static char *server_address(const struct config *c, int port)
{
    const char *scheme = c->tls_cert ? "https" : "http";
    bool v6 = strchr(c->host, ':') != NULL;
    if (strncmp(c->host, "unix:", 5) == 0)
        return xstrdup(c->host);
    return xasprintf("%s://%s%s%s:%d", scheme, v6 ? "[" : "", c->host, v6 ? "]" : "", port);
}

/* A first request to paste: in words, and, of a model that draws, for a link to a picture. */
static void print_requests(const struct config *c, const struct cli_engine *e, const char *address)
{
    bool path = strncmp(address, "unix:", 5) == 0;
    char *curl = xasprintf("curl %s%s%s", path ? "--unix-socket " : "", path ? address + 5 : "",
                           path ? " http://localhost" : address);
    const char *headers = c->api_keys || c->api_key_file
                              ? "-H 'Content-Type: application/json' -H 'Authorization: Bearer KEY'"
                              : "-H 'Content-Type: application/json'";
    printf(
        "try: %s/v1/chat/completions %s -d '{\"messages\": [{\"role\": \"user\", \"content\": \"%s\"}]}'\n",
        curl, headers, engine_picture_tokens(e->engine) ? "What can you do?" : "Hello");
    if (engine_picture_tokens(e->engine))
        printf("draw: %s/v1/images/generations %s "
               "-d '{\"prompt\": \"a butterfly on a flower\", \"size\": \"512x512\", "
               "\"response_format\": \"url\"}'\n",
               curl, headers);
    if (!path)
        printf("or open %s in a browser\n", address);
    free(curl);
}

static void print_welcome(const struct config *c, const struct cli_engine *e, int port)
{
    char device[128], *address = server_address(c, port);
    const char *model = c->model_name ? c->model_name : engine_config(e->engine)->name;
    struct engine_memory memory = engine_memory(e->engine);
    cli_describe_backend(e->backend, device, sizeof device);
    log_info(
        "%s on %s: weights %.1f MiB, cache %.1f MiB (%d pages of %d tokens, %zu KiB each, %s), work %.1f MiB",
        model, device, (double)memory.weights / 1048576, (double)memory.cache / 1048576, memory.cache_pages,
        PAGE_TOKENS, memory.cache_page >> 10, dtype_name(memory.cache_type), (double)memory.work / 1048576);
    log_info("threads by %s; cache %s; %.1f MiB of memory were available (%s), weights included",
             cli_describe_threads(c), memory.cache_rule, (double)memory.available / 1048576, memory.limit);
    printf("listening on %s\n", address);
    print_requests(c, e, address);
    fflush(stdout);
    free(address);
}

static enum status serve(const struct command_line *line, const struct config *c, struct cli_engine *e,
                         struct server **server, struct error *err)
{
    struct server_options options = {
        .host = c->host,
        .port = c->port,
        .model_name = c->model_name,
        .max_connections = c->max_connections,
        .max_body_bytes = (size_t)c->max_body,
        .max_pictures = c->max_pictures,
        .max_choices = c->max_choices,
        .public_url = c->public_url,
        .kept_pictures = c->kept_pictures,
        .kept_seconds = c->kept_seconds,
        .kept_bytes = (size_t)c->kept_bytes,
        .fetch_hosts = c->fetch_hosts,
        .fetch_seconds = c->fetch_seconds,
        .drain_seconds = c->drain_seconds,
        .drain_delay = c->drain_delay,
        .stuck_seconds = c->stuck_seconds,
        .request_timeout = c->request_timeout,
        .keys = key_settings(c),
        .metrics_open = c->metrics_open,
        .log_prompts = c->log_prompts,
        .cors_origins = c->cors_origins,
        .tls_cert = c->tls_cert,
        .tls_key = c->tls_key,
    };
    enum status status = server_open(server, &options, err);
    if (status != STATUS_OK)
        return status;
    char *address = server_address(c, server_port(*server));
    log_info("%s answers; loading %s", address, c->model);
    free(address);
    status = cli_open_engine(e, c, on_progress, *server, err);
    if (status != STATUS_OK)
        return status;
    server_attach(*server, e->engine);
    print_welcome(c, e, server_port(*server));
    bool asked = wait_for_stop_signal(line, *server);
    stop_at_next_signal();
    return asked ? STATUS_OK
                 : error_set(err, STATUS_DEVICE,
                             "the device was lost: whatever started this program must start it again");
}

int serve_main(int argc, char **argv)
{
    struct config config;
    struct error err = {0};
    struct cli_engine e = {0};
    struct server *server = NULL;
    int code;
    if (!cli_begin(&config, COMMAND_SERVE, argc, argv, &code))
        return code;
    struct command_line line = {argc, argv};
    log_set_format((enum log_format)config.log_format);
    block_signals();
    signal(SIGPIPE, SIG_IGN);
    code = serve(&line, &config, &e, &server, &err) == STATUS_OK ? EXIT_DONE : cli_fail(&err);
    server_close(server);
    cli_close_engine(&e);
    config_release(&config);
    return code;
}
