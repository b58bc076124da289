/* What the files of the engine share. Everything is the engine's thread's but the part marked shared. */
#ifndef VARGPT_ENGINE_ENGINE_STATE_H
#define VARGPT_ENGINE_ENGINE_STATE_H

#include "engine/batch.h"
#include "engine/model/model_text.h"
#include "engine/sampling.h"
#include "engine/sequence.h"

#include <pthread.h>

/* Rows of this step that belong to one sequence. */
struct planned {
    struct sequence *sequence;
    int first_row, n_rows; /* in the LLM's batch */
    int n_ids;             /* of them, from s->ids; the rest are rows of the drawing's map */
};

/* One forward pass of the LLM: its rows, whose they are, and tables for building it. */
struct pass {
    int max_rows;
    struct batch batch;
    struct planned *plan; /* [n_planned] */
    int n_planned;
    struct sequence **chooser;     /* [max_sequences] those whose next token is chosen after it */
    int32_t *source_host, *source; /* [2 * max_rows] row numbers for embed and gather: host and backend memory */
};

/* What time things take here, smoothed; 0 until measured. */
struct pace {
    int64_t text_ns;      /* a pass of nothing but chats' next tokens */
    int64_t row_ns;       /* a row of other passes, all that follows it included */
    int64_t paint_ns;     /* codes to a picture */
    int64_t unit_ns;      /* the longest unit of the pass under way */
    int64_t last_unit_ns; /* clock_ns() when its newest unit ended */
    int64_t interludes_ns; /* spent on interludes within it */
};

struct painting;

struct engine {
    struct backend *be, *aside; /* the device, and its second line of work; the same where it has none */
    const struct backend_ops *op;
    struct model *model;
    struct model_text text;
    struct engine_memory memory;
    int context, max_sequences, step_rows, max_queue;
    int token_wait_steps, token_wait_ms;
    enum dtype cache_type;
    int max_drawings; /* pictures under way at once: what the image decoder's pool holds */

    struct kv_pool *llm_pool, *decoder_pool; /* decoder_pool NULL when the model does not draw */
    struct arena arena, paint_arena; /* the latter only with a second line, which uses it */
    struct painting *painting; /* [n_paintings] of paint.c */
    int n_paintings;
    bool paint_failed; /* the second line has; the step is to end */
    struct batch decoder_batch;
    struct pass pass, interlude; /* the step's, and the one between its units */
    bool in_interlude; /* or no interlude may begin */
    struct pace pace;
    float *logits_host; /* [max_sequences, vocab] of rows whose log-probabilities are asked for */
    struct logit_edits edits; /* of the rows that tokens are chosen from */
    struct choice_row *how;   /* [max_sequences] how */
    int32_t *chosen;          /* [max_sequences] and which */

    struct sequence **running; /* [n_running] oldest first */
    int n_running;
    struct engine_status counted; /* what engine_status counts "so far" */
    struct seen_picture *seen;    /* [SEEN_PICTURES] of encode_step.c */

    /* shared, under the lock */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct sequence **waiting; /* [n_waiting] oldest first */
    int n_waiting;
    uint64_t next_id;
    uint64_t *cancel; /* [n_cancel] ids to give up */
    int n_cancel, cancel_capacity;
    bool stop;
    struct engine_status status;
    pthread_t thread;
    bool thread_started;
};

/* engine_sizes.c */
enum status engine_open_caches(struct engine *, size_t cache_bytes, struct error *);
enum status engine_open_work(struct engine *, struct error *);
void pass_release(struct engine *, struct pass *);

/* reserve.c: what the device needs of its own for passes of this engine's sizes */
enum status engine_reserve(struct engine *, struct error *);

/* coming.c: backend memory that comes and goes with requests */
enum { MOST_DRAWINGS = 8, SEEN_PICTURES = 8 }; /* drawings with guidance at once; pictures whose rows are remembered */
size_t coming_bytes(const struct engine *);  /* the most that is sure to be needed */
enum status coming_check(const struct engine *, struct error *); /* STATUS_NO_MEMORY when less than that is left */
/* Backend memory, for which remembered pictures are forgotten, if need be; NULL when there is none. */
void *coming_take(struct engine *, size_t bytes);
/* Whether others than s have some, which they will give back. */
bool coming_may_wait(const struct engine *, const struct sequence *s);
/* Takes what the last of those after s has, and its pages; false when there is nobody. */
bool coming_preempt(struct engine *, const struct sequence *s);

