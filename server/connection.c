#include "server/connection.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/access.h"
#include "server/access_headers.h"
#include "server/access_log.h"
#include "server/connection_check.h"
#include "server/gzip.h"
#include "server/keys.h"
#include "server/meter.h"
#include "server/metrics.h"
#include "server/route.h"
#include "server/sse.h"
#include "server/tls.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    IDLE_SECONDS = 60,       /* a silent connection, or a client that reads nothing, is closed after that */
    UPLOAD_SECONDS = 600,    /* a body must be here by then */
    HEADER_BYTES = 64 << 10, /* of a connection: request line and headers must fit in it */
    STACK_BYTES = 2 << 20,   /* of a connection's thread */
    BLOCK_BYTES = 32 << 10,  /* of a stream, at once */
    REFUSED_BYTES = 1 << 20, /* a body that is not wanted is read up to that, so that the refusal is seen */
    CLIENT_LEFT = 499,       /* in the log and in the metrics */
    DISCARD_TIMES = 4,       /* times the limit that a body of unknown length is read on, to be answered */
};

/* Of GnuTLS: its own choice, from TLS 1.2 on. */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* A request as it comes in. */
struct incoming {
    struct exchange x; /* first */
    struct MHD_Connection *connection;
    struct http_error error; /* found while the body came */
    size_t received;
    bool working; /* counted in server->working */
};

/* A stream as it goes out. */
struct outgoing {
    struct stream stream;
    struct MHD_Connection *connection;
    struct buffer pending;
    size_t sent; /* of pending */
};

/* Our handlers may take long, a peer's silence may not: libmicrohttpd counts both as idle. */
static void pause_timeout(struct MHD_Connection *connection)
{
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
}
static void restart_timeout(struct MHD_Connection *connection)
{
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)IDLE_SECONDS);
}

static ssize_t on_read_stream(void *context, uint64_t position, char *to, size_t room)
{
    struct outgoing *o = context;
    (void)position;
    if (o->sent == o->pending.length) {
        buffer_clear(&o->pending);
        o->sent = 0;
        pause_timeout(o->connection);
        enum stream_step step = o->stream.next(o->stream.context, &o->pending);
        restart_timeout(o->connection);
        if (step == STREAM_END)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (step == STREAM_BROKEN)
            return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    size_t n = o->pending.length - o->sent < room ? o->pending.length - o->sent : room;
    memcpy(to, o->pending.data + o->sent, n);
    o->sent += n;
    return (ssize_t)n;
}

static void on_free_stream(void *context)
{
    struct outgoing *o = context;
    o->stream.close(o->stream.context);
    buffer_release(&o->pending);
    free(o);
}

static const char *header(const struct incoming *in, const char *name)
{
    return MHD_lookup_connection_value(in->connection, MHD_HEADER_KIND, name);
}

/* True when the body is compressed now. */
static bool compress(struct incoming *in)
{
    struct answer *a = &in->x.answer;
    size_t length = a->length;
    if (a->stream.next || a->status == MHD_HTTP_NOT_MODIFIED ||
        !gzip_wanted(header(in, MHD_HTTP_HEADER_ACCEPT_ENCODING)) ||
        !gzip_worth(a->content_type, a->body, a->length))
        return false;
    char *small = gzip_make(a->body, &length);
    if (!small)
        return false;
    free(a->body);
    a->body = small;
    a->length = length;
    return true;
}

static struct MHD_Response *make_response(struct incoming *in)
{
    struct answer *a = &in->x.answer;
    if (!a->stream.next) {
        struct MHD_Response *r = MHD_create_response_from_buffer(a->length, a->body, MHD_RESPMEM_MUST_FREE);
        if (!r)
            free(a->body);
        a->body = NULL;
        return r;
    }
    struct outgoing *o = xcalloc(1, sizeof *o);
    o->stream = a->stream;
    o->connection = in->connection;
    buffer_init(&o->pending, SSE_BUFFER_BYTES);
    a->stream.next = NULL;
    struct MHD_Response *r =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, on_read_stream, o, on_free_stream);
    if (!r)
        on_free_stream(o);
    return r;
}

static void add_number(struct MHD_Response *r, const char *name, long long value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", value);
    MHD_add_response_header(r, name, text);
}

