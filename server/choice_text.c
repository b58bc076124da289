#include "server/choice_text.h"

#include "base/memory.h"
#include "engine/text/text_stream.h"
#include "engine/text/utf8.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void stop_list_add(struct stop_list *stops, const char *text, size_t length)
{
    assert(stops->count < MAX_STOPS && length > 0);
    stops->text[stops->count] = xstrndup(text, length);
    stops->length[stops->count++] = length;
}

void stop_list_release(struct stop_list *stops)
{
    for (int i = 0; i < stops->count; i++)
        free(stops->text[i]);
    *stops = (struct stop_list){0};
}

void choice_text_init(struct choice_text *c, const struct tokenizer *tokenizer, const struct stop_list *stops,
                      bool logprobs)
{
    *c = (struct choice_text){.tokenizer = tokenizer, .stops = stops, .logprobs = logprobs};
    c->stream = text_stream_open(tokenizer, true);
    buffer_init(&c->text, MAX_TEXT_BYTES);
}

void choice_text_release(struct choice_text *c)
{
    text_stream_close(c->stream);
    buffer_release(&c->text);
    for (size_t i = 0; i < c->n_rated; i++)
        free(c->rated[i].top);
    free(c->rated);
    *c = (struct choice_text){0};
}

static void rate_token(struct choice_text *c, const struct event *e)
{
    if (c->n_rated == c->rated_capacity) {
        c->rated_capacity = c->rated_capacity ? 2 * c->rated_capacity : 16;
        c->rated = xrealloc(c->rated, c->rated_capacity * sizeof c->rated[0]);
    }
    struct rated_token *t = &c->rated[c->n_rated++];
    *t = (struct rated_token){c->text.length, e->id, e->logprob, NULL, e->n_top};
    if (e->n_top == 0)
        return;
    t->top = xmalloc((size_t)e->n_top * sizeof t->top[0]);
    memcpy(t->top, e->top, (size_t)e->n_top * sizeof t->top[0]);
}

/* The first stop string in text[from..), or the text's length. */
static size_t find_stop(const struct choice_text *c, size_t from)
{
    size_t first = c->text.length;
    for (int i = 0; i < c->stops->count; i++) {
        const char *found =
            memmem(c->text.data + from, c->text.length - from, c->stops->text[i], c->stops->length[i]);
        if (found && (size_t)(found - c->text.data) < first)
            first = (size_t)(found - c->text.data);
    }
    return first;
}

/* How many bytes at the end could be the start of a stop string. */
static size_t held_bytes(const struct choice_text *c)
{
    size_t most = 0, room = c->text.length - c->shown;
    for (int i = 0; i < c->stops->count; i++) {
        size_t n = c->stops->length[i] - 1 < room ? c->stops->length[i] - 1 : room;
        while (n > most && memcmp(c->text.data + c->text.length - n, c->stops->text[i], n) != 0)
            n--;
        most = n > most ? n : most;
    }
    return most;
}

static void look_for_stops(struct choice_text *c)
{
    if (!c->text.data)
        return;
    size_t stop = find_stop(c, c->shown);
    if (stop < c->text.length) {
        c->stopped = true;
        c->text.length = c->shown = stop;
        c->text.data[stop] = 0;
    } else {
        c->shown = c->text.length - held_bytes(c);
    }
}

void choice_text_follow(struct choice_text *c, int32_t id)
{
    struct buffer dropped;
    buffer_init(&dropped, 65536);
    text_stream_push(c->stream, id, &dropped);
    buffer_release(&dropped);
}

void choice_text_push(struct choice_text *c, const struct event *e)
{
    if (c->stopped)
        return;
    if (c->logprobs)
        rate_token(c, e);
    text_stream_push(c->stream, e->id, &c->text);
    look_for_stops(c);
}

void choice_text_flush(struct choice_text *c, bool at_end)
{
    if (c->stopped)
        return;
    if (at_end)
        text_stream_finish(c->stream, &c->text);
    look_for_stops(c);
    c->shown = c->text.length;
}

/* ---- log-probabilities as JSON ---- */

