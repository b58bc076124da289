/* The HTTP front end: OpenAI's API over one engine. The only folder with libmicrohttpd. */
#ifndef VARGPT_SERVER_SERVER_H
#define VARGPT_SERVER_SERVER_H

#include "engine/engine.h"

struct server;

/* Where API keys come from, and what each may use. */
struct key_options {
    const char
        *file; /* a key a line, "# comments", after a key its name, requests=N, tokens=N; NULL = none */
    const char *list;        /* keys between commas or spaces; NULL = none */
    int requests_per_minute; /* of each key; 0 = no limit */
    int tokens_per_minute;   /* likewise: read and written */
};

struct server_options {
    const char *host;       /* address to bind: "127.0.0.1", or "unix:/path" */
    int port;               /* 0 = any free one: server_port() tells */
    const char *model_name; /* what /v1/models shows; NULL = the checkpoint's own */
    int max_connections;    /* 0 = 1200 */
    size_t max_body_bytes;  /* 0 = 64 MiB */
    int max_pictures;       /* in one request; 0 = 16 */
    int max_choices;        /* `n`; 0 = 10 */
    int drain_seconds;      /* how long server_close lets replies finish; 0 = 30 */
    int drain_delay;        /* seconds before that in which /health says no but requests are still taken */
    int stuck_seconds;      /* without a step of the engine until /health says so; 0 = 60 */
    int request_timeout;    /* seconds that a request may take; 0 = no limit */
    struct key_options keys;
    bool metrics_open;              /* /metrics needs no key */
    bool log_prompts;               /* request bodies go to the log */
    const char *cors_origins;       /* web pages that may call: origins between commas, or "*"; NULL = none */
    const char *tls_cert, *tls_key; /* PEM files; NULL = no TLS */
    /* pictures kept for links to them; NULL: links begin with the address that the client used */
    const char *public_url;
    int kept_pictures, kept_seconds; /* 0 = 256, 3600 */
    size_t kept_bytes;               /* 0 = 256 MiB */
    /* http and https URLs of pictures in requests: "host", "*.domain", "*", each perhaps with :port,
     * separated by commas; NULL: none is fetched */
    const char *fetch_hosts;
    int fetch_seconds;       /* for one picture, redirects included; 0 = 10 */
    bool fetch_from_private; /* for tests: also from addresses that are not public */
};

/* Starts listening. Until server_attach every path but /health/live and the page's files answers 503 with the
 * load progress. */
enum status server_open(struct server **out, const struct server_options *, struct error *);
int server_port(const struct server *);
/* Loading goes on: fraction 0..1. Any thread. */
void server_set_progress(struct server *, double fraction);
/* The engine is ready; it must outlive the server. */
void server_attach(struct server *, struct engine *);
/* Reads the keys again; on failure the old ones stay. */
enum status server_reload_keys(struct server *, const struct key_options *, struct error *);
/* Reads the certificate and its key again, for connections to come; on failure the old ones stay. */
enum status server_reload_tls(struct server *, const char *cert, const char *key, struct error *);
/* The engine's device has failed for good: all calls are answered 503. */
bool server_has_lost_device(const struct server *);
/* Takes no more requests, lets replies finish for drain_seconds, then ends the rest. Accepts NULL. */
void server_close(struct server *);

#endif
