/* The engine: one loaded model, one thread that runs it, and every request in flight. Requests are batched
 * continuously: each step computes one forward pass over rows of all of them. */
#ifndef VARGPT_ENGINE_ENGINE_H
#define VARGPT_ENGINE_ENGINE_H

#include "base/sha256.h"
#include "engine/backend.h"
#include "engine/model/model_config.h"
#include "engine/picture/codec.h"
#include "engine/request.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"

struct engine;

struct engine_options {
    const char *model_path; /* a checkpoint directory or a .gguf file */
    int context;            /* most positions of one request; 0 = the model's own */
    int max_sequences;      /* requests running at once; 0 = 16 */
    int max_queue;          /* requests waiting beside them; more are refused with STATUS_BUSY; 0 = 256 */
    int step_rows;          /* rows of one forward pass; 0 = 512; never fewer than max_sequences and a scale need */
    size_t cache_bytes;     /* of key/value memory, both pools; 0 = chosen from the memory at hand */
    enum dtype layers;      /* what the layers' matrices become: DTYPE_Q8_0, DTYPE_Q4_0, or DTYPE_F32 (0): nothing else */
    enum dtype cache_type;  /* what keys and values are kept as: DTYPE_F32 (0), DTYPE_BF16 or DTYPE_I8 */
    /* Long work of others is left for a chat's next token so that it takes at most token_wait_steps times what a step of
     * chats alone takes, or token_wait_ms, whichever is more. 0 = 4 and 250 */
    int token_wait_steps, token_wait_ms;
    /* How text is chosen where a request does not say, in place of the checkpoint's own defaults. */
    bool temperature_given, top_p_given, top_k_given;
    float temperature, top_p;
    int top_k;
    /* Load progress, 0..1, on the thread that calls engine_open; may be NULL. */
    void (*on_progress)(void *context, double fraction);
    void *progress_context;
};

enum finish_reason { FINISH_STOP, FINISH_LENGTH };

struct token_logprob {
    int32_t id;
    float logprob;
};

struct usage {
    int prompt_tokens, prompt_picture_tokens; /* the second is part of the first */
    int cached_tokens;
    int text_tokens, picture_tokens; /* of the reply: chosen text tokens (the end token too), image codes */
};

enum event_type {
    EVENT_PROMPT,  /* a token of the prompt, with prompt_logprobs: from the second one on, in order, before any other
                      event; positions of pictures are left out */
    EVENT_TOKEN,   /* a text token was chosen (end and image-start tokens are not shown as tokens) */
    EVENT_SCALE,   /* a scale of a picture was drawn */
    EVENT_PREVIEW, /* a picture so far */
    EVENT_PICTURE, /* a picture, done */
    EVENT_DONE,
    EVENT_FAILED,
};

/* Everything pointed to is valid during the call only. */
struct event {
    enum event_type type;
    int64_t begun_ns; /* clock_ns() when the request left the queue for the first time; 0: it never did */
    /* PROMPT, TOKEN */
    int32_t id;
    float logprob; /* 0 without logprobs */
    const struct token_logprob *top; /* [n_top], most likely first */
    int n_top;
    /* SCALE, PREVIEW, PICTURE */
    const struct picture *picture; /* not SCALE */
    int picture_index;  /* of this reply's pictures */
    int scale, n_scales; /* the last scale drawn, from 0 */
    uint64_t seed;
    uint32_t ordinal;
    const int32_t *codes; /* PICTURE: [n_codes] */
    size_t n_codes;
    /* DONE */
    enum finish_reason finish;
    struct usage usage;
    /* FAILED */
    const struct error *error;
};

struct event_sink {
    void (*on_event)(void *context, const struct event *); /* on the engine's thread; copy and return at once */
    void *context;
};

enum status engine_open(struct engine **out, struct backend *, const struct engine_options *, struct error *);
/* Accepts NULL. Requests in flight get EVENT_FAILED with STATUS_CANCELLED. The backend remains the caller's. */
void engine_close(struct engine *);

