#include "server/picture_link.h"

#include "server/endpoints.h"
#include "server/picture_output.h"
#include "server/picture_store.h"
#include "server/state.h"

#include <string.h>

enum { MAX_HOST_BYTES = 262 };
static const char folder[] = "/images/";

bool picture_link_host(const char *host)
{
    size_t n = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:[]");
    return n > 0 && n <= MAX_HOST_BYTES && host[n] == 0;
}

enum status picture_link_append(struct exchange *x, const char *type, const struct buffer *file,
                                struct buffer *url, struct error *err)
{
    char name[PICTURE_NAME_BYTES];
    const struct server *s = x->server;
    const char *scheme = s->tls ? "https" : "http";
    if (picture_store_put(s->pictures, type, file->data, file->length, name, err))
        return err->status;
    if (s->options.public_url)
        buffer_append_text(url, s->options.public_url);
    else if (picture_link_host(x->host))
        buffer_printf(url, "%s://%s", scheme, x->host);
    else
        buffer_printf(url, "%s://%s:%d", scheme, s->options.host, s->port);
    buffer_printf(url, "%s%s.%s", folder, name, type);
    return buffer_failed(url) ? error_set(err, STATUS_NO_MEMORY, "no memory for a link") : STATUS_OK;
}

bool picture_link_read(struct server *s, const char *url, size_t length, struct buffer *file)
{
    enum { LONGEST = 2048 };
    const char *type, *end = url + length, *at = end;
    if (length > LONGEST || strncmp(url, "http", 4) != 0)
        return false;
    while (at > url && at[-1] != '/')
        at--;
    size_t n = sizeof folder - 1;
    if ((size_t)(at - url) < n || memcmp(at - n, folder, n) != 0)
        return false;
    const char *dot = memchr(at, '.', (size_t)(end - at));
    return picture_store_get(s->pictures, at, (size_t)((dot ? dot : end) - at), file, &type) > 0;
}

static void answer_picture(struct exchange *x, const char *name, size_t length, const char *wanted)
{
    struct http_error e = {0};
    struct buffer file;
    const char *type = "";
    buffer_init(&file, BUFFER_NO_LIMIT);
    int seconds = picture_store_get(x->server->pictures, name, length, &file, &type);
    if (seconds > 0 && (!wanted || strcmp(wanted, type) == 0) && !buffer_failed(&file)) {
        char *bytes = buffer_take(&file, &length);
        exchange_reply_text(x, 200, picture_media_type(type), bytes, length);
        x->answer.cache_seconds = seconds;
    } else {
        http_error_set(&e, PROBLEM_PATH, NULL, "there is no such picture, or it is kept no longer");
        exchange_fail(x, &e);
    }
    buffer_release(&file);
}

void endpoint_picture(struct exchange *x, const char *rest)
{
    const char *dot = strchr(rest, '.');
    answer_picture(x, rest, dot ? (size_t)(dot - rest) : strlen(rest), dot ? dot + 1 : NULL);
}

/* {id}/content; an id is a picture's name, with "file-" before it or not. */
void endpoint_file(struct exchange *x, const char *rest)
{
    static const char prefix[] = "file-", content[] = "/content";
    const char *slash = strchr(rest, '/');
    if (slash && strcmp(slash, content) == 0) {
        rest += strncmp(rest, prefix, sizeof prefix - 1) == 0 ? sizeof prefix - 1 : 0;
        answer_picture(x, rest, (size_t)(slash - rest), NULL);
        return;
    }
    struct http_error e = {0};
    http_error_set(&e, PROBLEM_PATH, NULL, "of files there is only /v1/files/{id}/content");
    exchange_fail(x, &e);
}
