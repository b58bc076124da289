/* The LLM's part of a step: input rows in, hidden rows out, text tokens chosen from the last rows. */
#include "engine/engine_state.h"
#include "engine/prefix.h"

#include "base/clock.h"

#include <assert.h>

/* --- input rows --- */

static struct tensor float_rows(float *data, int rows, int cols)
{
    return (struct tensor){data, DTYPE_F32, rows, cols, cols};
}

/* Rows that are made from one place: embeddings of tokens, whoever they belong to, or one picture's rows. */
struct run {
    const struct picture_rows *picture; /* NULL: tokens */
    int first, n;
};

/* What each row of ids is made from: a token, or a row of a picture. */
static void upload_sources(struct engine *e, struct pass *pass)
{
    for (int i = 0; i < pass->n_planned; i++) {
        const struct planned *p = &pass->plan[i];
        for (int k = 0; k < p->n_rows; k++) {
            int position = p->sequence->n_cached + k;
            const struct picture_rows *picture =
                k < p->n_ids ? sequence_picture_at(p->sequence, position) : NULL;
            pass->source_host[p->first_row + k] = picture        ? position - picture->first
                                                  : k < p->n_ids ? p->sequence->ids[position]
                                                                 : 0;
        }
    }
    e->op->upload(e->be, pass->source, pass->source_host, (size_t)pass->batch.n_rows * sizeof *pass->source);
}

static void fill_run(struct engine *e, const struct pass *pass, struct tensor x, const struct run *r)
{
    struct tensor out = tensor_rows(x, r->first, r->n);
    if (r->n == 0)
        return;
    if (r->picture)
        e->op->gather(e->be, out, float_rows(r->picture->rows, r->picture->n, x.cols),
                      pass->source + r->first);
    else
        e->op->embed(e->be, out, e->model->llm.embedding, pass->source + r->first);
}

static void fill_ids(struct engine *e, const struct pass *pass, struct tensor x)
{
    struct run run = {0};
    for (int i = 0; i < pass->n_planned; i++) {
        const struct planned *p = &pass->plan[i];
        for (int k = 0; k < p->n_ids; k++) {
            const struct picture_rows *picture = sequence_picture_at(p->sequence, p->sequence->n_cached + k);
            if (picture != run.picture || p->first_row + k != run.first + run.n) {
                fill_run(e, pass, x, &run);
                run = (struct run){picture, p->first_row + k, 0};
            }
            run.n++;
        }
    }
    fill_run(e, pass, x, &run);
}

/* The maps of all drawings of this step go through the projector together. */
static void fill_maps(struct engine *e, const struct pass *pass, struct tensor x)
{
    const struct model *m = e->model;
    size_t mark = arena_mark(&e->arena);
    int total = 0, at = 0;
    for (int i = 0; i < pass->n_planned; i++)
        total += pass->plan[i].n_rows - pass->plan[i].n_ids;
    if (total == 0)
        return;
    struct tensor maps = arena_tensor(&e->arena, total, m->decoder.width);
    struct tensor rows = arena_tensor(&e->arena, total, x.cols);
    for (int i = 0; i < pass->n_planned; i++) {
        int n = pass->plan[i].n_rows - pass->plan[i].n_ids;
        if (n > 0)
            m->op->gather(m->be, tensor_rows(maps, at, n),
                          float_rows(pass->plan[i].sequence->drawing->map, n, m->decoder.width), m->iota);
        at += n;
    }
    image_decoder_rows_in(m, &e->arena, maps, rows);
    at = 0;
    for (int i = 0; i < pass->n_planned; i++) {
        const struct planned *p = &pass->plan[i];
        int n = p->n_rows - p->n_ids;
        if (n > 0)
            m->op->gather(m->be, tensor_rows(x, p->first_row + p->n_ids, n), tensor_rows(rows, at, n),
                          m->iota);
        at += n;
    }
    arena_reset(&e->arena, mark);
}

static void fill_rows(struct engine *e, const struct pass *pass, struct tensor x)
{
    fill_ids(e, pass, x);
    if (model_draws(e->model))
        fill_maps(e, pass, x);
}

/* --- after the LLM --- */

/* Picture rows that lie in the cache now are not needed any more. */
static void free_fed_pictures(struct engine *e, struct sequence *s)
{
    for (int i = 0; i < s->n_pictures; i++) {
        struct picture_rows *p = &s->picture[i];
        if (p->rows && p->first + p->n <= s->n_cached) {
            e->op->free(e->be, p->rows);
            p->rows = NULL;
        }
    }
}

