/* The server over the stand-in engine, for tests of the HTTP side:
 *     fake_server [host=H] [port=N] [running=N] [body=BYTES] [connections=N] [drain=N] [loading=SECONDS]
 * [model=NAME] [slots=N] [stuck=1] [lost=1] [keys=K,K] [keyfile=FILE] [requests=N] [tokens=N] [metrics=1]
 * [cors=ORIGINS] [cert=FILE tls_key=FILE] [timeout=SECONDS] [delay=SECONDS] [logformat=json] [prompts=1]
 * [public_url=URL] [kept_pictures=N] [kept_seconds=N] [kept_bytes=N] [fetch_hosts=PATTERNS]
 * [fetch_seconds=N] [fetch_from_private=1].
 * SIGHUP reads keys and the certificate again. Prints its port, and ends at SIGTERM or SIGINT. */
#include "base/log.h"
#include "server/server.h"
#include "tests/server/fake_engine.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *option(int argc, char **argv, const char *name, const char *value)
{
    size_t n = strlen(name);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=')
            value = argv[i] + n + 1;
    return value;
}

static int number(int argc, char **argv, const char *name, int value)
{
    const char *text = option(argc, argv, name, NULL);
    return text ? (int)strtol(text, NULL, 10) : value;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct server *server = NULL;
    struct server_options options = {
        .host = option(argc, argv, "host", "127.0.0.1"),
        .port = number(argc, argv, "port", 0),
        .model_name = option(argc, argv, "model", NULL),
        .max_connections = number(argc, argv, "connections", 0),
        .max_body_bytes = (size_t)number(argc, argv, "body", 0),
        .public_url = option(argc, argv, "public_url", NULL),
        .kept_pictures = number(argc, argv, "kept_pictures", 0),
        .kept_seconds = number(argc, argv, "kept_seconds", 0),
        .kept_bytes = (size_t)number(argc, argv, "kept_bytes", 0),
        .fetch_hosts = option(argc, argv, "fetch_hosts", NULL),
        .fetch_seconds = number(argc, argv, "fetch_seconds", 0),
        .fetch_from_private = number(argc, argv, "fetch_from_private", 0),
        .drain_seconds = number(argc, argv, "drain", 2),
        .drain_delay = number(argc, argv, "delay", 0),
        .request_timeout = number(argc, argv, "timeout", 0),
        .keys = {option(argc, argv, "keyfile", NULL), option(argc, argv, "keys", NULL),
                 number(argc, argv, "requests", 0), number(argc, argv, "tokens", 0)},
        .metrics_open = option(argc, argv, "metrics", NULL) != NULL,
        .log_prompts = option(argc, argv, "prompts", NULL) != NULL,
        .cors_origins = option(argc, argv, "cors", NULL),
        .tls_cert = option(argc, argv, "cert", NULL),
        .tls_key = option(argc, argv, "tls_key", NULL)};
    sigset_t stop;
    int signal_number;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    if (option(argc, argv, "logformat", NULL))
        log_set_format(LOG_JSON);
    log_set_level(option(argc, argv, "debug", NULL) ? LOG_DEBUG : LOG_INFO);
    if (server_open(&server, &options, &err)) {
        log_error("%s", err.message);
        return 1;
    }
    printf("%d\n", server_port(server));
    fflush(stdout);
    int loading = number(argc, argv, "loading", 0);
    for (int i = 0; i < loading * 10; i++) {
        server_set_progress(server, i / (loading * 10.0));
        usleep(100000);
    }
    struct fake_options fake = {number(argc, argv, "running", 0), number(argc, argv, "slots", 0),
                                option(argc, argv, "stuck", NULL) != NULL,
                                option(argc, argv, "lost", NULL) != NULL};
    struct engine *engine = fake_engine_open(fake);
    server_attach(server, engine);
    while (sigwait(&stop, &signal_number) == 0 && signal_number == SIGHUP)
        if (server_reload_keys(server, &options.keys, &err) ||
            server_reload_tls(server, options.tls_cert, options.tls_key, &err))
            log_error("%s", err.message);
    server_close(server);
    engine_close(engine);
    return 0;
}
