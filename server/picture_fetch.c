#include "server/picture_fetch.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/public_address.h"
#include "server/state.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { MAX_URL_BYTES = 4096, MAX_REDIRECTS = 3, CONNECT_SECONDS = 5, MAX_HEADER_BYTES = 64 << 10 };

struct fetch {
    const struct server *server;
    struct buffer *out;
    size_t header_bytes;
    int64_t deadline_ns;
    bool refused; /* an address that is not public */
    bool too_large;
};

bool picture_fetch_is_url(const char *url, size_t length)
{
    return (length > 7 && strncasecmp(url, "http://", 7) == 0) ||
           (length > 8 && strncasecmp(url, "https://", 8) == 0);
}

/* The address here is the one that will be connected to: no second look-up can put another in its place. */
static curl_socket_t open_checked(void *context, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct fetch *f = context;
    if (purpose != CURLSOCKTYPE_IPCXN ||
        !(f->server->options.fetch_from_private || public_address(&a->addr))) {
        f->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static size_t take_bytes(char *bytes, size_t size, size_t n, void *context)
{
    struct fetch *f = context;
    n *= size;
    f->too_large = f->out->length + n > f->out->maximum;
    if (f->too_large)
        return 0;
    buffer_append(f->out, bytes, n);
    return buffer_failed(f->out) ? 0 : n;
}

static size_t count_header(char *bytes, size_t size, size_t n, void *context)
{
    struct fetch *f = context;
    (void)bytes;
    f->header_bytes += size * n;
    return f->header_bytes > MAX_HEADER_BYTES ? 0 : size * n;
}

static int look_around(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
    struct fetch *f = context;
    (void)total, (void)now, (void)up_total, (void)up;
    return server_is_closing(f->server);
}

/* A part of the URL, malloc'ed by libcurl; NULL when it has none. */
static char *url_part(CURLU *u, CURLUPart part, unsigned flags)
{
    char *text = NULL;
    return curl_url_get(u, part, &text, flags) == CURLUE_OK ? text : NULL;
}

static enum status check_url(const struct server *s, CURLU *u, const char *url, struct error *err)
{
    static const unsigned flags = CURLU_NO_DEFAULT_PORT | CURLU_DISALLOW_USER;
    char *scheme = NULL, *host = NULL, *port = NULL;
    if (curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER)) {
        error_set(err, STATUS_BAD_REQUEST,
                  "its URL is not one that can be fetched (and must hold no credentials)");
        goto out;
    }
    scheme = url_part(u, CURLUPART_SCHEME, flags);
    host = url_part(u, CURLUPART_HOST, flags);
    port = url_part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    bool secure = scheme && strcmp(scheme, "https") == 0;
    if (!host || !port || !(secure || (scheme && strcmp(scheme, "http") == 0))) {
        error_set(err, STATUS_BAD_REQUEST, "its URL must begin with http:// or https://");
        goto out;
    }
    size_t n = strlen(host);
    char *name = host[0] == '[' ? host + 1 : host;
    if (n > 1 && (host[n - 1] == ']' || host[n - 1] == '.'))
        host[n - 1] = 0;
    if (!host_allowed(s->options.fetch_hosts, name, (int)strtol(port, NULL, 10), secure ? 443 : 80))
        error_set(err, STATUS_BAD_REQUEST,
                  "pictures from '%.80s' are not fetched by this server; send a data: URL", name);
out:
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    return err->status;
}

static void set_options(CURL *curl, CURLU *u, struct fetch *f)
{
    long left = (long)((f->deadline_ns - clock_ns()) / 1000000);
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_CURLU, u);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L); /* done here, with every check again */
    curl_easy_setopt(curl, CURLOPT_PROXY, "");          /* a proxy would look names up itself */
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_checked);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, f);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, count_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_around);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, f);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, left > 0 ? left : 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "vargpt/" VARGPT_VERSION);
}

static enum status explain(const struct fetch *f, CURLcode code, struct error *err)
{
    if (f->too_large)
        return error_set(err, STATUS_TOO_LARGE, "it has over %zu bytes", f->out->maximum);
    if (f->refused)
        return error_set(err, STATUS_BAD_REQUEST, "its URL leads to an address that is not open to everyone");
    if (code == CURLE_OPERATION_TIMEDOUT)
        return error_set(err, STATUS_BAD_REQUEST, "it did not come within %d seconds",
                         f->server->options.fetch_seconds);
    return error_set(err, STATUS_BAD_REQUEST, "it cannot be fetched from there");
}

/* One request. *next: where it was redirected to (caller: free), or NULL. */
static enum status fetch_once(CURL *curl, struct fetch *f, const char *url, char **next, struct error *err)
{
    long code = 0;
    char *location = NULL;
    CURLU *u = curl_url();
    if (!u)
        return error_set(err, STATUS_NO_MEMORY, "no memory to fetch a picture");
    if (check_url(f->server, u, url, err))
        goto out;
    buffer_clear(f->out);
    set_options(curl, u, f);
    CURLcode result = curl_easy_perform(curl);
    if (result != CURLE_OK) {
        explain(f, result, err);
        goto out;
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &location);
    if (code >= 300 && code < 400 && location)
        *next = xstrdup(location);
    else if (code != 200)
        error_set(err, STATUS_BAD_REQUEST, "its server answers with status %ld", code);
out:
    curl_url_cleanup(u);
    return err->status;
}

static enum status follow(CURL *curl, struct fetch *f, const char *url, struct error *err)
{
    char *at = xstrdup(url);
    for (int i = 0; at; i++) {
        char *next = NULL;
        if (i > MAX_REDIRECTS)
            error_set(err, STATUS_BAD_REQUEST, "it is redirected more than %d times", MAX_REDIRECTS);
        else
            fetch_once(curl, f, at, &next, err);
        free(at);
        at = next;
    }
    return err->status;
}

/* Waits for its turn, so that pictures under way take a bounded amount of memory. */
static bool wait_for_turn(struct server *s, int seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    while (sem_timedwait(&s->fetchers, &until))
        if (errno != EINTR)
            return false;
    return true;
}

enum status picture_fetch(struct server *s, const char *url, size_t length, struct buffer *out,
                          struct error *err)
{
    if (!s->options.fetch_hosts)
        return error_set(err, STATUS_BAD_REQUEST,
                         "this server fetches no pictures (setting fetch_hosts); send it as a data: URL");
    if (length > MAX_URL_BYTES || memchr(url, 0, length))
        return error_set(err, STATUS_BAD_REQUEST, "its URL has over %d bytes", MAX_URL_BYTES);
    if (!wait_for_turn(s, s->options.fetch_seconds))
        return error_set(err, STATUS_BUSY, "too many pictures are being fetched");
    struct fetch f = {
        .server = s, .out = out, .deadline_ns = clock_ns() + (int64_t)s->options.fetch_seconds * 1000000000};
    char *copy = xstrndup(url, length);
    CURL *curl = curl_easy_init();
    if (curl)
        follow(curl, &f, copy, err);
    else
        error_set(err, STATUS_NO_MEMORY, "no memory to fetch a picture");
    curl_easy_cleanup(curl);
    free(copy);
    sem_post(&s->fetchers);
    return err->status;
}