/* scheduler.c */
void scheduler_admit(struct engine *); /* arrivals and cancellations; waits here while there is nothing to do */
void scheduler_plan(struct engine *);  /* which rows run in this step: e->pass */
void scheduler_plan_interlude(struct engine *); /* chats' next tokens alone: e->interlude */
bool scheduler_may_preempt(const struct sequence *);
void scheduler_preempt(struct engine *, struct sequence *); /* it gives back what it has, and is queued again */
void scheduler_poll(struct engine *);  /* in the middle of a pass: heartbeat, cancellations of those outside it */

/* interlude.c: a chat must not wait for long passes. No next token takes longer than patience_ns(), but for the rest of the
 * unit under way: a pass that would is run without the chats' rows, and they get their own short passes in between. */
int64_t patience_ns(const struct engine *);
int64_t tokens_due_ns(const struct engine *); /* clock_ns() when the chat that waits longest should have its token */
void pace_begin(struct engine *);                      /* a pass begins */
void pace_end(struct engine *, int text_rows, int64_t began_ns); /* and has ended */
void interlude(void *engine);                          /* the model's between_units */

void scheduler_check_pages(const struct engine *); /* asserts that every page is accounted for */

/* encode_step.c: pictures of prompts become rows, one picture a step and sequence */
void encode_step(struct engine *);
void encode_begin(struct sequence *); /* from now on it encodes, or prefills when no picture is left to encode */
void seen_pictures_open(struct engine *);
void seen_pictures_close(struct engine *);
bool seen_pictures_forget_oldest(struct engine *); /* false when none is remembered */
/* text_step.c */
bool reply_is_full(const struct engine *, const struct sequence *); /* no text token may follow */
/* Input rows, the LLM, text tokens and, in the step's own pass, drawing. */
void run_pass(struct engine *, struct pass *);
/* draw_step.c: x: the LLM's output */
bool drawing_begin(struct engine *, struct sequence *); /* false when pages are short, or memory: then it gives up */
void draw_step(struct engine *, struct tensor x);
struct tensor drawing_feature_map(const struct model *, const struct drawing *);
/* An event of a drawing: EVENT_SCALE, or with a picture _PREVIEW or _PICTURE. */
void drawing_send(struct sequence *, enum event_type, int scale, const struct picture *, const struct model *);
void drawing_end(struct engine *, struct sequence *); /* its picture was sent; may end the sequence */
size_t draw_step_arena(const struct engine *);
size_t encode_step_arena(const struct engine *);
size_t text_step_arena(const struct engine *, int rows);

/* paint.c: the VAE decodes drawings' maps on the second line */
static inline bool engine_paints_aside(const struct engine *e)
{
    return e->aside != e->be;
}
void paint_open(struct engine *);
void paint_close(struct engine *);
/* What the sequence's drawing has by now, as an EVENT_PREVIEW, or the last one, an EVENT_PICTURE. Not while another of
 * its paintings is pending; the map must stay as it is until then. */
void paint_begin(struct engine *, struct sequence *, enum event_type);
/* Sends what is painted, and ends those drawings. wait: all that is pending; otherwise nothing while any is. A failure
 * sets paint_failed. */
void paint_collect(struct engine *, bool wait);
bool paint_is_pending(const struct engine *, const struct sequence *);
void paint_forget(struct engine *, const struct sequence *); /* it is going */
bool paint_give_up(struct engine *); /* after a failure, when no sequence is left; false: the second line is lost */
size_t paint_arena(const struct engine *);

/* finish.c: the ends of sequences, events, traces */
void drawing_drop(struct engine *, struct sequence *); /* gives back what a picture under way has, if there is one */
void sequence_drop(struct engine *, struct sequence *); /* gives back pages and backend memory */
void sequence_done(struct engine *, struct sequence *, enum finish_reason);
void sequence_fail(struct engine *, struct sequence *, const struct error *);
void engine_fail_all(struct engine *, const struct error *); /* of the running */
void sequence_send(struct sequence *, const struct event *);
/* Shows rows to a traced request; does nothing for others. */
void trace_rows(struct engine *, struct sequence *, enum trace_point, int index, struct tensor rows);

#endif
