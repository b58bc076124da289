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
    c->entries = json_array();
}

void choice_text_release(struct choice_text *c)
{
    text_stream_close(c->stream);
    buffer_release(&c->text);
    json_decref(c->entries);
    free(c->entry_at);
    *c = (struct choice_text){0};
}

/* {"token", "logprob", "bytes"} */
static json_t *token_json(const struct choice_text *c, int32_t id, float logprob)
{
    struct buffer bytes, text;
    buffer_init(&bytes, 65536);
    buffer_init(&text, 262144);
    tokenizer_token_bytes(c->tokenizer, id, &bytes);
    utf8_append_lossy(&text, bytes.data ? bytes.data : "", bytes.length);
    json_t *list = json_array();
    for (size_t i = 0; i < bytes.length; i++)
        json_array_append_new(list, json_integer((unsigned char)bytes.data[i]));
    json_t *entry = json_object();
    json_object_set_new(entry, "token", json_stringn(text.data ? text.data : "", text.length));
    json_object_set_new(entry, "logprob", json_real(isfinite(logprob) ? (double)logprob : -9999.0));
    json_object_set_new(entry, "bytes", list);
    buffer_release(&bytes);
    buffer_release(&text);
    return entry;
}

static void add_logprobs(struct choice_text *c, const struct event *e)
{
    json_t *entry = token_json(c, e->id, e->logprob), *top = json_array();
    for (int i = 0; i < e->n_top; i++)
        json_array_append_new(top, token_json(c, e->top[i].id, e->top[i].logprob));
    json_object_set_new(entry, "top_logprobs", top);
    if (c->n_entries == c->entry_capacity) {
        c->entry_capacity = c->entry_capacity ? 2 * c->entry_capacity : 16;
        c->entry_at = xrealloc(c->entry_at, c->entry_capacity * sizeof c->entry_at[0]);
    }
    c->entry_at[c->n_entries++] = c->text.length;
    json_array_append_new(c->entries, entry);
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
        add_logprobs(c, e);
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

json_t *choice_text_take_logprobs(struct choice_text *c, bool at_end)
{
    size_t n = 0;
    while (n < c->n_entries && ((at_end && !c->stopped) || c->entry_at[n] < c->shown))
        n++;
    json_t *taken = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append(taken, json_array_get(c->entries, i));
    if (n == 0)
        return taken;
    json_t *rest = json_array();
    for (size_t i = n; i < c->n_entries; i++)
        json_array_append(rest, json_array_get(c->entries, i));
    json_decref(c->entries);
    c->entries = rest;
    memmove(c->entry_at, c->entry_at + n, (c->n_entries - n) * sizeof c->entry_at[0]);
    c->n_entries -= n;
    return taken;
}

static size_t count_characters(const char *text, size_t from, size_t to)
{
    size_t n = 0;
    for (size_t i = from; i < to; i++)
        n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n;
}

/* {token: logprob} of the likeliest and of the chosen one. */
static json_t *legacy_top(json_t *entry)
{
    json_t *map = json_object(), *top = json_object_get(entry, "top_logprobs");
    json_object_set(map, json_string_value(json_object_get(entry, "token")),
                    json_object_get(entry, "logprob"));
    for (size_t i = json_array_size(top); i-- > 0;) { /* of tokens spelt the same, the likeliest stays */
        json_t *t = json_array_get(top, i);
        json_object_set(map, json_string_value(json_object_get(t, "token")), json_object_get(t, "logprob"));
    }
    return map;
}

json_t *choice_text_take_legacy_logprobs(struct choice_text *c, bool at_end, size_t *offset)
{
    size_t n_before = c->n_entries;
    if (n_before == 0)
        return json_null();
    size_t *at = xmalloc(n_before * sizeof at[0]);
    memcpy(at, c->entry_at, n_before * sizeof at[0]);
    json_t *entries = choice_text_take_logprobs(c, at_end), *entry;
    json_t *tokens = json_array(), *logprobs = json_array(), *top = json_array(), *offsets = json_array();
    size_t i;
    json_array_foreach(entries, i, entry)
    {
        *offset += at[i] > c->counted ? count_characters(c->text.data, c->counted, at[i]) : 0;
        c->counted = at[i];
        json_array_append(tokens, json_object_get(entry, "token"));
        json_array_append(logprobs, json_object_get(entry, "logprob"));
        json_array_append_new(top, legacy_top(entry));
        json_array_append_new(offsets, json_integer((json_int_t)*offset));
    }
    bool none = json_array_size(entries) == 0;
    json_t *json = json_pack("{s:o, s:o, s:o, s:o}", "tokens", tokens, "token_logprobs", logprobs,
                             "top_logprobs", top, "text_offset", offsets);
    json_decref(entries);
    free(at);
    if (!none)
        return json;
    json_decref(json);
    return json_null();
}
