#include "server/keys.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "server/rate.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_KEY = 256, MAX_NAME = 64, MAX_KEYS = 10000, SHORT_KEY = 16 };

_Static_assert((int)KEY_DIGEST_BYTES == (int)SHA256_BYTES, "digests of keys are SHA-256");

struct api_key {
    atomic_int owners;
    uint8_t digest[SHA256_BYTES];
    char name[MAX_NAME + 1];
    pthread_mutex_t lock; /* of the rates */
    struct rate requests, tokens;
};

struct key_list {
    struct api_key **key;
    int n;
};

struct key_ring {
    pthread_mutex_t lock;
    struct key_list keys;
    atomic_bool locked;
};

static void digest_of(const void *bytes, size_t n, uint8_t digest[SHA256_BYTES])
{
    struct sha256 hash;
    sha256_init(&hash);
    sha256_add(&hash, bytes, n);
    sha256_finish(&hash, digest);
}

struct api_key *api_key_hold(struct api_key *k)
{
    if (k)
        atomic_fetch_add(&k->owners, 1);
    return k;
}

void api_key_drop(struct api_key *k)
{
    if (!k || atomic_fetch_sub(&k->owners, 1) > 1)
        return;
    pthread_mutex_destroy(&k->lock);
    free(k);
}

static void list_release(struct key_list *list)
{
    for (int i = 0; i < list->n; i++)
        api_key_drop(list->key[i]);
    free(list->key);
    *list = (struct key_list){0};
}

/* Not inlined: a caller who only asks for nothing or something could be given an early end. */
__attribute__((noinline)) unsigned key_difference(const uint8_t a[KEY_DIGEST_BYTES],
                                                  const uint8_t b[KEY_DIGEST_BYTES])
{
    unsigned bits = 0;
    for (int i = 0; i < KEY_DIGEST_BYTES; i++)
        bits |= (unsigned)(a[i] ^ b[i]);
    return bits;
}

/* No early end: the time says nothing of how many bytes were right, nor of which key it was. */
static struct api_key *list_find(const struct key_list *list, const uint8_t digest[SHA256_BYTES])
{
    struct api_key *found = NULL;
    for (int i = 0; i < list->n; i++) {
        bool same = key_difference(list->key[i]->digest, digest) == 0;
        found = same ? list->key[i] : found;
    }
    return found;
}

/* ---- reading ---- */

static bool is_digest(const char *text, uint8_t digest[SHA256_BYTES])
{
    char pair[3] = "";
    if (strncmp(text, "sha256:", 7) != 0 || strlen(text + 7) != 2 * SHA256_BYTES)
        return false;
    if (strspn(text + 7, "0123456789abcdefABCDEF") != 2 * SHA256_BYTES)
        return false;
    for (int i = 0; i < SHA256_BYTES; i++) {
        memcpy(pair, text + 7 + 2 * i, 2);
        digest[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return true;
}

static bool is_printable(const char *text, size_t most)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if (text[i] <= 0x20 || text[i] >= 0x7F)
            return false;
    return n > 0 && n <= most;
}

/* "requests=60": true when the word has that name, whatever its value is. */
static bool read_limit(const char *word, const char *name, int *out, bool *bad)
{
    size_t n = strlen(name);
    if (strncmp(word, name, n) != 0 || word[n] != '=')
        return false;
    const char *digits = word + n + 1;
    size_t length = strspn(digits, "0123456789");
    *bad |= length == 0 || length > 9 || digits[length];
    *out = *bad ? 0 : (int)strtol(digits, NULL, 10);
    return true;
}

/* One key with what follows it: a name, and limits of its own. */
static enum status read_key(struct key_list *list, char *text, const struct key_options *o, const char *where,
                            struct error *err)
{
    char *rest = text, *word, *secret = strsep(&rest, " \t");
    int requests = o->requests_per_minute, tokens = o->tokens_per_minute;
    bool bad = false;
    struct api_key *k = xcalloc(1, sizeof *k);
    atomic_init(&k->owners, 1);
    pthread_mutex_init(&k->lock, NULL);
    snprintf(k->name, sizeof k->name, "key-%d", list->n + 1);
    while ((word = strsep(&rest, " \t")) != NULL) {
        if (*word == 0 || read_limit(word, "requests", &requests, &bad) ||
            read_limit(word, "tokens", &tokens, &bad))
            continue;
        bad |= !is_printable(word, MAX_NAME);
        snprintf(k->name, sizeof k->name, "%s", bad ? "" : word);
    }
    rate_init(&k->requests, requests, clock_ns());
    rate_init(&k->tokens, tokens, clock_ns());
    if (!is_digest(secret, k->digest)) {
        bad |= !is_printable(secret, MAX_KEY);
        digest_of(secret, strlen(secret), k->digest);
        if (!bad && strlen(secret) < SHORT_KEY)
            log_warning("%s: the key named %s has under %d characters and could be guessed", where, k->name,
                        (int)SHORT_KEY);
    }
    if (!bad && !list_find(list, k->digest) && list->n < MAX_KEYS) {
        list->key = xrealloc(list->key, ((size_t)list->n + 1) * sizeof(struct api_key *));
        list->key[list->n++] = k;
        return STATUS_OK;
    }
    api_key_drop(k);
    return bad ? error_set(err, STATUS_BAD_REQUEST,
                           "%s: a key is 1 to %d printable characters; after it may stand a name, requests=N "
                           "and tokens=N",
                           where, (int)MAX_KEY)
               : error_set(err, STATUS_BAD_REQUEST, "%s: this key is there already, or there are over %d",
                           where, (int)MAX_KEYS);
}

static enum status read_list(struct key_list *list, const struct key_options *o, struct error *err)
{
    char *copy = xstrdup(o->list ? o->list : ""), *rest = copy, *one;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && (one = strsep(&rest, ", \t\n")) != NULL)
        if (*one)
            status = read_key(list, one, o, "the setting api_keys", err);
    explicit_bzero(copy, strlen(o->list ? o->list : ""));
    free(copy);
    return status;
}

