#include "engine/text/decoder.h"

#include "engine/text/byte_level.h"
#include "engine/text/utf8.h"

#include <string.h>

/* A run of byte pieces longer than this lets its characters go before it ends. */
enum { RUN_HELD = 64 };

static void feed(struct decoding *, size_t k, const char *piece, size_t length, struct buffer *out);

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that a piece like <0x4F> stands for, or -1. The library reads the two characters as a number, sign
 * and all. */
static int piece_byte(const char *piece, size_t length)
{
    if (length != 6 || memcmp(piece, "<0x", 3) != 0 || piece[5] != '>')
        return -1;
    int high = piece[3] == '+' ? 0 : hex_value(piece[3]), low = hex_value(piece[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static void feed_replacements(struct decoding *d, size_t k, size_t n, struct buffer *out)
{
    for (size_t i = 0; i < n; i++)
        feed(d, k + 1, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT), out);
}

/* A run that cannot become UTF-8 any more gives U+FFFD for each byte, also for those held. */
static void break_run(struct decoding *d, size_t k, struct buffer *out)
{
    struct decoding_step *s = &d->state[k];
    s->broken = true;
    feed_replacements(d, k, s->held.length, out);
    buffer_clear(&s->held);
}

static void add_to_run(struct decoding *d, size_t k, char byte, struct buffer *out)
{
    struct decoding_step *s = &d->state[k];
    size_t bad;
    buffer_append_char(&s->held, byte);
    size_t good = utf8_valid_prefix(s->held.data, s->held.length), rest = s->held.length - good;
    if (s->broken || (rest > 0 && utf8_look(s->held.data + good, rest, &bad) == UTF8_INVALID)) {
        break_run(d, k, out);
        return;
    }
    s->flowing = s->flowing || s->held.length > RUN_HELD;
    if (s->flowing && good > 0) {
        feed(d, k + 1, s->held.data, good, out);
        memmove(s->held.data, s->held.data + good, rest);
        s->held.length = rest;
    }
}

static void end_run(struct decoding *d, size_t k, struct buffer *out)
{
    struct decoding_step *s = &d->state[k];
    if (s->held.length > 0 && utf8_valid_prefix(s->held.data, s->held.length) == s->held.length)
        feed(d, k + 1, s->held.data, s->held.length, out);
    else
        feed_replacements(d, k, s->held.length, out);
    buffer_clear(&s->held);
    s->broken = s->flowing = false;
}

static void feed_bytes(struct decoding *d, size_t k, const char *piece, size_t length, struct buffer *out)
{
    int byte = piece_byte(piece, length);
    if (byte >= 0) {
        add_to_run(d, k, (char)byte, out);
        return;
    }
    end_run(d, k, out);
    feed(d, k + 1, piece, length, out);
}

/* Bytes become text as lossy decoding does it; the beginning of a character is held. */
static void feed_byte_level(struct decoding *d, size_t k, const char *piece, size_t length,
                            struct buffer *out)
{
    struct buffer *held = &d->state[k].held;
    byte_level_read(held, piece, length);
    size_t at = 0, bad;
    while (at < held->length) {
        size_t good = utf8_valid_prefix(held->data + at, held->length - at);
        if (good > 0)
            feed(d, k + 1, held->data + at, good, out);
        at += good;
        if (at == held->length || utf8_look(held->data + at, held->length - at, &bad) == UTF8_CUT)
            break;
        feed(d, k + 1, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT), out);
        at += bad;
    }
    if (held->length > at)
        memmove(held->data, held->data + at, held->length - at);
    held->length -= at;
}

static bool starts_with(const char *text, size_t length, const struct decoder_step *step)
{
    return length >= step->content_length && memcmp(text, step->content, step->content_length) == 0;
}

/* Strips one piece by itself. */
static void feed_strip(struct decoding *d, size_t k, const char *piece, size_t length, struct buffer *out)
{
    const struct decoder_step *step = &d->decoder->step[k];
    size_t unit = step->content_length;
    for (size_t i = 0; i < step->left && starts_with(piece, length, step); i++) {
        piece += unit;
        length -= unit;
    }
    for (size_t i = 0; i < step->right && length >= unit && starts_with(piece + length - unit, unit, step);
         i++)
        length -= unit;
    feed(d, k + 1, piece, length, out);
}

/* Strips the one piece that all have become, of which this is a part. Contents at its end wait for what
 * follows. */
static void feed_strip_joined(struct decoding *d, size_t k, const char *part, size_t length,
                              struct buffer *out)
{
    const struct decoder_step *step = &d->decoder->step[k];
    struct decoding_step *s = &d->state[k];
    size_t unit = step->content_length;
    while (!s->begun && length > 0) {
        if (s->skipped == step->left || !starts_with(part, length, step)) {
            s->begun = true;
            break;
        }
        s->skipped++;
        part += unit;
        length -= unit;
    }
    size_t body = length, ends = 0;
    while (step->right > 0 && body >= unit && starts_with(part + body - unit, unit, step)) {
        body -= unit;
        ends++;
    }
    for (; body > 0 && s->ends > 0; s->ends--)
        feed(d, k + 1, step->content, unit, out);
    if (body > 0)
        feed(d, k + 1, part, body, out);
    s->ends += ends;
}

static void end_strip_joined(struct decoding *d, size_t k, struct buffer *out)
{
    const struct decoder_step *step = &d->decoder->step[k];
    for (size_t i = step->right; i < d->state[k].ends; i++)
        feed(d, k + 1, step->content, step->content_length, out);
}

/* Hands on a piece with the pattern's matches replaced. */
static void feed_replaced(struct decoding *d, size_t k, const char *piece, size_t length, const char *content,
                          size_t content_length, struct buffer *out)
{
    const struct pattern *pattern = &d->decoder->step[k].pattern;
    struct pattern_walk walk = {.pattern = pattern, .run = &d->regex, .text = piece, .length = length};
    struct buffer text;
    size_t done = 0, begin, end;
    buffer_init(&text, BUFFER_NO_LIMIT);
    while (pattern_next(&walk, &begin, &end) == REGEX_FOUND) {
        buffer_append(&text, piece + done, begin - done);
        buffer_append(&text, content, content_length);
        done = end;
    }
    if (done == 0 && text.length == 0) { /* the common case: nothing to replace */
        feed(d, k + 1, piece, length, out);
    } else {
        buffer_append(&text, piece + done, length - done);
        feed(d, k + 1, text.data, text.length, out);
    }
    buffer_release(&text);
}

static void feed_metaspace(struct decoding *d, size_t k, const char *piece, size_t length, struct buffer *out)
{
    const struct decoder_step *step = &d->decoder->step[k];
    bool drop = step->drop_first && !d->state[k].begun;
    struct buffer text;
    buffer_init(&text, BUFFER_NO_LIMIT);
    buffer_append(&text, "", 0);
    for (size_t at = 0, n; at < length; at += n) {
        utf8_get(piece + at, &n);
        if (n != step->content_length || !starts_with(piece + at, n, step))
            buffer_append(&text, piece + at, n);
        else if (!drop)
            buffer_append_char(&text, ' ');
    }
    d->state[k].begun = true;
    feed(d, k + 1, text.data, text.length, out);
    buffer_release(&text);
}

/* Each piece waits for the next: the last one is another case. */
static void feed_suffix(struct decoding *d, size_t k, const char *piece, size_t length, struct buffer *out)
{
    struct decoding_step *s = &d->state[k];
    if (s->begun)
        feed_replaced(d, k, s->held.data, s->held.length, " ", 1, out);
    s->begun = true;
    buffer_clear(&s->held);
    buffer_append(&s->held, piece, length);
}

/* A piece into a step that sees whole pieces. */
static void feed_piece(struct decoding *d, size_t k, const char *piece, size_t length, struct buffer *out)
{
    const struct decoder_step *step = &d->decoder->step[k];
    switch (step->kind) {
    case DECODER_REPLACE: feed_replaced(d, k, piece, length, step->content, step->content_length, out); break;
    case DECODER_BYTES: feed_bytes(d, k, piece, length, out); break;
    case DECODER_STRIP: feed_strip(d, k, piece, length, out); break;
    case DECODER_BYTE_LEVEL: feed_byte_level(d, k, piece, length, out); break;
    case DECODER_METASPACE: feed_metaspace(d, k, piece, length, out); break;
    case DECODER_SUFFIX: feed_suffix(d, k, piece, length, out); break;
    case DECODER_FUSE: feed(d, k + 1, piece, length, out); break;
    case DECODER_JOIN:
        if (d->state[k].begun)
            feed(d, k + 1, " ", 1, out);
        d->state[k].begun = true;
        feed(d, k + 1, piece, length, out);
        break;
    }
}

/* What a step still holds when no more pieces come. */
static void finish_piece(struct decoding *d, size_t k, struct buffer *out)
{
    struct decoding_step *s = &d->state[k];
    switch (d->decoder->step[k].kind) {
    case DECODER_BYTES: end_run(d, k, out); break;
    case DECODER_BYTE_LEVEL:
        if (s->held.length > 0)
            feed(d, k + 1, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT), out);
        break;
    case DECODER_SUFFIX:
        if (s->begun)
            feed_replaced(d, k, s->held.data, s->held.length, "", 0, out);
        break;
    default: break;
    }
}

