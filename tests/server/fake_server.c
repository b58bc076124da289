/* The server over the stand-in engine, for tests of the HTTP side:
 *     fake_server [host=H] [port=N] [running=N] [body=BYTES] [connections=N] [drain=N] [loading=SECONDS]
 * [model=NAME] Prints its port, and ends at SIGTERM or SIGINT. */
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
    struct server_options options = {.host = option(argc, argv, "host", "127.0.0.1"),
                                     .port = number(argc, argv, "port", 0),
                                     .model_name = option(argc, argv, "model", NULL),
                                     .max_connections = number(argc, argv, "connections", 0),
                                     .max_body_bytes = (size_t)number(argc, argv, "body", 0),
                                     .drain_seconds = number(argc, argv, "drain", 2)};
    sigset_t stop;
    int signal_number;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
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
    struct engine *engine = fake_engine_open(number(argc, argv, "running", 0));
    server_attach(server, engine);
    sigwait(&stop, &signal_number);
    server_close(server);
    engine_close(engine);
    return 0;
}