static void trace_prompt(struct engine *e, struct sequence *s, struct tensor hidden)
{
    if (!s->request->trace)
        return;
    int first = s->n_cached;
    trace_rows(e, s, TRACE_PROMPT_HIDDEN, first, hidden);
    for (int at = 0; at < hidden.rows; at += e->max_sequences) {
        int n = hidden.rows - at < e->max_sequences ? hidden.rows - at : e->max_sequences;
        size_t mark = arena_mark(&e->arena);
        struct tensor logits = arena_tensor(&e->arena, n, e->model->config.llm.vocab);
        e->op->linear(e->be, logits, tensor_rows(hidden, at, n), e->model->llm.head, NULL, ACT_NONE);
        trace_rows(e, s, TRACE_PROMPT_LOGITS, first + at, logits);
        arena_reset(&e->arena, mark);
    }
}

static void send_token(struct sequence *s, enum event_type type, const struct sampled *t)
{
    sequence_send(s, &(struct event){
                         .type = type, .id = t->id, .logprob = t->logprob, .top = t->top, .n_top = t->n_top});
}

/* Tells how likely the next n ids of the prompt were after the rows whose logits these are. */
static void tell_scores(struct engine *e, struct sequence *s, int n)
{
    int vocab = e->model->config.llm.vocab;
    struct sampled t;
    for (int i = 0; i < n; i++, s->n_scored++) {
        if (sequence_picture_at(s, s->n_scored))
            continue;
        sampling_score(e->logits_host + (size_t)i * (size_t)vocab, vocab, s->ids[s->n_scored],
                       s->request->text.top_logprobs, &t);
        send_token(s, EVENT_PROMPT, &t);
    }
}

/* The prompt's log-probabilities, as far as these rows tell them: a few rows' logits at a time, as there is
 * room for; each such piece is a unit that chats may come in after. */
static void score_prompt(struct engine *e, struct sequence *s, struct tensor hidden)
{
    int vocab = e->model->config.llm.vocab;
    int end = s->n_cached + hidden.rows < s->n_prompt ? s->n_cached + hidden.rows + 1 : s->n_prompt;
    while (s->n_scored < end) {
        int n = end - s->n_scored < e->max_sequences ? end - s->n_scored : e->max_sequences;
        size_t mark = arena_mark(&e->arena);
        struct tensor logits = arena_tensor(&e->arena, n, vocab);
        e->op->linear(e->be, logits, tensor_rows(hidden, s->n_scored - 1 - s->n_cached, n),
                      e->model->llm.head, NULL, ACT_NONE);
        e->op->download(e->be, e->logits_host, logits.data, (size_t)n * (size_t)vocab * sizeof(float));
        arena_reset(&e->arena, mark);
        if (e->op->finish(e->be, NULL))
            return;
        tell_scores(e, s, n);
        model_between_units(e->model);
    }
}

static bool is_end(const struct model_config *c, int32_t id)
{
    for (int i = 0; i < c->n_end_ids; i++) {
        if (c->end_id[i] == id)
            return true;
    }
    return false;
}

/* Whether the model may decide to draw now: a picture's positions (and its end token's) must still fit. */
static bool may_draw(const struct engine *e, const struct sequence *s)
{
    const struct draw_options *d = &s->request->draw;
    return d->mode == DRAW_FREE && s->n_drawn < d->max_pictures &&
           s->n_ids + e->model->n_positions + 2 <= e->context;
}

static int list_masked(const struct engine *e, const struct sequence *s, int32_t masked[MAX_END_IDS + 1])
{
    const struct model_config *c = &e->model->config;
    const struct text_options *t = &s->request->text;
    int n = 0;
    if (model_draws(e->model) && !may_draw(e, s))
        masked[n++] = c->drawing.start_id;
    for (int i = 0; (t->ignore_end || s->usage.text_tokens < t->min_tokens) && i < c->n_end_ids; i++)
        masked[n++] = c->end_id[i];
    return n;
}

static void note_wait(struct engine *e, struct sequence *s)
{
    int64_t now = clock_ns(), wait = s->token_ns ? now - s->token_ns : 0;
    e->counted.longest_wait_ns = wait > e->counted.longest_wait_ns ? wait : e->counted.longest_wait_ns;
    s->token_ns = now;
}

bool reply_is_full(const struct engine *e, const struct sequence *s)
{
    int most = s->request->text.max_tokens;
    return (most >= 0 && s->usage.text_tokens >= most) || s->n_ids >= e->context;
}

