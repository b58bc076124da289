/* GET / and /web/...: the page for people, and its files. */
#include "server/endpoints.h"

#include "base/memory.h"
#include "server/web_files.h"

#include <stdlib.h>
#include <string.h>

/* The page runs its own scripts, shows pictures it was sent or holds, and talks to this server: nothing else.
 */
static const struct answer_header headers[] = {
    {"Cache-Control", "no-cache"}, /* kept, but asked about each time: see ETag */
    {"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' "
                                "data: blob:; connect-src 'self'; "
                                "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {NULL, NULL},
};

/* Does If-None-Match name that tag? It is a list of tags, perhaps marked weak, or "*". */
static bool names_tag(const char *list, const char *etag)
{
    return list && (strcmp(list, "*") == 0 || strstr(list, etag));
}

static void answer_file(struct exchange *x, const struct web_file *file)
{
    bool known = names_tag(x->if_none_match, file->etag);
    char *copy = try_malloc(file->size, 1);
    if (!copy) {
        struct http_error e = {0};
        http_error_set(&e, PROBLEM_MEMORY, NULL, "no memory for the page");
        exchange_fail(x, &e);
        return;
    }
    memcpy(copy, file->data, file->size);
    /* libmicrohttpd sends no body with a 304, but the length that it would have */
    exchange_reply_text(x, known ? 304 : 200, file->content_type, copy, file->size);
    x->answer.headers = headers;
    x->answer.etag = file->etag;
}

static const struct web_file *find_file(const char *name)
{
    for (const struct web_file *f = web_files; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

void endpoint_page_file(struct exchange *x, const char *name)
{
    const struct web_file *file = find_file(name);
    struct http_error e = {0};
    if (file) {
        answer_file(x, file);
        return;
    }
    http_error_set(&e, PROBLEM_PATH, NULL, "the page has no file '%.100s'", name);
    exchange_fail(x, &e);
}

void endpoint_page(struct exchange *x, const char *rest)
{
    (void)rest;
    endpoint_page_file(x, "index.html");
}
