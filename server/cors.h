/* Which web pages of other origins may call (Fetch standard, CORS). Pure functions. */
#ifndef VARGPT_SERVER_CORS_H
#define VARGPT_SERVER_CORS_H

#include "base/buffer.h"

#include <stdbool.h>

/* list: origins between commas, or "*"; may be NULL. */
bool cors_allows(const char *list, const char *origin);
/* Any origin, and so the same answer for all. */
bool cors_allows_all(const char *list);
/* Of the headers that a page wants to send ("a, b"), those that it may. */
void cors_append_headers(struct buffer *out, const char *wanted);

#define CORS_METHODS "GET, POST, DELETE, OPTIONS"
#define CORS_EXPOSED                                                                                         \
    "x-request-id, openai-processing-ms, retry-after, x-queue-position, x-ratelimit-limit-requests, "        \
    "x-ratelimit-limit-tokens, "                                                                             \
    "x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, x-ratelimit-reset-requests, "             \
    "x-ratelimit-reset-tokens"

#endif
