/* A stand-in for the engine, for tests of the HTTP side: a token is a byte, a request is a thread, and the
 * last user message says what happens. What is behind the first word is echoed.
 * - /wait: nothing, until cancelled
 * - /slow: 10 ms a token
 * - /forever: tokens until cancelled
 * - /flood: 100,000 tokens at once
 * - /draw: text, a picture, text
 * - /sampling, in a text to draw: the picture's first codes are how it is drawn: guidance * 100, top_k, top_p
 * * 1000, temperature * 1000
 * - /fail: fails as a device would
 * - /salt: the salt of its cache
 * - /cancelled: says how many were cancelled
 * - /clock N: its clock every 5 ms
 */
#include "tests/server/fake_engine.h"
#include "base/clock.h"
#include "base/memory.h"
#include "engine/prompt.h"
#include "engine/text/text_stream.h"
#include "engine/text/utf8.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    ID_END = 256,
    ID_IMAGE = 257,
    ID_DRAW = 258,
    VOCAB = 300,
    CONTEXT = 400000,
    SIDE = 64,
    CODES = 680,
    SCALES = 10
};
enum { SEEN_ROWS = 16, MAX_RUNNING = 4096 };

struct tokenizer {
    int unused;
};

struct run {
    struct engine *engine;
    struct request *request;
    struct event_sink sink;
    uint64_t id;
    pthread_cond_t wake; /* it was cancelled */
    bool cancelled;      /* under the engine's lock */
    bool begun;          /* likewise: it has a slot */
    int64_t begun_ns;
    struct run *next;
};

struct engine {
    struct model_config config;
    struct tokenizer tokenizer;
    int max_running, slots;
    bool stuck, lost;
    pthread_mutex_t lock;
    pthread_cond_t change;
    struct run *runs;
    int n_runs, n_cancelled;
    uint64_t next_id;
};

struct engine *fake_engine_open(struct fake_options options)
{
    struct engine *e = xcalloc(1, sizeof *e);
    e->config = (struct model_config){
        .kind = MODEL_VARGPT, .name = "fake", .image_id = ID_IMAGE, .temperature = 1, .top_p = 1};
    e->config.llm.vocab = VOCAB;
    e->max_running = options.running ? options.running : MAX_RUNNING;
    e->slots = options.slots ? options.slots : MAX_RUNNING;
    e->stuck = options.stuck;
    e->lost = options.lost;
    e->config.drawing.n_scales = SCALES;
    e->config.drawing.guidance = 1.5f;
    e->config.drawing.filter = (struct choice_filter){.temperature = 1, .top_k = 900, .top_p = 0.96f};
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->change, NULL);
    return e;
}

/* With the engine's lock held. */
static void cancel(struct run *r)
{
    r->cancelled = true;
    pthread_cond_signal(&r->wake);
}

void engine_close(struct engine *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&e->lock);
    for (struct run *r = e->runs; r; r = r->next)
        cancel(r);
    while (e->n_runs > 0)
        pthread_cond_wait(&e->change, &e->lock);
    pthread_mutex_unlock(&e->lock);
    pthread_cond_destroy(&e->change);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

static bool is_late(const struct run *r)
{
    return r->request->deadline_ns && clock_ns() > r->request->deadline_ns;
}

/* Sleeps, or returns true at once when cancelled, or late. */
static bool pause_run(struct run *r, int ms)
{
    struct timespec until;
    int64_t left = r->request->deadline_ns ? (r->request->deadline_ns - clock_ns()) / 1000000 + 1 : ms;
    ms = left < ms ? left > 0 ? (int)left : 0 : ms;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&r->engine->lock);
    int late = 0;
    while (!r->cancelled && ms && !late)
        late = pthread_cond_timedwait(&r->wake, &r->engine->lock, &until);
    bool cancelled = r->cancelled || is_late(r);
    pthread_mutex_unlock(&r->engine->lock);
    return cancelled;
}

static void tell(struct run *r, const struct event *e)
{
    struct event dated = *e;
    dated.begun_ns = r->begun_ns;
    r->sink.on_event(r->sink.context, &dated);
}

