/* A sequence is one request inside the engine: its ids, pictures, pages and where it stands. Owned by the engine's thread.
 *
 *   QUEUED -> ENCODE -> PREFILL -> TEXT -> IMAGE -> PAINT -> TEXT ...        any -> gone: done, failed or cancelled
 *
 * ids holds all positions of prompt and reply, whatever stands there; the first n_cached of them are in the LLM's cache.
 * A preempted sequence loses pages and picture rows, keeps ids and codes, and is QUEUED again: prefilling what it has is
 * all there is to coming back. */
#ifndef VARGPT_ENGINE_SEQUENCE_H
#define VARGPT_ENGINE_SEQUENCE_H

#include "engine/engine.h"
#include "engine/kv_pool.h"
#include "engine/model/model.h"

enum sequence_state {
    SEQUENCE_QUEUED,  /* holds no pages */
    SEQUENCE_ENCODE,  /* pictures of the prompt are becoming rows */
    SEQUENCE_PREFILL, /* ids on their way into the cache */
    SEQUENCE_TEXT,    /* one token a step */
    SEQUENCE_IMAGE,   /* one scale a step */
    SEQUENCE_PAINT,   /* all scales are there, their picture is under way */
};

/* Positions whose rows are not token embeddings. */
struct picture_rows {
    enum prompt_picture_kind kind;
    int first, n;
    const struct prompt_picture *prompt; /* the request's; NULL for one drawn in this reply */
    int32_t *codes;                      /* DRAWN: owned; NULL before they are known */
    uint8_t digest[32];                  /* prefix_digest_picture */
    float *rows;                         /* backend memory [n, H]; NULL while not (or no longer) needed */
};

/* A picture being drawn. */
struct drawing {
    int index;   /* among the reply's pictures */
    int scale;   /* the one that is next */
    int32_t *codes; /* [n_positions] host memory; scales before `scale` are chosen */
    float *f_hat;   /* backend memory [cells, Cvae] */
    float *map;     /* backend memory [largest p * p, C]: what `scale` starts from */
    struct page_table cond, uncond; /* of the image decoder's cache */
};

struct sequence {
    uint64_t id; /* ascending: older requests have lower ones */
    struct request *request;
    struct event_sink sink;
    enum sequence_state state;
    int32_t *ids; /* [n_ids] */
    int n_ids, ids_capacity, n_prompt;
    int n_cached;
    struct picture_rows *picture; /* [n_pictures], first ascending */
    int n_pictures;
    struct page_table pages;   /* of the LLM's cache */
    struct page_key *page_key; /* [n_keys] of the pages that ids fills */
    int n_keys, keys_capacity;
    int n_published; /* pages, from the first */
    int n_scored;    /* with prompt_logprobs: ids of the prompt whose log-probabilities were told; the first has none */
    bool started;    /* has held pages before: what it adopts now was counted already, or is its own */
    struct drawing *drawing; /* NULL when none is under way */
    struct usage usage;
    int n_drawn;     /* pictures of the reply */
    int64_t token_ns; /* clock_ns() when its last token was chosen, or it began to wait for one; 0: it does not */
    bool draws_next; /* the last id starts a picture: after it comes a scale, not a token */
    enum status given_up; /* STATUS_CANCELLED, _TIMEOUT or _NO_MEMORY: to be ended when nothing uses it */
    int64_t begun_ns;     /* when it first left the queue; 0 before */
    bool in_pass; /* has rows in the step's pass: must stay as it is until that has ended */
};

/* Takes the request over. */
struct sequence *sequence_open(const struct model *, uint64_t id, struct request *, struct event_sink);
/* Memory of the backend and pages must have been given back: sequence_drop. */
void sequence_close(struct sequence *);

/* By priority, then by age. */
static inline bool sequence_comes_before(const struct sequence *a, const struct sequence *b)
{
    int pa = a->request->priority, pb = b->request->priority;
    return pa != pb ? pa < pb : a->id < b->id;
}

void sequence_append(struct sequence *, int32_t id);
/* A drawn picture's positions: n pad ids and the rows they stand for. Takes codes over. */
void sequence_append_picture(struct sequence *, const struct model *, int32_t *codes);

/* ids not yet in the cache (while a picture is drawn the cache is ahead of them). */
static inline int sequence_pending(const struct sequence *s)
{
    return s->n_ids > s->n_cached ? s->n_ids - s->n_cached : 0;
}
/* Its next token takes one row, and no pass has that row yet. */
static inline bool sequence_wants_token(const struct sequence *s)
{
    return s->state == SEQUENCE_TEXT && !s->in_pass && sequence_pending(s) == 1;
}

/* The picture that position stands in, or NULL. */
struct picture_rows *sequence_picture_at(const struct sequence *, int position);

#endif
