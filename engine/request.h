/* One request, as plain C: what the model is shown, and how text and pictures are chosen. A request is owned by whoever
 * holds it; engine_submit takes it over. */
#ifndef VARGPT_ENGINE_REQUEST_H
#define VARGPT_ENGINE_REQUEST_H

#include "base/choice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A picture inside the prompt: rows that are not token embeddings. */
enum prompt_picture_kind {
    PICTURE_SEEN,  /* looked at: `pixels` go through the vision tower and the projector */
    PICTURE_DRAWN, /* drawn in an earlier turn: `codes`, or where there are none, `pixels` through the VQVAE encoder */
};

struct prompt_picture {
    enum prompt_picture_kind kind;
    size_t first_id; /* its rows stand for the ids from here on: as many as
                        engine_seen_rows() or engine_picture_tokens() says */
    float *pixels;   /* SEEN: [3][crop][crop] from vision_input_make; DRAWN: [3][side][side] in -1..1, or NULL. malloc'ed */
    size_t n_pixels; /* values in pixels */
    int32_t *codes;  /* DRAWN: [engine_picture_tokens()], or NULL. malloc'ed */
    size_t n_codes;
};

struct token_bias {
    int32_t id;
    float bias; /* added to the logit */
};

/* How text tokens are chosen. */
struct text_options {
    struct choice_filter filter; /* temperature 0 = greedy */
    uint64_t seed;
    float repetition_penalty;                   /* 1 = off; divides positive logits of ids seen in prompt and reply */
    float frequency_penalty, presence_penalty;  /* of ids in the reply; 0 = off */
    struct token_bias *bias;                    /* [n_bias], malloc'ed, may be NULL */
    size_t n_bias;
    int max_tokens;    /* text tokens of the reply at most; -1 = to the end of the context. 0: nothing is chosen */
    int min_tokens;    /* end ids are masked before that many */
    bool ignore_end;   /* end ids do not end the reply (they are masked) */
    bool logprobs;     /* report log-probabilities: of the model's own distribution, before bias, penalties and temperature */
    int top_logprobs;  /* 0..20, with logprobs */
    /* For judging texts: report log-probabilities of the prompt too (with as many top ones), and the end token that the
     * reply ends with, as if it were shown. The prompt is then computed anew, whatever the prefix cache holds of it. */
    bool prompt_logprobs;
};

enum draw_mode {
    DRAW_NEVER, /* the image-start token is masked */
    DRAW_FREE,  /* the model decides; the reply goes on after a picture */
    DRAW_NOW,   /* a picture straight after the prompt, then the end. The image-start token is fed by the engine */
};

/* How pictures are drawn (docs/model.md, sections 5 to 7). */
struct draw_options {
    enum draw_mode mode;
    struct choice_filter filter; /* defaults: temperature 1, top_k 900, top_p 0.96 */
    float guidance;              /* classifier-free guidance, default 1.5 */
    uint64_t seed;
    uint32_t first_picture; /* number, within the choice, of the reply's first picture: its ordinal is
                               65536 * choice + first_picture. 0 but for a reply that is taken up again */
    uint32_t previews; /* bit s: an EVENT_PREVIEW after scale s; dropped where chats wait and it would hold them up */
    int max_pictures;  /* in one reply; then the image-start token is masked */
    int32_t *given;    /* [engine_picture_tokens()] codes that are not chosen but given, -1 where chosen; or NULL.
                          malloc'ed */
    size_t n_given;
};

/* Where a traced request shows what it computed, for `vargpt verify`: rows of host memory, valid during the call. */
enum trace_point {
    TRACE_VISION_FEATURES, /* index: picture; [patches, width] the selected hidden state */
    TRACE_PICTURE_ROWS,    /* index: picture; [rows, H] what the LLM is fed */
    TRACE_ENCODED,         /* index: picture; [cells, Cvae] the VQVAE encoder's output */
    TRACE_CODES,           /* index: picture; [1, codes] the codes of a DRAWN picture, as floats */
    TRACE_PROMPT_HIDDEN,   /* index: position of the first row; [rows, H] after the final norm */
    TRACE_PROMPT_LOGITS,   /* the same rows' logits [rows, vocabulary] */
    TRACE_SCALE_HIDDEN,    /* index: scale; [codes of the scale, H] */
    TRACE_COND_LOGITS,     /* index: scale; [codes of the scale, V], before guidance */
    TRACE_UNCOND_LOGITS,   /* the same of the unconditional branch (absent with guidance 0) */
    TRACE_FEATURE_MAP,     /* index: scale; [cells, Cvae] f_hat after the scale */
    TRACE_PICTURE,         /* index: picture of the reply; [height * width, 3] before rounding, -1..1 */
};
struct trace {
    void (*on_rows)(void *context, enum trace_point, int index, const float *values, int rows, int cols);
    void *context; /* called on the engine's thread */
};

struct request {
    int32_t *ids; /* [n_ids] the prompt, picture rows' ids included; malloc'ed */
    size_t n_ids;
    struct prompt_picture *picture; /* [n_pictures], first_id ascending; malloc'ed */
    size_t n_pictures;
    uint32_t choice; /* index among the choices of one API request: part of every random number's place */
    struct text_options text;
    struct draw_options draw;
    int priority;        /* lower comes first; equals in order of arrival */
    int64_t deadline_ns; /* clock_ns() after which it fails with STATUS_TIMEOUT; 0 = none */
    uint8_t cache_salt[16]; /* prompts share cached prefixes only where this is the same */
    const struct trace *trace; /* the caller's; NULL = none */
};

/* A request with every option at its default (greedy off: temperature 1; seed 0), no prompt. */
struct request *request_new(void);
/* A deep copy (for n > 1), or NULL for lack of memory. */
struct request *request_copy(const struct request *);
void request_close(struct request *); /* accepts NULL */

#endif
