#include "server/server.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "server/connection.h"
#include "server/keys.h"
#include "server/listen.h"
#include "server/loopback.h"
#include "server/metrics.h"
#include "server/picture_store.h"
#include "server/route.h"
#include "server/tls.h"

#include <curl/curl.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    DEFAULT_CONNECTIONS = 1200,
    DEFAULT_BODY_BYTES = 64 << 20,
    DEFAULT_PICTURES = 16,
    DEFAULT_CHOICES = 10,
    DEFAULT_DRAIN_SECONDS = 30,
    DEFAULT_STUCK_SECONDS = 60,
    MOST_QUEUE_SECONDS = 60,
    END_SECONDS = 10, /* for the rest, once draining is over */
    BODY_TIMES = 8,   /* bodies of the largest size that may be held at once */
    DECODERS = 4,     /* pictures being decoded at once */
    FETCHERS = 8,     /* pictures being fetched at once */
    DEFAULT_KEPT = 256,
    DEFAULT_KEPT_SECONDS = 3600,
    DEFAULT_KEPT_BYTES = 256 << 20,
    DEFAULT_FETCH_SECONDS = 10,
    SPARE_FILES = 64,
    FINGERPRINT_BYTES = 6, /* of the checkpoint's digest */
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

bool server_has_lost_device(const struct server *server)
{
    struct engine_status s = {0};
    if (server_engine(server))
        engine_look(server_engine(server), &s);
    return s.device_lost;
}

int server_queue_seconds(const struct server *s)
{
    struct engine_status status = {0};
    if (server_engine(s))
        engine_look(server_engine(s), &status);
    double seconds = (double)status.waiting * (double)atomic_load(&s->metrics->pace_ns) * 1e-9;
    return seconds < 1 ? 1 : seconds > MOST_QUEUE_SECONDS ? MOST_QUEUE_SECONDS : (int)(seconds + 0.5);
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

/* An URL's last slash is left out: paths begin with one. */
static void set_picture_options(struct server *s, const struct server_options *o)
{
    size_t n = o->public_url ? strlen(o->public_url) : 0;
    while (n > 0 && o->public_url[n - 1] == '/')
        n--;
    s->options.public_url = n ? xstrndup(o->public_url, n) : NULL;
    s->options.kept_pictures = o->kept_pictures ? o->kept_pictures : DEFAULT_KEPT;
    s->options.kept_seconds = o->kept_seconds ? o->kept_seconds : DEFAULT_KEPT_SECONDS;
    s->options.kept_bytes = o->kept_bytes ? o->kept_bytes : DEFAULT_KEPT_BYTES;
    s->options.fetch_hosts = o->fetch_hosts && o->fetch_hosts[0] ? xstrdup(o->fetch_hosts) : NULL;
    s->options.fetch_seconds = o->fetch_seconds ? o->fetch_seconds : DEFAULT_FETCH_SECONDS;
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
    set_picture_options(s, o);
    s->options.stuck_seconds = o->stuck_seconds ? o->stuck_seconds : DEFAULT_STUCK_SECONDS;
    s->options.cors_origins = o->cors_origins && *o->cors_origins ? xstrdup(o->cors_origins) : NULL;
    s->options.keys = (struct key_options){0}; /* not kept */
    s->options.tls_cert = s->options.tls_key = NULL;
    s->port = o->port;
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

static void server_free(struct server *s)
{
    sem_destroy(&s->decoders);
    if (s->closing_event >= 0)
        close(s->closing_event);
    sem_destroy(&s->fetchers);
    picture_store_close(s->pictures);
    free((char *)s->options.public_url);
    free((char *)s->options.fetch_hosts);
    key_ring_close(s->keys);
    metrics_drop(s->metrics);
    tls_close(s->tls);
    free((char *)s->options.cors_origins);
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
    s->closing_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sem_init(&s->fetchers, 0, FETCHERS);
    s->pictures =
        picture_store_open(s->options.kept_pictures, s->options.kept_bytes, s->options.kept_seconds);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    s->metrics = metrics_open(route_count());
    s->opened_ns = clock_ns();
    raise_file_limit(s->options.max_connections);
    if (key_ring_open(&s->keys, &options->keys, err) ||
        tls_open(&s->tls, options->tls_cert, options->tls_key, err) ||
        listen_open(s->options.host, &s->port, &fd, err))
        goto fail;
    s->daemon = connection_listen(s, fd);
    if (!s->daemon) {
        close(fd);
        listen_forget(s->options.host);
        error_set(err, STATUS_BAD_REQUEST, "cannot start the HTTP server");
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

/* Names the build and the model: what could make the same request and seed give something else. */
static void make_fingerprint(struct server *s, const struct engine *engine)
{
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    const char *name = engine_config(engine)->name;
    engine_digest(engine, digest);
    sha256_init(&hash);
    sha256_add(&hash, name, strlen(name));
    sha256_add(&hash, digest, sizeof digest);
    sha256_finish(&hash, digest);
    int n = snprintf(s->fingerprint, sizeof s->fingerprint, "vargpt-%s-", VARGPT_VERSION);
    for (int i = 0; i < FINGERPRINT_BYTES; i++, n += 2)
        snprintf(s->fingerprint + n, 3, "%02x", digest[i]);
}

void server_attach(struct server *s, struct engine *engine)
{
    const struct model_config *config = engine_config(engine);
    if (!s->model_name)
        s->model_name = xstrdup(config->name);
    make_fingerprint(s, engine);
    server_set_progress(s, 1);
    atomic_store(&s->engine, engine);
}

enum status server_reload_keys(struct server *s, const struct key_options *options, struct error *err)
{
    return key_ring_reload(s->keys, options, err);
}

enum status server_reload_tls(struct server *s, const char *cert, const char *key, struct error *err)
{
    bool given = (cert && *cert) || (key && *key);
    if (!s->tls)
        return given ? error_set(err, STATUS_BAD_REQUEST, "TLS cannot be taken up while the server runs")
                     : STATUS_OK;
    return tls_reload(s->tls, cert, key, err);
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
    atomic_store(&s->stopping, true);
    if (s->options.drain_delay > 0)
        sleep((unsigned)s->options.drain_delay);
    atomic_store(&s->draining, true);
    wait_for_work(s, s->options.drain_seconds);
    atomic_store(&s->closing, true);
    uint64_t one = 1;
    if (s->closing_event >= 0 && write(s->closing_event, &one, sizeof one) < 0)
        log_warning("replies under way are not told that the server closes");
    wait_for_work(s, END_SECONDS);
    MHD_stop_daemon(s->daemon);
    listen_forget(s->options.host);
    server_free(s);
}