/* With the lock held: how many came before it and are not done. */
static int count_before(const struct engine *e, const struct run *run, bool waiting)
{
    int n = 0;
    for (const struct run *r = e->runs; r; r = r->next)
        n += r->id < run->id && !(waiting && r->begun);
    return n;
}

/* Waits for a slot; false when given up before. */
static bool begin(struct run *r)
{
    struct engine *e = r->engine;
    bool free_slot;
    do {
        pthread_mutex_lock(&e->lock);
        free_slot = count_before(e, r, false) < e->slots;
        if (free_slot) {
            r->begun = true;
            r->begun_ns = clock_ns();
        }
        pthread_mutex_unlock(&e->lock);
    } while (!free_slot && !pause_run(r, 20));
    return free_slot;
}

static void say(struct run *r, struct usage *usage, const char *text, size_t n, int ms)
{
    struct token_logprob top[20];
    for (size_t i = 0; i < n; i++) {
        if (pause_run(r, ms))
            return;
        int max = r->request->text.max_tokens;
        if (max >= 0 && usage->text_tokens >= max)
            return;
        usage->text_tokens++;
        unsigned char c = (unsigned char)text[i];
        for (int k = 0; k < r->request->text.top_logprobs; k++)
            top[k] = (struct token_logprob){(c + k) % 256, k < 19 ? -0.5f - (float)k : -INFINITY};
        tell(r, &(struct event){.type = EVENT_TOKEN,
                                .id = c,
                                .logprob = r->request->text.logprobs ? -0.5f : 0,
                                .top = top,
                                .n_top = r->request->text.top_logprobs});
    }
}

/* The log-probability of the prompt's id i is -i. */
static void rate_prompt(struct run *r)
{
    for (size_t i = 1; r->request->text.prompt_logprobs && i < r->request->n_ids; i++) {
        int32_t id = r->request->ids[i];
        struct token_logprob top[20];
        for (int k = 0; k < r->request->text.top_logprobs; k++)
            top[k] = (struct token_logprob){(id + k) % 256, -(float)i - (float)k};
        tell(r, &(struct event){.type = EVENT_PROMPT,
                                .id = id,
                                .logprob = -(float)i,
                                .top = top,
                                .n_top = r->request->text.top_logprobs});
    }
}

/* "t", the clock's nanoseconds and a space; for bench/http. */
static void say_clock(struct run *r, struct usage *usage)
{
    char text[32];
    int n = snprintf(text, sizeof text, "t%lld ", (long long)clock_ns());
    say(r, usage, text, (size_t)n, 0);
}

static void draw(struct run *r, struct usage *usage, int index, const char *text)
{
    static const int sizes[SCALES] = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
    uint8_t *rgb = xcalloc(SIDE * SIDE, 3);
    int32_t codes[CODES];
    uint64_t seed = r->request->draw.seed;
    uint32_t ordinal = 65536 * r->request->choice + (uint32_t)index;
    struct picture picture = {SIDE, SIDE, rgb};
    for (int i = 0; i < CODES; i++)
        codes[i] = (int32_t)((seed + ordinal + (uint64_t)i) % 64);
    if (strstr(text, "/sampling")) {
        const struct draw_options *d = &r->request->draw;
        codes[0] = (int32_t)lrintf(d->guidance * 100);
        codes[1] = d->filter.top_k;
        codes[2] = (int32_t)lrintf(d->filter.top_p * 1000);
        codes[3] = (int32_t)lrintf(d->filter.temperature * 1000);
    }
    for (int scale = 0; scale < SCALES; scale++) {
        for (int i = 0; i < SIDE * SIDE * 3; i++)
            rgb[i] = (uint8_t)(seed * 31 + ordinal * 7 + (uint64_t)(i / (3 * SIDE / sizes[scale])));
        bool last = scale == SCALES - 1;
        tell(r, &(struct event){.type = EVENT_SCALE,
                                .picture_index = index,
                                .scale = scale,
                                .n_scales = SCALES,
                                .seed = seed,
                                .ordinal = ordinal});
        if (last || r->request->draw.previews >> scale & 1)
            tell(r, &(struct event){.type = last ? EVENT_PICTURE : EVENT_PREVIEW,
                                    .picture = &picture,
                                    .picture_index = index,
                                    .scale = scale,
                                    .n_scales = SCALES,
                                    .seed = seed,
                                    .ordinal = ordinal,
                                    .codes = last ? codes : NULL,
                                    .n_codes = last ? CODES : 0});
    }
    usage->picture_tokens += CODES;
    free(rgb);
}

