#include "server/http_error.h"

#include "base/log.h"
#include "base/memory.h"
#include "engine/text/utf8.h"

#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MOST_WAIT_SECONDS = 3600 };

static const struct {
    int status;
    const char *type, *code; /* code NULL = null */
    int retry_after;
} problems[N_PROBLEMS] = {
    [PROBLEM_NONE] = {200, "", NULL, 0},
    [PROBLEM_INVALID] = {400, "invalid_request_error", NULL, 0},
    [PROBLEM_JSON] = {400, "invalid_request_error", "invalid_json", 0},
    [PROBLEM_UNSUPPORTED] = {400, "invalid_request_error", "unsupported_parameter", 0},
    [PROBLEM_OPERATION] = {400, "invalid_request_error", "unsupported_operation", 0},
    [PROBLEM_CONTEXT] = {400, "invalid_request_error", "context_length_exceeded", 0},
    [PROBLEM_IMAGE] = {400, "invalid_request_error", "invalid_image", 0},
    [PROBLEM_HTTP] = {400, "invalid_request_error", "invalid_http", 0},
    [PROBLEM_KEY] = {401, "invalid_request_error", "invalid_api_key", 0},
    [PROBLEM_FORBIDDEN] = {403, "invalid_request_error", "forbidden", 0},
    [PROBLEM_PATH] = {404, "invalid_request_error", NULL, 0},
    [PROBLEM_MODEL] = {404, "invalid_request_error", "model_not_found", 0},
    [PROBLEM_METHOD] = {405, "invalid_request_error", "method_not_allowed", 0},
    [PROBLEM_BODY_SIZE] = {413, "invalid_request_error", "body_too_large", 0},
    [PROBLEM_MEDIA_TYPE] = {415, "invalid_request_error", "unsupported_media_type", 0},
    [PROBLEM_BUSY] = {429, "rate_limit_error", "rate_limit_exceeded", 1},
    [PROBLEM_SERVER] = {500, "server_error", "server_error", 0},
    [PROBLEM_MEMORY] = {503, "service_unavailable", "server_is_overloaded", 2},
    [PROBLEM_LOADING] = {503, "service_unavailable", "loading", 2},
    [PROBLEM_DRAINING] = {503, "service_unavailable", "draining", 5},
    [PROBLEM_STUCK] = {503, "service_unavailable", "engine_stuck", 10},
    [PROBLEM_DEVICE] = {503, "service_unavailable", "device_lost", 30},
    [PROBLEM_TIMEOUT] = {504, "server_error", "timeout", 0},
};

enum problem http_error_set(struct http_error *e, enum problem problem, const char *param, const char *format,
                            ...)
{
    if (e->problem != PROBLEM_NONE)
        return e->problem;
    e->problem = problem;
    snprintf(e->param, sizeof e->param, "%s", param ? param : "");
    va_list args;
    va_start(args, format);
    vsnprintf(e->message, sizeof e->message, format, args);
    va_end(args);
    return problem;
}

enum problem http_error_from(struct http_error *e, const struct error *err, const char *param)
{
    switch (err->status) {
    case STATUS_OK: break;
    case STATUS_BAD_REQUEST: return http_error_set(e, PROBLEM_INVALID, param, "%s", err->message);
    case STATUS_TOO_LARGE: return http_error_set(e, PROBLEM_CONTEXT, param, "%s", err->message);
    case STATUS_BUSY:
        return http_error_set(e, PROBLEM_BUSY, NULL, "too many requests are waiting; try again in a moment");
    case STATUS_CANCELLED: return http_error_set(e, PROBLEM_DRAINING, NULL, "the server is shutting down");
    case STATUS_TIMEOUT: return http_error_set(e, PROBLEM_TIMEOUT, NULL, "%s", err->message);
    case STATUS_NO_MEMORY:
        return http_error_set(e, PROBLEM_MEMORY, NULL, "not enough memory for this request; try again later");
    case STATUS_BAD_FILE:
    case STATUS_DEVICE: break;
    }
    log_error("a request failed: %s", err->message);
    return http_error_set(e, PROBLEM_SERVER, NULL, "the model failed while working on this request");
}

int http_retry_seconds(double wait)
{
    return wait < 1 ? 1 : wait > MOST_WAIT_SECONDS ? MOST_WAIT_SECONDS : (int)ceil(wait);
}

int http_error_status(const struct http_error *e)
{
    return problems[e->problem].status;
}

int http_error_retry_after(const struct http_error *e)
{
    return e->retry_after ? e->retry_after : problems[e->problem].retry_after;
}

/* A JSON string of text that may have been cut inside a character, or quote what is not UTF-8. */
static json_t *lossy_string(const char *text)
{
    struct buffer b;
    buffer_init(&b, 8192);
    utf8_append_lossy(&b, text, strlen(text));
    json_t *string = json_stringn_nocheck(b.length ? b.data : "", b.length);
    buffer_release(&b);
    return string;
}

char *http_error_body(const struct http_error *e, size_t *length)
{
    const char *code = problems[e->problem].code;
    json_t *body = json_pack("{s:{s:o, s:s, s:o, s:s?}}", "error", "message", lossy_string(e->message),
                             "type", problems[e->problem].type, "param",
                             e->param[0] ? lossy_string(e->param) : json_null(), "code", code);
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (!text)
        text = xstrdup("{\"error\":{\"message\":\"out of "
                       "memory\",\"type\":\"server_error\",\"param\":null,\"code\":null}}");
    *length = strlen(text);
    return text;
}