/* A line without what is not a key: "# comment", white space around. */
static char *trim(char *line)
{
    line += strspn(line, " \t");
    if (*line == '#')
        return line + strlen(line);
    char *comment = strstr(line, " #");
    if (comment)
        *comment = 0;
    for (size_t n = strlen(line); n > 0 && strchr(" \t\r\n", line[n - 1]);)
        line[--n] = 0;
    return line;
}

static enum status read_lines(struct key_list *list, FILE *file, const struct key_options *o,
                              struct error *err)
{
    char line[1024], where[64];
    enum status status = STATUS_OK;
    for (int number = 1; status == STATUS_OK && fgets(line, sizeof line, file); number++) {
        snprintf(where, sizeof where, "line %d of the key file", number);
        char *text = trim(line);
        if (*text)
            status = read_key(list, text, o, where, err);
    }
    explicit_bzero(line, sizeof line);
    return status;
}

static enum status read_file(struct key_list *list, const struct key_options *o, struct error *err)
{
    struct stat about;
    int before = list->n;
    if (!o->file || !*o->file)
        return STATUS_OK;
    FILE *file = fopen(o->file, "re");
    if (!file)
        return error_set(err, STATUS_BAD_REQUEST, "%.100s: %s", o->file, strerror(errno));
    if (fstat(fileno(file), &about) == 0 && S_ISREG(about.st_mode) && about.st_mode & S_IROTH)
        log_warning("%.100s: everyone on this machine can read the keys: chmod o-r", o->file);
    enum status status = read_lines(list, file, o, err);
    fclose(file);
    if (status == STATUS_OK && list->n == before)
        status = error_set(err, STATUS_BAD_REQUEST,
                           "%.100s: no key in it; without keys, leave the setting out", o->file);
    return status;
}

static enum status read_keys(struct key_list *list, const struct key_options *o, struct error *err)
{
    if (read_list(list, o, err) == STATUS_OK && read_file(list, o, err) == STATUS_OK)
        return STATUS_OK;
    list_release(list);
    return err->status;
}

/* ---- the ring ---- */

