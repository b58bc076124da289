#include "engine/text/tokenizer.h"

#include "base/memory.h"
#include "engine/text/token_list.h"
#include "engine/text/tokenizer_parts.h"
#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

bool tokenizer_make_flags(struct tokenizer *t)
{
    t->special = try_calloc((size_t)t->vocabulary.size, sizeof *t->special);
    t->hidden = try_calloc((size_t)t->vocabulary.size, sizeof *t->hidden);
    return t->special && t->hidden;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    decoder_release(&t->decoder);
    pre_tokenizer_release(&t->pre_tokenizer);
    normalizer_release(&t->normalizer);
    added_tokens_release(&t->added_normalized);
    added_tokens_release(&t->added);
    bpe_release(&t->bpe);
    vocabulary_release(&t->vocabulary);
    for (size_t i = 0; i < t->spellings; i++)
        free(t->spelling[i].text);
    free(t->spelling);
    free(t->hidden);
    free(t->special);
    free(t);
}

/* One call of tokenizer_encode. */
struct encoding {
    const struct tokenizer *tokenizer;
    struct encode_work work;
    struct marked_text input, text, spare;
    bool match_added;
};

/* Marks the bytes of the input: where it begins, what is plain. */
static char *make_marks(const char *text, size_t length, const struct byte_range *plain, size_t n_plain)
{
    char *marks = try_calloc(length, 1);
    size_t first = 0;
    if (!marks)
        return NULL;
    if (length > 0)
        utf8_look(text, length, &first);
    memset(marks, MARK_ORIGIN, first);
    for (size_t i = 0; i < n_plain; i++)
        for (size_t at = plain[i].begin; at < plain[i].end && at < length; at++)
            marks[at] |= MARK_PLAIN;
    return marks;
}

/* Copies a text that is not valid UTF-8, with U+FFFD for its damaged parts. */
static struct span repair(struct marked_text *out, struct span text)
{
    size_t at = 0, bad;
    while (at < text.length) {
        size_t good = utf8_valid_prefix(text.text + at, text.length - at);
        marked_text_add(out, span_part(text, at, at + good));
        at += good;
        if (at == text.length)
            break;
        utf8_look(text.text + at, text.length - at, &bad);
        marked_text_put(out, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT),
                        span_mark(span_part(text, at, at + bad)));
        at += bad;
    }
    return marked_text_span(out);
}

/* Cuts out added tokens of the normalized text and encodes the rest. */
static bool encode_normalized(struct encoding *e, struct span text)
{
    struct added_walk walk = {.tokens = &e->tokenizer->added_normalized, .text = text};
    struct added_match match;
    size_t done = 0;
    while (e->match_added && added_tokens_next(&walk, &match)) {
        if (done < match.begin && !pre_tokenizer_run(&e->work, span_part(text, done, match.begin)))
            return false;
        if (!token_list_try_append(e->work.out, match.id))
            return false;
        done = match.end;
    }
    return done == text.length || pre_tokenizer_run(&e->work, span_part(text, done, text.length));
}

static bool encode_piece(struct encoding *e, struct span text)
{
    const struct normalizer *normalizer = &e->tokenizer->normalizer;
    if (text.length == 0)
        return true;
    if (normalizer->count == 0)
        return encode_normalized(e, text);
    marked_text_clear(&e->text);
    marked_text_add(&e->text, text);
    if (!normalizer_run(normalizer, &e->work.regex, &e->text, &e->spare))
        return false;
    return encode_normalized(e, marked_text_span(&e->text));
}

static bool encode_text(struct encoding *e, struct span text)
{
    struct added_walk walk = {.tokens = &e->tokenizer->added, .text = text};
    struct added_match match;
    size_t done = 0;
    while (e->match_added && added_tokens_next(&walk, &match)) {
        if (done < match.begin && !encode_piece(e, span_part(text, done, match.begin)))
            return false;
        if (!token_list_try_append(e->work.out, match.id))
            return false;
        done = match.end;
    }
    return encode_piece(e, span_part(text, done, text.length));
}

static bool append_all(struct token_list *out, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!token_list_try_append(out, ids[i]))
            return false;
    return true;
}