/* The text of the last user message, malloc'ed. */
static char *last_message(const struct request *request)
{
    static const char marker[] = "USER: ";
    char *text = xmalloc(request->n_ids + 1), *last = text;
    size_t n = 0;
    for (size_t i = 0; i < request->n_ids; i++)
        if (request->ids[i] < 256)
            text[n++] = (char)request->ids[i];
    text[n] = 0;
    for (char *at = text; (at = memmem(at, n - (size_t)(at - text), marker, 6)) != NULL;)
        last = at += 6;
    char *end = memmem(last, n - (size_t)(last - text), " ASSISTANT:", 11);
    char *copy = xstrndup(last, end ? (size_t)(end - last) : strlen(last));
    free(text);
    return copy;
}

static bool is_command(const char **text, const char *command)
{
    size_t n = strlen(command);
    if (strncmp(*text, command, n) != 0)
        return false;
    *text += n + ((*text)[n] == ' ');
    return true;
}

static struct error act(struct run *r, struct usage *usage, const char *text)
{
    struct error err = {0};
    char line[64];
    if (r->request->draw.mode == DRAW_NOW) {
        if (strstr(text, "/slow"))
            pause_run(r, 500);
        draw(r, usage, 0, text);
    } else if (is_command(&text, "/wait")) {
        while (!pause_run(r, 60000))
            ;
    } else if (is_command(&text, "/forever")) {
        while (!pause_run(r, 5))
            say(r, usage, "x", 1, 0);
    } else if (is_command(&text, "/clock")) {
        for (long n = strtol(text, NULL, 10); n > 0 && !pause_run(r, 5); n--)
            say_clock(r, usage);
    } else if (is_command(&text, "/slow")) {
        say(r, usage, text, strlen(text), 10);
    } else if (is_command(&text, "/flood")) {
        for (int i = 0; i < 10000; i++)
            say(r, usage, "0123456789", 10, 0);
    } else if (is_command(&text, "/fail")) {
        say(r, usage, text, strlen(text), 0);
        error_set(&err, STATUS_DEVICE, "secret detail at 0x1234");
    } else if (is_command(&text, "/draw") && r->request->draw.mode == DRAW_FREE) {
        say(r, usage, "before ", 7, 0);
        draw(r, usage, 0, text);
        say(r, usage, text, strlen(text), 0);
    } else if (is_command(&text, "/salt")) {
        for (int i = 0; i < 16; i++)
            snprintf(line + 2 * i, 3, "%02x", r->request->cache_salt[i]);
        say(r, usage, line, 32, 0);
    } else if (is_command(&text, "/cancelled")) {
        pthread_mutex_lock(&r->engine->lock);
        snprintf(line, sizeof line, "%d", r->engine->n_cancelled);
        pthread_mutex_unlock(&r->engine->lock);
        say(r, usage, line, strlen(line), 0);
    } else {
        say(r, usage, text, strlen(text), 0);
    }
    return err;
}