enum status key_ring_open(struct key_ring **out, const struct key_options *o, struct error *err)
{
    struct key_list keys = {0};
    if (read_keys(&keys, o, err))
        return err->status;
    struct key_ring *r = xcalloc(1, sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    r->keys = keys;
    atomic_init(&r->locked, keys.n > 0);
    *out = r;
    return STATUS_OK;
}

/* A key that stays is the same one under the new list, with the new limits: what it spent stays spent, and
 * calls under way give back to it. One that has another name now is a new key with the old one's allowances.
 */
static void carry_over(const struct key_list *from, const struct key_list *to)
{
    int64_t now = clock_ns();
    for (int i = 0; i < to->n; i++) {
        struct api_key *k = to->key[i], *old = list_find(from, k->digest);
        if (!old)
            continue;
        pthread_mutex_lock(&old->lock);
        rate_change(&old->requests, k->requests.per_minute, now);
        rate_change(&old->tokens, k->tokens.per_minute, now);
        struct rate requests = old->requests, tokens = old->tokens;
        pthread_mutex_unlock(&old->lock);
        if (strcmp(old->name, k->name) == 0) {
            to->key[i] = api_key_hold(old);
            api_key_drop(k);
        } else {
            k->requests = requests;
            k->tokens = tokens;
        }
    }
}

enum status key_ring_reload(struct key_ring *r, const struct key_options *o, struct error *err)
{
    struct key_list keys = {0}, old;
    if (read_keys(&keys, o, err))
        return err->status;
    pthread_mutex_lock(&r->lock);
    carry_over(&r->keys, &keys);
    old = r->keys;
    r->keys = keys;
    atomic_store(&r->locked, keys.n > 0);
    pthread_mutex_unlock(&r->lock);
    list_release(&old);
    return STATUS_OK;
}

void key_ring_close(struct key_ring *r)
{
    if (!r)
        return;
    list_release(&r->keys);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

bool key_ring_is_locked(struct key_ring *r)
{
    return atomic_load(&r->locked);
}

struct api_key *key_ring_find(struct key_ring *r, const char *authorization)
{
    static const char scheme[] = "Bearer";
    uint8_t digest[SHA256_BYTES];
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return NULL;
    const char *key = authorization + sizeof scheme - 1;
    if (*key != ' ')
        return NULL;
    key += strspn(key, " ");
    size_t n = strcspn(key, " \t");
    digest_of(key, n, digest);
    pthread_mutex_lock(&r->lock);
    struct api_key *found = api_key_hold(list_find(&r->keys, digest));
    pthread_mutex_unlock(&r->lock);
    return found;
}

/* ---- one key ---- */

const char *api_key_name(const struct api_key *k)
{
    return k->name;
}

void api_key_salt(const struct api_key *k, uint8_t salt[KEY_SALT_BYTES])
{
    static const char purpose[] = "cache salt of a key";
    uint8_t digest[SHA256_BYTES];
    struct sha256 hash;
    sha256_init(&hash);
    sha256_add(&hash, purpose, sizeof purpose);
    sha256_add(&hash, k->digest, sizeof k->digest);
    sha256_add(&hash, salt, KEY_SALT_BYTES);
    sha256_finish(&hash, digest);
    memcpy(salt, digest, KEY_SALT_BYTES);
}

bool api_key_admit(struct api_key *k, double *wait_seconds, const char **limit)
{
    int64_t now = clock_ns();
    pthread_mutex_lock(&k->lock);
    double requests = rate_wait(&k->requests, 1, now), tokens = rate_wait(&k->tokens, 1, now);
    *wait_seconds = requests > tokens ? requests : tokens;
    *limit = requests > tokens ? "requests" : "tokens";
    bool admitted = requests <= 0 && tokens <= 0;
    if (admitted)
        rate_spend(&k->requests, 1, now);
    pthread_mutex_unlock(&k->lock);
    return admitted;
}

bool api_key_reserve(struct api_key *k, int64_t *tokens, double *wait_seconds)
{
    int64_t now = clock_ns();
    pthread_mutex_lock(&k->lock);
    if (k->tokens.per_minute && *tokens > k->tokens.per_minute)
        *tokens = k->tokens.per_minute;
    *wait_seconds = rate_wait(&k->tokens, (double)*tokens, now);
    bool reserved = *wait_seconds <= 0;
    if (reserved)
        rate_spend(&k->tokens, (double)*tokens, now);
    pthread_mutex_unlock(&k->lock);
    return reserved;
}

void api_key_settle(struct api_key *k, int64_t reserved, int64_t used)
{
    pthread_mutex_lock(&k->lock);
    rate_spend(&k->tokens, (double)(used - reserved), clock_ns());
    pthread_mutex_unlock(&k->lock);
}

static struct key_rate look(struct rate *r, int64_t now)
{
    return (struct key_rate){r->per_minute, (int64_t)rate_left(r, now), rate_reset(r, now)};
}

void api_key_rates(struct api_key *k, struct key_rate *requests, struct key_rate *tokens)
{
    int64_t now = clock_ns();
    pthread_mutex_lock(&k->lock);
    *requests = look(&k->requests, now);
    *tokens = look(&k->tokens, now);
    pthread_mutex_unlock(&k->lock);
}
