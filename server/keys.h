/* API keys: who may call, under which name, and how much a minute. Only SHA-256 digests are kept. Keys come
 * from a file and from a list, and can be read again while the server runs; a key in use lives on until it is
 * dropped. */
#ifndef VARGPT_SERVER_KEYS_H
#define VARGPT_SERVER_KEYS_H

#include "base/error.h"
#include "server/server.h"

#include <stdbool.h>
#include <stdint.h>

enum { KEY_DIGEST_BYTES = 32 };

struct key_ring;
struct api_key; /* counted */

/* Failure: a file that cannot be read, that holds no key, or a line that is not right (named by number, never
 * quoted).
 */
enum status key_ring_open(struct key_ring **out, const struct key_options *, struct error *err);
/* Reads everything again; keys that stay keep what they have spent. On failure the old keys stay. Any thread.
 */
enum status key_ring_reload(struct key_ring *, const struct key_options *, struct error *err);
void key_ring_close(struct key_ring *); /* accepts NULL */
/* Are there keys, so that callers need one? */
bool key_ring_is_locked(struct key_ring *);

/* The key in the value of an Authorization header ("Bearer KEY"), to be dropped; NULL when it is none of
 * ours. Takes as long for a key that is nearly right as for any other. */
struct api_key *key_ring_find(struct key_ring *, const char *authorization);
/* The bits in which two SHA-256 digests differ, those of all their bytes joined; 0: they are the same. Every byte is looked
 * at, whatever those before it were. */
unsigned key_difference(const uint8_t a[KEY_DIGEST_BYTES], const uint8_t b[KEY_DIGEST_BYTES]);
struct api_key *api_key_hold(struct api_key *); /* accepts and returns NULL */
void api_key_drop(struct api_key *);            /* accepts NULL */

const char *api_key_name(const struct api_key *);
/* Sets salt to one of this key's own, made from what is there: prompts of two keys never share cached work.
 */
enum { KEY_SALT_BYTES = 16 };
void api_key_salt(const struct api_key *, uint8_t salt[KEY_SALT_BYTES]);

/* Counts one request: true. Over a limit: false, *wait is when to try again and *limit says which. */
bool api_key_admit(struct api_key *, double *wait_seconds, const char **limit);
/* Takes what a call may use at most, so that calls side by side cannot overdraw: true. *tokens is cut to a minute's worth:
 * a call that may use more than that waits until all of it is there. Over the limit: false, nothing is taken, and *wait is
 * when to try again if nothing is given back before. */
bool api_key_reserve(struct api_key *, int64_t *tokens, double *wait_seconds);
/* The call has ended: what it did not use goes back. */
void api_key_settle(struct api_key *, int64_t reserved, int64_t used);

/* What x-ratelimit-* headers tell. */
struct key_rate {
    int limit; /* a minute; 0 = none */
    int64_t left;
    double reset_seconds;
};
void api_key_rates(struct api_key *, struct key_rate *requests, struct key_rate *tokens);

#endif