static void add_headers(struct MHD_Response *r, const struct exchange *x, bool streams)
{
    const struct answer *a = &x->answer;
    MHD_add_response_header(r, "x-request-id", x->request_id);
    add_number(r, "openai-processing-ms", (clock_ns() - x->started_ns) / 1000000);
    MHD_add_response_header(r, "openai-version", "2020-10-01");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (a->content_type)
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a->content_type);
    if (streams) {
        MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
        MHD_add_response_header(r, "X-Accel-Buffering", "no");
    }
    if (a->etag)
        MHD_add_response_header(r, MHD_HTTP_HEADER_ETAG, a->etag);
    for (const struct answer_header *h = a->headers; h && h->name; h++)
        MHD_add_response_header(r, h->name, h->value);
    if (a->allow[0])
        MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, a->allow);
    if (x->queue_place)
        add_number(r, "x-queue-position", x->queue_place);
    if (a->retry_after)
        add_number(r, MHD_HTTP_HEADER_RETRY_AFTER, a->retry_after);
    if (a->cache_seconds) {
        char text[48];
        snprintf(text, sizeof text, "private, max-age=%d, immutable", a->cache_seconds);
        MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, text);
    }
    if (a->close_connection)
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
}

/* The same page in other bytes: its tag is a weak one. */
static void mark_compressed(struct MHD_Response *r, const struct answer *a)
{
    char tag[128];
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
    if (!a->etag)
        return;
    snprintf(tag, sizeof tag, "W/%s", a->etag);
    MHD_del_response_header(r, MHD_HTTP_HEADER_ETAG, a->etag);
    MHD_add_response_header(r, MHD_HTTP_HEADER_ETAG, tag);
}

