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
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void wait_for_stop_signal(void)
{
    sigset_t set;
    int number = 0;
    stop_signals(&set);
    sigwait(&set, &number);
    log_info("%s: finishing the replies under way", number == SIGINT ? "interrupted" : "asked to stop");
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
    bool v6 = strchr(c->host, ':') != NULL;
    return xasprintf("http://%s%s%s:%d", v6 ? "[" : "", c->host, v6 ? "]" : "", port);
}

static void print_welcome(const struct config *c, const struct cli_engine *e, int port)
{
    char device[64], *address = server_address(c, port);
    const char *model = c->model_name ? c->model_name : engine_config(e->engine)->name;
    struct engine_memory memory = engine_memory(e->engine);
    cli_describe_backend(e->backend, device, sizeof device);
    log_info(
        "%s on %s: weights %.1f MiB, cache %.1f MiB (%d pages of %d tokens, %zu KiB each, %s), work %.1f MiB",
        model, device, (double)memory.weights / 1048576, (double)memory.cache / 1048576, memory.cache_pages,
        PAGE_TOKENS, memory.cache_page >> 10, dtype_name(memory.cache_type), (double)memory.work / 1048576);
    log_info("threads by %s; cache %s; %.1f MiB of memory were available (%s), weights included",
             cli_describe_threads(c),
             memory.cache_was_given ? "by --cache" : "at most half of what the weights leave",
             (double)memory.available / 1048576, memory.limit);
    printf("listening on %s\n"
           "try: curl %s/v1/chat/completions -H 'Content-Type: application/json' -d "
           "'{\"model\": \"%s\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'\n",
           address, address, model);
    fflush(stdout);
    free(address);
}

static enum status serve(const struct config *c, struct cli_engine *e, struct server **server,
                         struct error *err)
{
    struct server_options options = {
        .host = c->host,
        .port = c->port,
        .model_name = c->model_name,
        .max_connections = c->max_connections,
        .max_body_bytes = (size_t)c->max_body,
        .max_pictures = c->max_pictures,
        .max_choices = c->max_choices,
        .drain_seconds = c->drain_seconds,
    };
    enum status status = server_open(server, &options, err);
    if (status != STATUS_OK)
        return status;
    log_info("port %d answers; loading %s", server_port(*server), c->model);
    status = cli_open_engine(e, c, on_progress, *server, err);
    if (status != STATUS_OK)
        return status;
    server_attach(*server, e->engine);
    print_welcome(c, e, server_port(*server));
    wait_for_stop_signal();
    stop_at_next_signal();
    return STATUS_OK;
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
    block_signals();
    signal(SIGPIPE, SIG_IGN);
    code = serve(&config, &e, &server, &err) == STATUS_OK ? EXIT_DONE : cli_fail(&err);
    server_close(server);
    cli_close_engine(&e);
    config_release(&config);
    return code;
}