/* From any thread. On success the engine owns the request, *id (may be NULL) is its number, and the sink gets DONE or
 * FAILED exactly once, last. On failure the caller still owns it and the sink is never called: STATUS_BAD_REQUEST (ids or
 * codes out of range, no prompt, drawing with a model that cannot), STATUS_TOO_LARGE (does not fit the context or the
 * cache), STATUS_BUSY (queue full). */
enum status engine_submit(struct engine *, struct request *, struct event_sink, uint64_t *id, struct error *);
/* From any thread; the sink gets FAILED with STATUS_CANCELLED unless it has ended already. */
void engine_cancel(struct engine *, uint64_t id);
/* Place in the queue, from 1; 0: it is being computed, or has ended. Any thread. */
int engine_place(struct engine *, uint64_t id);

/* Immutable, any thread, valid until engine_close. */
const struct model_config *engine_config(const struct engine *);
const struct tokenizer *engine_tokenizer(const struct engine *);
const struct chat_template *engine_template(const struct engine *);
int engine_context(const struct engine *);   /* most positions of one request */
int engine_picture_tokens(const struct engine *); /* codes of a drawn picture; 0 when the model does not draw */
int engine_picture_side(const struct engine *);   /* width and height of a drawn picture in pixels; 0 likewise */
/* Whether a request and a seed give the same bytes alone and among others (--batch-invariant). */
bool engine_batch_invariant(const struct engine *);
int engine_seen_rows(const struct engine *);      /* positions that a seen picture takes; 0 when the model does not see */
/* Tells the checkpoint from others, by samples of its weights too (checkpoint_digest). Reads files: not for every request. */
void engine_digest(const struct engine *, uint8_t digest[SHA256_BYTES]);
/* The spelling of special tokens, "" when there is none. */
const char *engine_bos(const struct engine *);
const char *engine_eos(const struct engine *);
const char *engine_image_token(const struct engine *);

/* The constants that AdaLN became, for `vargpt verify`. block -1: the condition [C]; -2: the head's s, b [2][C];
 * otherwise that block's gamma1 gamma2 sigma1 sigma2 beta1 beta2 [6][C]. out: the caller's, or NULL to ask for the number
 * of values, which is returned (0: no such block). Only while no request is in flight. */
size_t engine_adaln(struct engine *, int block, float *out);

/* A look at what is going on; any thread. */
struct engine_status {
    int running, waiting;
    int64_t heartbeat_ns; /* clock_ns() at the start of the newest step or wake-up */
    bool stepping;        /* false while it sleeps for want of work */
    bool device_lost;     /* the backend fails for good: every request to come will, until the program starts anew */
    int pages, pages_used, pages_cached; /* of the LLM's cache: in all, held, kept for prefixes to come */
    int page_tokens;                     /* positions of one page */
    uint64_t preemptions;  /* so far: requests that gave their pages back and computed them again */
    uint64_t prompt_tokens, cached_tokens; /* so far: of prompts begun; of them, found in the cache */
    uint64_t text_tokens, pictures;        /* so far: chosen, drawn */
    uint64_t steps, interludes;            /* so far: passes of all kinds; of chats between the layers of others */
    uint64_t text_rows, image_rows, prefill_rows; /* so far: of the LLM's passes */
    uint64_t pictures_seen, pictures_remembered;  /* so far: looked at; of them, found in the cache */
    int64_t token_step_ns;                        /* a step of chats alone, smoothed; 0 before the first */
    int64_t longest_unit_ns;                      /* so far: between two places where chats' tokens can come in */
    int64_t longest_wait_ns;                      /* so far: a chat's for its next token */
};
void engine_look(struct engine *, struct engine_status *out);

/* Bytes that were taken, for start-up lines, `vargpt inspect` and `vargpt bench`. */
struct engine_memory {
    size_t weights, cache, work; /* of several cards: all weights; one card's cache, one card's work */
    size_t cache_page;           /* one page of the LLM's cache, PAGE_TOKENS positions, of cache_pages in all */
    int cache_pages;
    enum dtype cache_type;
    size_t available;       /* before the caches were opened, weights included, files' pages counted as free */
    const char *limit;      /* what said so: "machine", "control group" or "device" */
    const char *cache_rule; /* why the caches got so much, for a start-up line */
};
struct engine_memory engine_memory(const struct engine *);

#endif