/* The ids from `start` on get what the post-processor adds. */
static bool add_template(const struct tokenizer *t, struct token_list *out, size_t start, bool once)
{
    size_t n = out->count - start;
    bool begun =
        t->n_prefix == 0 || (once && n >= t->n_prefix &&
                             memcmp(out->ids + start, t->prefix, t->n_prefix * sizeof *t->prefix) == 0);
    if (!begun) {
        if (!append_all(out, t->prefix, t->n_prefix)) /* makes the room */
            return false;
        memmove(out->ids + start + t->n_prefix, out->ids + start, n * sizeof *out->ids);
        memcpy(out->ids + start, t->prefix, t->n_prefix * sizeof *t->prefix);
    }
    return append_all(out, t->suffix, t->n_suffix);
}

enum status tokenizer_encode(const struct tokenizer *t, const char *text, size_t length,
                             const struct byte_range *plain, size_t n_plain, unsigned flags,
                             struct token_list *out, struct error *err)
{
    struct encoding e = {.tokenizer = t, .match_added = !(flags & TOKENIZER_PLAIN)};
    bool marked = (e.match_added && n_plain > 0) || pre_tokenizer_needs_origin(&t->pre_tokenizer),
         fine = false;
    size_t start = out->count;
    char *marks = NULL;
    encode_work_init(&e.work, &t->pre_tokenizer, &t->bpe, marked, out);
    marked_text_init(&e.input, marked);
    marked_text_init(&e.text, marked);
    marked_text_init(&e.spare, marked);
    if (marked && !(marks = make_marks(text, length, plain, n_plain)))
        goto out;
    struct span input = {text, marks, length};
    if (utf8_valid_prefix(text, length) != length) {
        input = repair(&e.input, input);
        if (marked_text_failed(&e.input))
            goto out;
    }
    fine = encode_text(&e, input);
    if (fine && (flags & (TOKENIZER_ADD_SPECIAL | TOKENIZER_ADD_ONCE)))
        fine = add_template(t, out, start, flags & TOKENIZER_ADD_ONCE);
out:
    marked_text_release(&e.spare);
    marked_text_release(&e.text);
    marked_text_release(&e.input);
    encode_work_release(&e.work);
    free(marks);
    if (fine)
        return STATUS_OK;
    out->count = start;
    return error_set(err, STATUS_NO_MEMORY, "no memory to tokenize %zu bytes of text", length);
}

static int compare_spelling(const void *key, const void *entry)
{
    int32_t a = *(const int32_t *)key, b = ((const struct spelling *)entry)->id;
    return a < b ? -1 : a > b;
}

const char *tokenizer_decoded_piece(const struct tokenizer *t, int32_t id, bool skip_special, size_t *length)
{
    const char *piece = vocabulary_piece(&t->vocabulary, id, length);
    if (!piece || (skip_special && t->special[id]))
        return NULL;
    if (t->spellings == 0)
        return piece;
    const struct spelling *own = bsearch(&id, t->spelling, t->spellings, sizeof *own, compare_spelling);
    if (!own)
        return piece;
    *length = own->length;
    return own->text;
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                      struct buffer *out)
{
    struct decoding decoding;
    decoding_init(&decoding, &t->decoder);
    for (size_t i = 0; i < n; i++) {
        size_t length;
        const char *piece = tokenizer_decoded_piece(t, ids[i], skip_special, &length);
        if (piece)
            decoding_push(&decoding, piece, length, out);
    }
    decoding_finish(&decoding, out);
    decoding_release(&decoding);
}

int tokenizer_size(const struct tokenizer *t)
{
    return t->vocabulary.size;
}

int32_t tokenizer_find(const struct tokenizer *t, const char *text)
{
    return vocabulary_find(&t->vocabulary, text, strlen(text));
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->vocabulary.size && t->special[id];
}

void tokenizer_token_bytes(const struct tokenizer *t, int32_t id, struct buffer *out)
{
    size_t length;
    const char *piece = vocabulary_piece(&t->vocabulary, id, &length);
    if (!piece)
        return;
    if (t->special[id]) {
        buffer_append(out, piece, length);
        return;
    }
    piece = tokenizer_decoded_piece(t, id, false, &length);
    decoder_piece_bytes(&t->decoder, piece, length, out);
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
    return t->n_prefix > 0 ? t->prefix[0] : -1;
}