/* A token may be a part of a character: the bytes tell it all. */
static json_t *token_json(const struct choice_text *c, int32_t id, json_t **bytes_json)
{
    struct buffer bytes, text;
    buffer_init(&bytes, 65536);
    buffer_init(&text, 262144);
    tokenizer_token_bytes(c->tokenizer, id, &bytes);
    utf8_append_lossy(&text, bytes.data ? bytes.data : "", bytes.length);
    for (size_t i = 0; bytes_json && i < bytes.length; i++)
        json_array_append_new(*bytes_json, json_integer((unsigned char)bytes.data[i]));
    json_t *json = json_stringn(text.data ? text.data : "", text.length);
    buffer_release(&bytes);
    buffer_release(&text);
    return json;
}

static json_t *logprob_json(float logprob)
{
    return isnan(logprob) ? json_null() : json_real(isfinite(logprob) ? (double)logprob : -9999.0);
}

/* {"token", "logprob", "bytes"} */
static json_t *entry_json(const struct choice_text *c, int32_t id, float logprob)
{
    json_t *bytes = json_array(), *token = token_json(c, id, &bytes);
    return json_pack("{s:o, s:o, s:o}", "token", token, "logprob", logprob_json(logprob), "bytes", bytes);
}

static json_t *rated_json(const struct choice_text *c, const struct rated_token *t)
{
    json_t *entry = entry_json(c, t->id, t->logprob), *top = json_array();
    for (int i = 0; i < t->n_top; i++)
        json_array_append_new(top, entry_json(c, t->top[i].id, t->top[i].logprob));
    json_object_set_new(entry, "top_logprobs", top);
    return entry;
}

/* How many rated tokens may be shown by now. */
static size_t count_shown(const struct choice_text *c, bool at_end)
{
    size_t n = 0;
    while (n < c->n_rated && ((at_end && !c->stopped) || c->rated[n].at < c->shown))
        n++;
    return n;
}

static void drop_rated(struct choice_text *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(c->rated[i].top);
    c->n_rated -= n;
    memmove(c->rated, c->rated + n, c->n_rated * sizeof c->rated[0]);
}

json_t *choice_text_take_logprobs(struct choice_text *c, bool at_end)
{
    size_t n = count_shown(c, at_end);
    json_t *taken = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(taken, rated_json(c, &c->rated[i]));
    if (n > 0)
        drop_rated(c, n);
    return taken;
}

static void set_logprob(json_t *map, const struct choice_text *c, int32_t id, float logprob)
{
    json_t *token = token_json(c, id, NULL);
    json_object_set_new(map, json_string_value(token), logprob_json(logprob));
    json_decref(token);
}

/* {token: logprob} of the likeliest and of the one that stands there. */
static json_t *legacy_top(const struct choice_text *c, const struct rated_token *t)
{
    if (isnan(t->logprob))
        return json_null();
    json_t *map = json_object();
    set_logprob(map, c, t->id, t->logprob);
    for (int i = t->n_top; i-- > 0;) /* of tokens spelt the same, the likeliest stays */
        set_logprob(map, c, t->top[i].id, t->top[i].logprob);
    return map;
}

json_t *choice_text_take_legacy_logprobs(struct choice_text *c, bool at_end, size_t *offset)
{
    size_t n = count_shown(c, at_end);
    if (n == 0)
        return json_null();
    json_t *tokens = json_array(), *logprobs = json_array(), *top = json_array(), *offsets = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct rated_token *t = &c->rated[i];
        *offset += t->at > c->counted ? utf8_count(c->text.data + c->counted, t->at - c->counted) : 0;
        c->counted = t->at;
        json_array_append_new(tokens, token_json(c, t->id, NULL));
        json_array_append_new(logprobs, logprob_json(t->logprob));
        json_array_append_new(top, legacy_top(c, t));
        json_array_append_new(offsets, json_integer((json_int_t)*offset));
    }
    drop_rated(c, n);
    return json_pack("{s:o, s:o, s:o, s:o}", "tokens", tokens, "token_logprobs", logprobs, "top_logprobs",
                     top, "text_offset", offsets);
}