/* How the sequence's next token is chosen from a row of logits, and what changes in that row before. */
static struct choice_row plan_choice(struct engine *e, struct sequence *s, int row)
{
    int32_t masked[MAX_END_IDS + 1];
    struct sampling_place at = {
        .ids = s->ids,
        .n_ids = (size_t)s->n_ids,
        .n_prompt = (size_t)s->n_prompt,
        .token_index = s->usage.text_tokens,
        .choice = s->request->choice,
        .masked = masked,
        .n_masked = list_masked(e, s, masked),
    };
    sampling_edit(&e->edits, row, &s->request->text, &at);
    return sampling_row(&s->request->text, &at);
}

/* The token after the sequence's last row. May end the sequence. logits: the model's own, where log-probabilities
 * are asked for. */
static void take_token(struct engine *e, struct sequence *s, int32_t id, const float *logits)
{
    const struct model_config *c = &e->model->config;
    const struct text_options *t = &s->request->text;
    struct sampled chosen = {.id = id};
    if (t->logprobs)
        sampling_score(logits, c->llm.vocab, id, t->top_logprobs, &chosen);
    note_wait(e, s);
    s->usage.text_tokens++;
    e->counted.text_tokens++;
    s->state = SEQUENCE_TEXT;
    if (is_end(c, id)) {
        if (t->prompt_logprobs)
            send_token(s, EVENT_TOKEN, &chosen);
        sequence_done(e, s, FINISH_STOP);
        return;
    }
    sequence_append(s, id);
    if (model_draws(e->model) && id == c->drawing.start_id) {
        s->draws_next = true;
        s->token_ns = 0;
        s->state = SEQUENCE_IMAGE;
        return;
    }
    send_token(s, EVENT_TOKEN, &chosen);
    if (reply_is_full(e, s))
        sequence_done(e, s, FINISH_LENGTH);
}

/* What the rows fed in this step lead to: true when a token is to be chosen. */
static bool settle_fed(struct engine *e, struct planned *p)
{
    struct sequence *s = p->sequence;
    s->n_cached += p->n_rows;
    prefix_publish(s, e->llm_pool);
    free_fed_pictures(e, s);
    if (s->state == SEQUENCE_IMAGE || sequence_pending(s) > 0)
        return false;
    if (s->draws_next) {
        s->state = SEQUENCE_IMAGE;
        return false;
    }
    return true;
}

/* The tokens after the pass's choosers, whose logits these are. The device chooses; only ids come back, and the
 * logits of those who ask for log-probabilities. */
static void choose_tokens(struct engine *e, struct pass *pass, struct tensor logits)
{
    int n = logits.rows;
    size_t vocab = (size_t)logits.cols, mark = arena_mark(&e->arena);
    int32_t *chosen = arena_ints(&e->arena, (size_t)n);
    e->edits.n = 0;
    for (int i = 0; i < n; i++) {
        e->how[i] = plan_choice(e, pass->chooser[i], i);
        if (pass->chooser[i]->request->text.logprobs)
            e->op->download(e->be, e->logits_host + (size_t)i * vocab, tensor_row(logits, i),
                            vocab * sizeof(float));
    }
    if (e->edits.n > 0)
        e->op->edit_logits(e->be, logits, e->edits.edit, e->edits.n);
    e->op->sample(e->be, chosen, logits, e->how);
    e->op->download(e->be, e->chosen, chosen, (size_t)n * sizeof *chosen);
    arena_reset(&e->arena, mark);
    if (e->op->finish(e->be, NULL)) /* a failure sticks: the step ends everyone */
        return;
    for (int i = 0; i < n; i++) {
        struct sequence *s = pass->chooser[i];
        if (reply_is_full(e, s)) /* nothing was asked for */
            sequence_done(e, s, FINISH_LENGTH);
        else
            take_token(e, s, e->chosen[i], e->logits_host + (size_t)i * vocab);
    }
}

static void text_step(struct engine *e, struct pass *pass, struct tensor x)
{
    int n = 0;
    int32_t *last = pass->source_host + pass->max_rows;
    for (int i = 0; i < pass->n_planned; i++) {
        struct planned *p = &pass->plan[i];
        if (p->n_ids == p->n_rows && p->sequence->n_cached < p->sequence->n_prompt) {
            trace_prompt(e, p->sequence, tensor_rows(x, p->first_row, p->n_rows));
            score_prompt(e, p->sequence, tensor_rows(x, p->first_row, p->n_rows));
        }
        if (p->n_ids < p->n_rows || !settle_fed(e, p))
            continue;
        last[n] = p->first_row + p->n_rows - 1;
        pass->chooser[n++] = p->sequence;
    }
    if (n == 0)
        return;
    size_t mark = arena_mark(&e->arena);
    struct tensor hidden = arena_tensor(&e->arena, n, x.cols);
    struct tensor logits = arena_tensor(&e->arena, n, e->model->config.llm.vocab);
    e->op->upload(e->be, pass->source + pass->max_rows, last, (size_t)n * sizeof *last);
    e->op->gather(e->be, hidden, x, pass->source + pass->max_rows);
    e->op->linear(e->be, logits, hidden, e->model->llm.head, NULL, ACT_NONE);
    choose_tokens(e, pass, logits);
    arena_reset(&e->arena, mark);
}

