/* vargpt health: is the server ready? For a container's health check. */
#include "cli/cli.h"

#include "base/memory.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

static size_t ignore_body(char *bytes, size_t size, size_t n, void *context)
{
    (void)bytes;
    (void)context;
    return size * n;
}

/* A server that listens on every address is asked on the loopback one. */
static char *health_url(const struct config *c)
{
    if (strncmp(c->host, "unix:", 5) == 0)
        return xasprintf("%s://localhost/health", c->tls_cert ? "https" : "http");
    const char *host = strcmp(c->host, "0.0.0.0") == 0 ? "127.0.0.1"
                       : strcmp(c->host, "::") == 0    ? "::1"
                                                       : c->host;
    bool v6 = strchr(host, ':') != NULL;
    return xasprintf("%s://%s%s%s:%d/health", c->tls_cert ? "https" : "http", v6 ? "[" : "", host,
                     v6 ? "]" : "", c->port);
}

static enum status ask(const struct config *c, const char *url, struct error *err)
{
    long code = 0;
    CURL *curl = curl_easy_init();
    if (!curl)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a connection");
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (strncmp(c->host, "unix:", 5) == 0)
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, c->host + 5);
    if (c->tls_cert) { /* its name is that for clients, not the one asked here; nothing secret is sent */
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 5L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore_body);
    CURLcode result = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_cleanup(curl);
    if (result != CURLE_OK)
        return error_set(err, STATUS_BUSY, "%s: %s: is the server running there?", url,
                         curl_easy_strerror(result));
    if (code != 200)
        return error_set(err, STATUS_BUSY, "%s: not ready: HTTP %ld", url, code);
    return STATUS_OK;
}

int health_main(int argc, char **argv)
{
    struct config config;
    struct error err = {0};
    int code;
    if (!cli_begin(&config, COMMAND_HEALTH, argc, argv, &code))
        return code;
    char *url = health_url(&config);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    code = ask(&config, url, &err) == STATUS_OK ? EXIT_DONE : cli_fail(&err);
    curl_global_cleanup();
    free(url);
    config_release(&config);
    return code;
}