/* Steps behind one that has made one piece of all get it in parts; but for these two they have to wait for
 * all of it. */
static bool takes_parts(const struct decoder_step *step)
{
    return step->kind == DECODER_FUSE || step->kind == DECODER_STRIP;
}

static void feed(struct decoding *d, size_t k, const char *piece, size_t length, struct buffer *out)
{
    if (k == d->decoder->count) {
        buffer_append(out, piece, length);
        return;
    }
    const struct decoder_step *step = &d->decoder->step[k];
    if (!step->joined)
        feed_piece(d, k, piece, length, out);
    else if (step->kind == DECODER_STRIP)
        feed_strip_joined(d, k, piece, length, out);
    else if (step->kind == DECODER_FUSE)
        feed(d, k + 1, piece, length, out);
    else
        buffer_append(&d->state[k].held, piece, length);
}

void decoding_init(struct decoding *d, const struct decoder *decoder)
{
    *d = (struct decoding){.decoder = decoder};
    for (size_t i = 0; i < decoder->count; i++)
        buffer_init(&d->state[i].held, BUFFER_NO_LIMIT);
}

void decoding_release(struct decoding *d)
{
    for (size_t i = 0; i < d->decoder->count; i++)
        buffer_release(&d->state[i].held);
    regex_run_release(&d->regex);
}