/* MHD_NO drops the connection. */
static enum MHD_Result send_answer(struct incoming *in)
{
    struct exchange *x = &in->x;
    bool streams = x->answer.stream.next != NULL;
    if (x->answer.status == 0)
        return MHD_NO;
    bool compressed = compress(in);
    struct MHD_Response *r = make_response(in);
    if (!r)
        return MHD_NO;
    add_headers(r, x, streams);
    access_headers_add(r, in->connection, x);
    if (compressed)
        mark_compressed(r, &x->answer);
    if (!streams && x->answer.length > 0)
        MHD_add_response_header(r, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
    enum MHD_Result result = MHD_queue_response(in->connection, (unsigned)x->answer.status, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result refuse(struct incoming *in, bool close_connection)
{
    exchange_fail(&in->x, &in->error);
    in->x.answer.close_connection = close_connection;
    return send_answer(in);
}

/* A caller without key, or over a limit, sees the refusal for sure and keeps the connection where the body is
 * small. */
static bool may_read_on(const struct incoming *in, size_t declared)
{
    bool polite = in->error.problem == PROBLEM_KEY || in->error.problem == PROBLEM_BUSY;
    return polite && declared <= REFUSED_BYTES && !header(in, MHD_HTTP_HEADER_TRANSFER_ENCODING) &&
           !header(in, MHD_HTTP_HEADER_EXPECT);
}

/* The client's id, if it is up to 128 printable characters. */
static void choose_request_id(struct incoming *in)
{
    const char *given = header(in, "x-request-id");
    size_t n = given ? strlen(given) : 0;
    bool good = n >= 1 && n < sizeof in->x.request_id;
    for (size_t i = 0; good && i < n; i++)
        good = given[i] > 0x20 && given[i] < 0x7F;
    if (good)
        memcpy(in->x.request_id, given, n + 1);
    else
        server_make_id(in->x.request_id, "req_");
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The path with %xx read, but for %00, which would cut it short. */
static char *unescape_path(const char *url)
{
    char *path = xstrdup(url), *to = path;
    for (const char *s = url; *s; s++) {
        int high = *s == '%' ? hex_digit(s[1]) : -1, low = high >= 0 ? hex_digit(s[2]) : -1;
        if (low >= 0 && high + low > 0) {
            *to++ = (char)(high << 4 | low);
            s += 2;
        } else {
            *to++ = *s;
        }
    }
    *to = 0;
    return path;
}

/* Instead of libmicrohttpd's: paths are unescaped here. */
static size_t leave_escaped(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

static struct incoming *incoming_new(struct server *server, struct MHD_Connection *connection,
                                     const char *url, const char *method)
{
    struct incoming *in = xcalloc(1, sizeof *in);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host");
    in->connection = connection;
    in->x = (struct exchange){.server = server,
                              .method = method,
                              .path = unescape_path(url),
                              .host = host ? host : "",
                              .if_none_match = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                                           MHD_HTTP_HEADER_IF_NONE_MATCH),
                              .started_ns = clock_ns(),
                              .socket = info ? info->connect_fd : -1};
    in->x.route = route_find(method, in->x.path);
    buffer_init(&in->x.body, server->options.max_body_bytes);
    choose_request_id(in);
    return in;
}

/* A piece of the body. What does not fit is read and forgotten, so that the client comes to see the answer.
 */
static enum MHD_Result take_body(struct incoming *in, const char *bytes, size_t n)
{
    struct exchange *x = &in->x;
    size_t limit = x->server->options.max_body_bytes;
    in->received += n;
    if (in->received > DISCARD_TIMES * limit ||
        clock_ns() - x->started_ns > (int64_t)UPLOAD_SECONDS * 1000000000)
        return MHD_NO;
    if (in->received > limit)
        http_error_set(&in->error, PROBLEM_BODY_SIZE, NULL, "the body has over %zu bytes (setting max-body)",
                       limit);
    if (in->error.problem != PROBLEM_NONE) {
        buffer_release(&x->body);
        return MHD_YES;
    }
    if (budget_take(&x->server->bodies, n)) {
        x->budgeted += n;
        buffer_append(&x->body, bytes, n);
    } else {
        x->body.failed = true;
    }
    if (buffer_failed(&x->body))
        http_error_set(&in->error, PROBLEM_MEMORY, NULL, "too much is being uploaded; try again in a moment");
    return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *bytes, size_t *n,
                                  void **state)
{
    struct server *server = context;
    struct incoming *in = *state;
    if (!in) {
        size_t declared;
        *state = in = incoming_new(server, connection, url, method);
        connection_check(connection, server, in->x.path, method, version, &declared, &in->error);
        if (in->error.problem == PROBLEM_NONE)
            access_check(&in->x, header(in, MHD_HTTP_HEADER_AUTHORIZATION), header(in, "x-request-timeout"),
                         &in->error);
        return in->error.problem == PROBLEM_NONE || may_read_on(in, declared) ? MHD_YES : refuse(in, true);
    }
    if (*n) {
        enum MHD_Result result = take_body(in, bytes, *n);
        *n = 0;
        return result;
    }
    if (in->error.problem != PROBLEM_NONE)
        return refuse(in, in->error.problem != PROBLEM_KEY && in->error.problem != PROBLEM_BUSY);
    in->working = true;
    atomic_fetch_add(&server->working, 1);
    pause_timeout(connection);
    access_log_body(&in->x);
    route_run(&in->x);
    restart_timeout(connection);
    return send_answer(in);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct server *server = context;
    struct incoming *in = *state;
    (void)connection;
    if (!in)
        return;
    bool sent = code == MHD_REQUEST_TERMINATED_COMPLETED_OK && in->x.answer.status > 0;
    access_log(&in->x, sent ? in->x.answer.status : CLIENT_LEFT);
    if (in->x.answer.stream.next)
        in->x.answer.stream.close(in->x.answer.stream.context);
    exchange_drop_body(&in->x);
    meter_drop(in->x.meter);
    api_key_drop(in->x.key);
    if (in->working)
        atomic_fetch_sub(&server->working, 1);
    free(in->x.answer.body);
    free(in->x.path);
    free(in);
    *state = NULL;
}

static void on_log(void *context, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
static void on_log(void *context, const char *format, va_list args)
{
    char line[256];
    (void)context;
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\r\n")] = 0;
    log_debug("http: %s", line);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    struct server *server = context;
    bool opened = code == MHD_CONNECTION_NOTIFY_STARTED;
    if (opened && server->tls)
        *state = tls_enter(server->tls, connection);
    else if (!opened)
        tls_leave(*state);
    atomic_fetch_add(&server->metrics->connections, opened ? 1 : -1);
    atomic_fetch_add(&server->metrics->accepted, opened ? 1 : 0);
}

struct MHD_Daemon *connection_listen(struct server *server, int socket)
{
    const unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
                           MHD_USE_ERROR_LOG | (server->tls ? MHD_USE_TLS : 0);
    const struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, socket, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, server->options.max_connections, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADER_BYTES, NULL},
        {MHD_OPTION_THREAD_STACK_SIZE, STACK_BYTES, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {server->tls ? MHD_OPTION_HTTPS_CERT_CALLBACK : MHD_OPTION_END, 0, tls_no_certificate},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL},
    };
    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_log,
                            NULL, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
                            on_connection, server, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}