static void end_run(struct run *r)
{
    struct engine *e = r->engine;
    pthread_mutex_lock(&e->lock);
    for (struct run **at = &e->runs; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    e->n_runs--;
    e->n_cancelled += r->cancelled;
    pthread_cond_broadcast(&e->change);
    pthread_mutex_unlock(&e->lock);
    pthread_cond_destroy(&r->wake);
    request_close(r->request);
    free(r);
}

static void *run_thread(void *context)
{
    struct run *r = context;
    struct usage usage = {.prompt_tokens = (int)r->request->n_ids};
    char *text = last_message(r->request);
    struct error err = {0};
    if (begin(r)) {
        rate_prompt(r);
        err = act(r, &usage, text);
    }
    int max = r->request->text.max_tokens;
    if (pause_run(r, 0))
        error_set(&err, is_late(r) ? STATUS_TIMEOUT : STATUS_CANCELLED, "given up");
    for (size_t i = 0; i < r->request->n_ids; i++)
        usage.prompt_picture_tokens += r->request->ids[i] == ID_IMAGE;
    if (err.status)
        tell(r, &(struct event){.type = EVENT_FAILED, .error = &err});
    else
        tell(r,
             &(struct event){.type = EVENT_DONE,
                             .usage = usage,
                             .finish = max >= 0 && usage.text_tokens >= max ? FINISH_LENGTH : FINISH_STOP});
    free(text);
    end_run(r);
    return NULL;
}

enum status engine_submit(struct engine *e, struct request *request, struct event_sink sink, uint64_t *id,
                          struct error *err)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_mutex_lock(&e->lock);
    if (e->n_runs >= e->max_running) {
        pthread_mutex_unlock(&e->lock);
        return error_set(err, STATUS_BUSY, "the queue is full");
    }
    struct run *r = xcalloc(1, sizeof *r);
    *r = (struct run){.engine = e, .request = request, .sink = sink, .id = e->next_id++, .next = e->runs};
    pthread_cond_init(&r->wake, NULL);
    e->runs = r;
    e->n_runs++;
    *id = r->id;
    pthread_mutex_unlock(&e->lock);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 512 << 10);
    if (pthread_create(&thread, &attr, run_thread, r))
        abort();
    pthread_attr_destroy(&attr);
    return STATUS_OK;
}

void engine_cancel(struct engine *e, uint64_t id)
{
    pthread_mutex_lock(&e->lock);
    for (struct run *r = e->runs; r; r = r->next)
        if (r->id == id)
            cancel(r);
    pthread_mutex_unlock(&e->lock);
}

int engine_place(struct engine *e, uint64_t id)
{
    int place = 0;
    pthread_mutex_lock(&e->lock);
    for (const struct run *r = e->runs; r; r = r->next)
        if (r->id == id && !r->begun)
            place = 1 + count_before(e, r, true);
    pthread_mutex_unlock(&e->lock);
    return place;
}

const struct model_config *engine_config(const struct engine *e)
{
    return &e->config;
}
const struct tokenizer *engine_tokenizer(const struct engine *e)
{
    return &e->tokenizer;
}
int engine_context(const struct engine *e)
{
    (void)e;
    return CONTEXT;
}
int engine_picture_tokens(const struct engine *e)
{
    (void)e;
    return CODES;
}
int engine_picture_side(const struct engine *e)
{
    (void)e;
    return SIDE;
}
bool engine_batch_invariant(const struct engine *e)
{
    (void)e;
    return true;
}

void engine_digest(const struct engine *e, uint8_t digest[SHA256_BYTES])
{
    (void)e;
    memset(digest, 7, SHA256_BYTES);
}

void engine_look(struct engine *e, struct engine_status *out)
{
    pthread_mutex_lock(&e->lock);
    *out = (struct engine_status){.heartbeat_ns = e->stuck ? 1 : clock_ns(),
                                  .stepping = e->stuck,
                                  .device_lost = e->lost,
                                  .token_step_ns = 2000000,
                                  .longest_unit_ns = 3000000,
                                  .longest_wait_ns = 250000000,
                                  .pages = 100,
                                  .page_tokens = 16};
    for (const struct run *r = e->runs; r; r = r->next)
        *(r->begun ? &out->running : &out->waiting) += 1;
    out->pages_used = out->running < 100 ? out->running : 100;
    pthread_mutex_unlock(&e->lock);
}

/* ---- requests and prompts ---- */

struct request *request_new(void)
{
    struct request *r = xcalloc(1, sizeof *r);
    r->text = (struct text_options){
        .filter = {.temperature = 1, .top_p = 1}, .repetition_penalty = 1, .max_tokens = -1};
    r->draw = (struct draw_options){.filter = {1, 900, 0.96f, 0}, .guidance = 1.5f, .max_pictures = 4};
    return r;
}

static void *copy_bytes(const void *from, size_t n)
{
    return from ? memcpy(xmalloc(n), from, n) : NULL;
}

struct request *request_copy(const struct request *from)
{
    struct request *r = xmalloc(sizeof *r);
    *r = *from;
    r->ids = copy_bytes(from->ids, from->n_ids * sizeof from->ids[0]);
    r->text.bias = copy_bytes(from->text.bias, from->text.n_bias * sizeof from->text.bias[0]);
    r->picture = copy_bytes(from->picture, from->n_pictures * sizeof from->picture[0]);
    return r;
}

