#include "server/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "server/connection.h"
#include "server/loopback.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DEFAULT_CONNECTIONS = 1200,
    DEFAULT_BODY_BYTES = 64 << 20,
    DEFAULT_PICTURES = 16,
    DEFAULT_CHOICES = 10,
    DEFAULT_DRAIN_SECONDS = 30,
    END_SECONDS = 10, /* for the rest, once draining is over */
    BODY_TIMES = 8,   /* bodies of the largest size that may be held at once */
    DECODERS = 4,     /* pictures being decoded at once */
    BACKLOG = 512,
    SPARE_FILES = 64,
};
static const size_t pixel_budget = (size_t)1 << 30; /* bytes of decoded pictures of all requests */

bool budget_take(struct budget *b, size_t bytes)
{
    size_t used = atomic_load(&b->used);
    do {
        if (bytes > b->maximum || used > b->maximum - bytes)
            return false;
    } while (!atomic_compare_exchange_weak(&b->used, &used, used + bytes));
    return true;
}

void budget_give(struct budget *b, size_t bytes)
{
    atomic_fetch_sub(&b->used, bytes);
}

struct engine *server_engine(const struct server *s)
{
    return atomic_load(&s->engine);
}

bool server_is_closing(const struct server *s)
{
    return atomic_load(&s->closing);
}

void server_make_id(char out[SERVER_ID_BYTES], const char *prefix)
{
    unsigned char random[16];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        memset(random, 0, sizeof random);
    int n = snprintf(out, SERVER_ID_BYTES, "%s", prefix);
    for (size_t i = 0; i < sizeof random && n + 3 <= SERVER_ID_BYTES; i++, n += 2)
        snprintf(out + n, 3, "%02x", random[i]);
}

static void set_options(struct server *s, const struct server_options *o)
{
    bool any_name = o->model_name && strcmp(o->model_name, "*") == 0;
    s->options = *o;
    s->options.host = xstrdup(o->host ? o->host : "127.0.0.1");
    s->options.model_name = xstrdup(any_name ? "" : o->model_name ? o->model_name : "?");
    s->options.max_connections = o->max_connections ? o->max_connections : DEFAULT_CONNECTIONS;
    s->options.max_body_bytes = o->max_body_bytes ? o->max_body_bytes : DEFAULT_BODY_BYTES;
    s->options.max_pictures = o->max_pictures ? o->max_pictures : DEFAULT_PICTURES;
    s->options.max_choices = o->max_choices ? o->max_choices : DEFAULT_CHOICES;
    s->options.drain_seconds = o->drain_seconds ? o->drain_seconds : DEFAULT_DRAIN_SECONDS;
    if (o->model_name && !any_name)
        s->model_name = xstrdup(o->model_name);
}

/* A connection and a reply take a descriptor each. */
static void raise_file_limit(int connections)
{
    struct rlimit limit;
    rlim_t wanted = 2 * (rlim_t)connections + SPARE_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < wanted)
        log_warning("the limit of open files is too low for %d connections", connections);
}

static int bind_to(const struct addrinfo *a)
{
    int on = 1, fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    close(fd);
    return -1;
}

static int port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
    socklen_t size = sizeof address;
    if (getsockname(fd, &address.any, &size))
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static enum status open_socket(struct server *s, int *fd, struct error *err)
{
    char port[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *list = NULL;
    snprintf(port, sizeof port, "%d", s->options.port);
    if (s->options.port < 0 || s->options.port > 65535)
        return error_set(err, STATUS_BAD_REQUEST, "port %d is not one from 0 to 65535", s->options.port);
    int wrong = getaddrinfo(s->options.host, port, &hints, &list);
    if (wrong)
        return error_set(err, STATUS_BAD_REQUEST, "cannot find the address '%.100s': %s", s->options.host,
                         gai_strerror(wrong));
    *fd = -1;
    for (const struct addrinfo *a = list; a && *fd < 0; a = a->ai_next)
        *fd = bind_to(a);
    int reason = errno;
    freeaddrinfo(list);
    if (*fd < 0)
        return error_set(err, STATUS_BAD_REQUEST, "cannot listen on %.100s port %d: %s", s->options.host,
                         s->options.port, strerror(reason));
    s->port = port_of(*fd);
    return STATUS_OK;
}

static void server_free(struct server *s)
{
    sem_destroy(&s->decoders);
    free((char *)s->options.host);
    free((char *)s->options.model_name);
    free(s->model_name);
    free(s);
}

enum status server_open(struct server **out, const struct server_options *options, struct error *err)
{
    struct server *s = xcalloc(1, sizeof *s);
    int fd;
    set_options(s, options);
    s->created = clock_unix();
    s->loopback = loopback_address(s->options.host);
    s->pixels.maximum = pixel_budget;
    s->bodies.maximum = BODY_TIMES * s->options.max_body_bytes;
    sem_init(&s->decoders, 0, DECODERS);
    raise_file_limit(s->options.max_connections);
    if (open_socket(s, &fd, err))
        goto fail;
    s->daemon = connection_listen(s, fd);
    if (!s->daemon) {
        close(fd);
        error_set(err, STATUS_NO_MEMORY, "cannot start the HTTP server");
        goto fail;
    }
    *out = s;
    return STATUS_OK;
fail:
    server_free(s);
    return err->status;
}

int server_port(const struct server *s)
{
    return s->port;
}

void server_set_progress(struct server *s, double fraction)
{
    atomic_store(&s->progress, fraction < 0 ? 0 : fraction > 1 ? 1 : fraction);
}

/* Names the build and the model. */
static void make_fingerprint(struct server *s, const struct model_config *c)
{
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    const int sizes[] = {(int)c->kind, c->llm.hidden, c->llm.layers,
                         c->llm.vocab, c->llm.heads,  c->drawing.n_scales};
    sha256_init(&hash);
    sha256_add(&hash, c->name, strlen(c->name));
    sha256_add(&hash, sizes, sizeof sizes);
    sha256_finish(&hash, digest);
    snprintf(s->fingerprint, sizeof s->fingerprint, "vargpt-%s-%02x%02x%02x%02x", VARGPT_VERSION, digest[0],
             digest[1], digest[2], digest[3]);
}

void server_attach(struct server *s, struct engine *engine)
{
    const struct model_config *config = engine_config(engine);
    if (!s->model_name)
        s->model_name = xstrdup(config->name);
    make_fingerprint(s, config);
    server_set_progress(s, 1);
    atomic_store(&s->engine, engine);
}

static void wait_for_work(struct server *s, int seconds)
{
    int64_t end = clock_ns() + (int64_t)seconds * 1000000000;
    while (atomic_load(&s->working) > 0 && clock_ns() < end)
        usleep(20000);
}

void server_close(struct server *s)
{
    if (!s)
        return;
    atomic_store(&s->draining, true);
    wait_for_work(s, s->options.drain_seconds);
    atomic_store(&s->closing, true);
    wait_for_work(s, END_SECONDS);
    MHD_stop_daemon(s->daemon);
    server_free(s);
}
