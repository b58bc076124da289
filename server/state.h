/* The server's own state, for the files of this folder. */
#ifndef VARGPT_SERVER_STATE_H
#define VARGPT_SERVER_STATE_H

#include "server/server.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct MHD_Daemon;
struct key_ring;
struct metrics;
struct picture_store;
struct tls;

/* Bytes that all requests together may hold; taken and given from any thread. */
struct budget {
    atomic_size_t used;
    size_t maximum;
};
bool budget_take(struct budget *, size_t bytes); /* false: not now */
void budget_give(struct budget *, size_t bytes);

struct server {
    struct server_options options; /* defaults filled in; model_name "" = any name */
    char *model_name;              /* what /v1/models shows; set before `engine` */
    char fingerprint[40];
    bool loopback; /* bound to this machine only: Host and Origin are checked */
    int64_t created;
    int port;
    struct MHD_Daemon *daemon;

    _Atomic(struct engine *) engine; /* NULL while loading */
    _Atomic double progress;
    int64_t opened_ns;    /* when loading began */
    atomic_bool stopping; /* asked to stop: /health says no */
    atomic_bool draining; /* no new requests */
    atomic_bool closing;  /* running ones end now */
    int closing_event;    /* eventfd, readable from then on; -1: none could be had */
    atomic_int working;   /* requests being answered */

    struct budget bodies, pixels; /* of all requests together */
    sem_t decoders;               /* pictures being decoded at once */
    struct key_ring *keys;
    struct metrics *metrics;
    struct tls *tls;              /* NULL: no HTTPS */
    sem_t fetchers;           /* pictures being fetched at once */
    struct picture_store *pictures;
};

/* NULL while the model loads. */
struct engine *server_engine(const struct server *);
bool server_is_closing(const struct server *);
/* Seconds after which a request refused for a full queue may try again, by the rate at which requests begin.
 */
int server_queue_seconds(const struct server *);

/* prefix and 32 random hexadecimal digits. */
enum { SERVER_ID_BYTES = 48 };
void server_make_id(char out[SERVER_ID_BYTES], const char *prefix);

#endif
