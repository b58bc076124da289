/* A body of /v1/completions, checked and turned into what the engine is asked: one request a prompt. */
#ifndef VARGPT_SERVER_COMPLETION_REQUEST_H
#define VARGPT_SERVER_COMPLETION_REQUEST_H

#include "server/text_read.h"
#include "server/usage.h"

struct server;

enum { MAX_COMPLETIONS = 128 }; /* prompts times `n` */

struct completion_prompt {
    struct request *request;
    char *text; /* what `echo` shows, malloc'ed; NULL without */
    size_t length;
    int32_t first_id, last_id; /* the text goes on from the last */
};

struct completion_request {
    struct completion_prompt *prompt; /* [prompts] */
    int prompts, choices;             /* `n` of each */
    struct stop_list stops;
    bool stream, include_usage, echo, logprobs;
    int top_logprobs;
    size_t rated; /* log-probabilities of prompts that the answer holds */
    uint64_t seed;
};

/* Problems go to the http_error; release in any case. */
void completion_request_read(struct completion_request *, struct server *, const char *body, size_t length,
                             struct http_error *);
void completion_request_release(struct completion_request *);

#endif