/* --- passes of nothing but chats' next tokens --- */

static bool is_decode(const struct pass *pass)
{
    for (int i = 0; i < pass->n_planned; i++) {
        const struct planned *p = &pass->plan[i];
        if (p->n_rows != 1 || p->n_ids != 1 || p->sequence->state != SEQUENCE_TEXT ||
            p->sequence->n_cached < p->sequence->n_prompt)
            return false;
    }
    return true;
}

static int most_keys(const struct batch *b)
{
    int most = 0;
    for (int i = 0; i < b->n_spans; i++)
        most = b->span[i].first_position >= most ? b->span[i].first_position + 1 : most;
    return most;
}

/* Token embeddings, the LLM, its head: each row ends a sequence's known ids. What differs from one such pass
 * to the next was uploaded before, so that the backend may keep the operations and repeat them. */
static void decode_step(struct engine *e, struct pass *pass, struct tensor x)
{
    const struct model *m = e->model;
    struct pass_shape shape = {x.data, x.rows, most_keys(&pass->batch)};
    size_t mark = arena_mark(&e->arena);
    bool in_interlude = e->in_interlude;
    enum replay replay = e->op->replay ? e->op->replay(e->be, &shape) : REPLAY_NOT;
    e->in_interlude = in_interlude || replay == REPLAY_RECORDS; /* nothing may come in between */
    if (replay != REPLAY_DONE) {
        e->op->embed(e->be, x, m->llm.embedding, pass->source);
        llm_forward(m, &e->arena, x, kv_pool_layers(e->llm_pool), &pass->batch.rows);
    }
    struct tensor logits = arena_tensor(&e->arena, x.rows, m->config.llm.vocab);
    if (replay != REPLAY_DONE)
        e->op->linear(e->be, logits, x, m->llm.head, NULL, ACT_NONE);
    if (replay == REPLAY_RECORDS)
        e->op->replay_end(e->be);
    e->in_interlude = in_interlude;
    for (int i = 0; i < pass->n_planned; i++) {
        settle_fed(e, &pass->plan[i]);
        pass->chooser[i] = pass->plan[i].sequence;
    }
    choose_tokens(e, pass, logits);
    arena_reset(&e->arena, mark);
}

/* Chats have their tokens: while the pass goes on to draw, interludes may bring them the next ones. */
static void release_chats(struct engine *e)
{
    for (int i = 0; i < e->n_running; i++) {
        struct sequence *s = e->running[i];
        s->in_pass = s->in_pass && s->state != SEQUENCE_TEXT;
    }
}

void run_pass(struct engine *e, struct pass *pass)
{
    const struct model *m = e->model;
    size_t mark = arena_mark(&e->arena);
    struct tensor x = arena_tensor(&e->arena, pass->batch.n_rows, m->config.llm.hidden);
    batch_upload(&pass->batch);
    upload_sources(e, pass);
    if (is_decode(pass)) {
        decode_step(e, pass, x);
    } else {
        fill_rows(e, pass, x);
        llm_forward(m, &e->arena, x, kv_pool_layers(e->llm_pool), &pass->batch.rows);
        text_step(e, pass, x);
    }
    if (model_draws(m) && pass == &e->pass) {
        release_chats(e);
        draw_step(e, x);
    }
    arena_reset(&e->arena, mark);
}

size_t text_step_arena(const struct engine *e, int pass_rows)
{
    const struct model *m = e->model;
    size_t n = (size_t)e->max_sequences, rows = (size_t)pass_rows, hidden = (size_t)m->config.llm.hidden;
    size_t last = arena_bytes(n * hidden) + arena_bytes(n * (size_t)m->config.llm.vocab) + arena_bytes(n);
    size_t maps = model_draws(m) ? arena_bytes(rows * (size_t)m->decoder.width) + arena_bytes(rows * hidden) +
                                       image_decoder_arena(m, pass_rows)
                                 : 0;
    size_t llm = llm_arena(m, pass_rows);
    size_t most = last > maps ? last : maps;
    return arena_bytes(rows * hidden) + (most > llm ? most : llm);
}