void decoding_push(struct decoding *d, const char *piece, size_t length, struct buffer *out)
{
    feed(d, 0, piece, length, out);
}

void decoding_finish(struct decoding *d, struct buffer *out)
{
    for (size_t k = 0; k < d->decoder->count; k++) {
        const struct decoder_step *step = &d->decoder->step[k];
        if (step->joined && step->kind == DECODER_STRIP) {
            end_strip_joined(d, k, out);
        } else if (step->joined && !takes_parts(step)) {
            struct buffer whole = d->state[k].held;
            buffer_init(&d->state[k].held, BUFFER_NO_LIMIT);
            feed_piece(d, k, whole.data ? whole.data : "", whole.length, out);
            finish_piece(d, k, out);
            buffer_release(&whole);
        } else if (!step->joined) {
            finish_piece(d, k, out);
        }
    }
}

void decoder_piece_bytes(const struct decoder *decoder, const char *piece, size_t length, struct buffer *out)
{
    struct buffer now, next;
    struct regex_run run = {0};
    buffer_init(&now, BUFFER_NO_LIMIT);
    buffer_init(&next, BUFFER_NO_LIMIT);
    buffer_append(&now, piece, length);
    for (size_t k = 0; k < decoder->count; k++) {
        const struct decoder_step *step = &decoder->step[k];
        int byte = step->kind == DECODER_BYTES ? piece_byte(now.data, now.length) : -1;
        if (byte >= 0 || step->kind == DECODER_BYTE_LEVEL) { /* from here on it is bytes, not text */
            if (byte >= 0)
                buffer_append_char(out, (char)byte);
            else
                byte_level_read(out, now.data, now.length);
            goto done;
        }
        if (step->kind == DECODER_STRIP && step->joined)
            continue; /* concerns the ends of the whole text */
        struct decoder one = {.count = 1, .step = {*step}};
        struct decoding d;
        one.step[0].joined = false;
        decoding_init(&d, &one);
        d.state[0].begun = step->kind == DECODER_METASPACE;
        d.regex = run;
        buffer_clear(&next);
        buffer_append(&next, "", 0);
        feed(&d, 0, now.data, now.length, &next);
        if (step->kind == DECODER_SUFFIX) /* another piece follows */
            feed_replaced(&d, 0, now.data, now.length, " ", 1, &next);
        run = d.regex;
        d.regex = (struct regex_run){0};
        decoding_release(&d);
        struct buffer other = now;
        now = next;
        next = other;
    }
    buffer_append(out, now.data, now.length);
done:
    regex_run_release(&run);
    buffer_release(&now);
    buffer_release(&next);
}