void request_close(struct request *r)
{
    if (!r)
        return;
    free(r->ids);
    free(r->text.bias);
    free(r->picture);
    free(r);
}

static void add_id(struct token_list *list, int32_t id, int times)
{
    while (times-- > 0)
        token_list_append(list, id);
}

static void add_text(struct token_list *list, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        token_list_append(list, (unsigned char)text[i]);
}

enum status prompt_build(const struct engine *e, const struct prompt_message *message, size_t n,
                         bool generation_prompt, struct request *r, struct error *err)
{
    struct token_list list = {0};
    (void)e;
    for (size_t m = 0; m < n; m++) {
        add_text(&list, strcmp(message[m].role, "user") ? "OTHER: " : "USER: ",
                 strcmp(message[m].role, "user") ? 7 : 6);
        for (size_t p = 0; p < message[m].n_parts; p++) {
            const struct prompt_part *part = &message[m].part[p];
            if (part->kind == PROMPT_TEXT) {
                add_text(&list, part->text, part->length);
                continue;
            }
            r->picture = xrealloc(r->picture, (r->n_pictures + 1) * sizeof r->picture[0]);
            r->picture[r->n_pictures++] = (struct prompt_picture){
                .kind = part->kind == PROMPT_SEEN ? PICTURE_SEEN : PICTURE_DRAWN, .first_id = list.count};
            add_id(&list, part->codes ? ID_DRAW : ID_IMAGE, part->kind == PROMPT_SEEN ? SEEN_ROWS : CODES);
        }
        add_text(&list, " ", 1);
    }
    if (generation_prompt)
        add_text(&list, "ASSISTANT:", 10);
    r->ids = list.ids;
    r->n_ids = list.count;
    if (list.count <= CONTEXT)
        return STATUS_OK;
    free(r->ids);
    free(r->picture);
    r->ids = NULL;
    r->picture = NULL;
    r->n_ids = r->n_pictures = 0;
    return error_set(err, STATUS_TOO_LARGE, "the prompt has %zu tokens, the context holds %d", list.count,
                     CONTEXT);
}

/* ---- the tokenizer: bytes ---- */

void token_list_append(struct token_list *list, int32_t id)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 64;
        list->ids = xrealloc(list->ids, list->capacity * sizeof list->ids[0]);
    }
    list->ids[list->count++] = id;
}

void token_list_release(struct token_list *list)
{
    free(list->ids);
    *list = (struct token_list){0};
}

enum status tokenizer_encode(const struct tokenizer *t, const char *text, size_t n,
                             const struct byte_range *plain, size_t n_plain, unsigned flags,
                             struct token_list *out, struct error *err)
{
    (void)t, (void)plain, (void)n_plain, (void)err;
    if (flags & TOKENIZER_ADD_SPECIAL)
        add_id(out, ID_END, 1);
    add_text(out, text, n);
    return STATUS_OK;
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                      struct buffer *out)
{
    (void)t, (void)skip_special;
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 256)
            buffer_append_char(out, (char)ids[i]);
}

void tokenizer_token_bytes(const struct tokenizer *t, int32_t id, struct buffer *out)
{
    tokenizer_decode(t, &id, 1, false, out);
}

struct text_stream {
    struct buffer held;
};

struct text_stream *text_stream_open(const struct tokenizer *t, bool skip_special)
{
    struct text_stream *s = xcalloc(1, sizeof *s);
    (void)t, (void)skip_special;
    buffer_init(&s->held, 1024);
    return s;
}

void text_stream_close(struct text_stream *s)
{
    if (s)
        buffer_release(&s->held);
    free(s);
}

void text_stream_push(struct text_stream *s, int32_t id, struct buffer *out)
{
    size_t length;
    if (id >= 256)
        return;
    buffer_append_char(&s->held, (char)id);
    if (utf8_look(s->held.data, s->held.length, &length) == UTF8_CUT)
        return;
    utf8_append_lossy(out, s->held.data, s->held.length);
    buffer_clear(&s->held);
}

void text_stream_finish(struct text_stream *s, struct buffer *out)
{
    utf8_append_lossy(out, s->held.data ? s->held.data : "", s->held.length);
    buffer_clear(&s->held);
}
