/* A tokenizer from the vocabulary of a GGUF file. It is made so that a file converted from a checkpoint gives
 * the ids that the checkpoint's tokenizer.json gives. */
#include "base/memory.h"
#include "engine/text/pre_names.h"
#include "engine/text/tokenizer_parts.h"
#include "engine/text/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ggml's token types. */
enum { TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4 };

/* Longer pieces are never made by merging: looking at all their halves would take too long. */
enum { LONGEST_MERGED = 512 };

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "no memory for the vocabulary");
}

static int32_t type_of(const struct tokenizer_vocab *v, size_t id)
{
    return v->type ? v->type[id] : 1;
}

static enum status read_pieces(struct tokenizer *t, const struct tokenizer_vocab *v, struct error *err)
{
    size_t bytes = 0;
    if (v->count == 0 || v->count > VOCABULARY_MAX_IDS)
        return error_set(err, STATUS_BAD_FILE, "a vocabulary of %zu pieces", v->count);
    for (size_t id = 0; id < v->count; id++) {
        size_t length = strlen(v->piece[id]);
        if (utf8_valid_prefix(v->piece[id], length) != length)
            return error_set(err, STATUS_BAD_FILE, "piece %zu is not valid UTF-8", id);
        bytes += length;
    }
    if (!vocabulary_init(&t->vocabulary, v->count, bytes, v->count))
        return no_memory(err);
    for (size_t id = 0; id < v->count; id++)
        vocabulary_add(&t->vocabulary, (int32_t)id, v->piece[id], strlen(v->piece[id]));
    return STATUS_OK;
}

static enum status read_added(struct tokenizer *t, const struct tokenizer_vocab *v, struct error *err)
{
    if (!tokenizer_make_flags(t))
        return no_memory(err);
    for (size_t id = 0; id < v->count; id++) {
        int32_t type = type_of(v, id);
        size_t length = strlen(v->piece[id]);
        t->special[id] = t->hidden[id] = type == TYPE_CONTROL || type == TYPE_UNKNOWN;
        if ((!t->special[id] && type != TYPE_USER_DEFINED) || length == 0)
            continue;
        if (length > ADDED_TOKEN_BYTES)
            return error_set(err, STATUS_BAD_FILE, "piece %zu is longer than %d bytes", id,
                             ADDED_TOKEN_BYTES);
        struct added_token added = {
            .text = (char *)v->piece[id], .length = (uint32_t)length, .id = (int32_t)id};
        if (!added_tokens_add(&t->added, &added))
            return no_memory(err);
    }
    added_tokens_ready(&t->added);
    added_tokens_ready(&t->added_normalized);
    return STATUS_OK;
}

struct half_merge {
    float score;
    uint32_t left_chars, right_chars, order;
    int32_t left, right, id;
};

struct half_merges {
    struct half_merge *at;
    size_t count, capacity;
};

/* The better score first; of equal ones the longer left half, then the longer right half, then the order
 * made. */
static int compare_merges(const void *a, const void *b)
{
    const struct half_merge *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->left_chars != y->left_chars)
        return x->left_chars > y->left_chars ? -1 : 1;
    if (x->right_chars != y->right_chars)
        return x->right_chars > y->right_chars ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Within a piece, merges are made in the order of their halves' ids. */
static int compare_halves(const void *a, const void *b)
{
    const struct half_merge *x = a, *y = b;
    if (x->left != y->left)
        return x->left < y->left ? -1 : 1;
    return x->right < y->right ? -1 : x->right > y->right;
}

static bool add_halves(const struct vocabulary *v, struct half_merges *merges, int32_t id, float score)
{
    size_t length, step, first = merges->count;
    const char *piece = vocabulary_piece(v, id, &length);
    uint32_t chars = 0, at_char = 0;
    if (length > LONGEST_MERGED)
        return true;
    for (size_t at = 0; at < length; at += step, chars++)
        utf8_get(piece + at, &step);
    for (size_t at = 0; at < length; at += step, at_char++) {
        utf8_get(piece + at, &step);
        int32_t left = at > 0 ? vocabulary_find(v, piece, at) : -1;
        int32_t right = left >= 0 ? vocabulary_find(v, piece + at, length - at) : -1;
        if (right < 0)
            continue;
        if (merges->count == merges->capacity) {
            size_t capacity = merges->capacity ? 2 * merges->capacity : 1024;
            struct half_merge *grown = try_realloc(merges->at, capacity, sizeof *grown);
            if (!grown)
                return false;
            merges->at = grown;
            merges->capacity = capacity;
        }
        merges->at[merges->count++] =
            (struct half_merge){score, at_char, chars - at_char, 0, left, right, id};
    }
    if (merges->count > first)
        qsort(merges->at + first, merges->count - first, sizeof *merges->at, compare_halves);
    for (size_t i = first; i < merges->count; i++)
        merges->at[i].order = (uint32_t)i;
    return true;
}

/* SentencePiece: two neighbours merge when together they are a piece, the best score first. */
static enum status make_scored(struct tokenizer *t, const struct tokenizer_vocab *v, struct error *err)
{
    struct half_merges merges = {0};
    struct bpe_options options = {
        .unk = v->unk, .fuse_unk = true, .byte_fallback = true, .hidden = t->hidden};
    enum status status = STATUS_OK;
    if (!v->score)
        return error_set(err, STATUS_BAD_FILE, "the vocabulary has no scores");
    for (int32_t id = 0; id < t->vocabulary.size && !status; id++) {
        size_t length;
        const char *piece = vocabulary_piece(&t->vocabulary, id, &length);
        if (isnan(v->score[id]))
            status = error_set(err, STATUS_BAD_FILE, "the score of piece %d is not a number", (int)id);
        else if (!t->hidden[id] && vocabulary_find(&t->vocabulary, piece, length) == id &&
                 !add_halves(&t->vocabulary, &merges, id, v->score[id]))
            status = no_memory(err);
    }
    if (!status && merges.count > UINT32_MAX - 1)
        status = error_set(err, STATUS_BAD_FILE, "the vocabulary has too many merges");
    if (!status && !bpe_init(&t->bpe, &t->vocabulary, &options, merges.count))
        status = no_memory(err);
    if (!status && merges.count > 0)
        qsort(merges.at, merges.count, sizeof *merges.at, compare_merges);
    for (size_t i = 0; i < merges.count && !status; i++)
        bpe_add_merge(&t->bpe, merges.at[i].left, merges.at[i].right, (uint32_t)i, merges.at[i].id);
    free(merges.at);
    if (!status) {
        normalizer_make_llama(&t->normalizer, v->add_space_prefix ? "\xE2\x96\x81" : "");
        decoder_make_llama(&t->decoder, v->add_space_prefix);
    }
    return status;
}

/* Merges of unknown pieces are passed over, as llama.cpp does. */
static enum status add_listed(struct tokenizer *t, const char *merge, size_t rank, struct buffer *joined,
                              struct error *err)
{
    const char *space = *merge ? strchr(merge + 1, ' ') : NULL;
    if (!space)
        return error_set(err, STATUS_BAD_FILE, "merge %zu is not a pair", rank);
    size_t n_left = (size_t)(space - merge), n_right = strlen(space + 1);
    buffer_clear(joined);
    buffer_append(joined, merge, n_left);
    buffer_append(joined, space + 1, n_right);
    if (buffer_failed(joined))
        return no_memory(err);
    int32_t left = vocabulary_find(&t->vocabulary, merge, n_left);
    int32_t right = vocabulary_find(&t->vocabulary, space + 1, n_right);
    int32_t id = vocabulary_find(&t->vocabulary, joined->data, joined->length);
    if (n_right > 0 && left >= 0 && right >= 0 && id >= 0 && !t->hidden[id])
        bpe_add_merge(&t->bpe, left, right, (uint32_t)rank, id);
    return STATUS_OK;
}

static enum status make_byte_level(struct tokenizer *t, const struct tokenizer_vocab *v, struct error *err)
{
    struct bpe_options options = {.unk = -1, .hidden = t->hidden};
    if (!v->merge || v->merges > UINT32_MAX - 1)
        return error_set(err, STATUS_BAD_FILE, "the vocabulary has no merges, or too many");
    enum status status = pre_tokenizer_named(&t->pre_tokenizer, v->pre, &options.ignore_merges, err);
    if (status)
        return status;
    pre_tokenizer_add_bytes(&t->pre_tokenizer);
    decoder_make_byte_level(&t->decoder);
    if (!bpe_init(&t->bpe, &t->vocabulary, &options, v->merges))
        return no_memory(err);
    struct buffer joined;
    buffer_init(&joined, BUFFER_NO_LIMIT);
    for (size_t i = 0; i < v->merges && !status; i++)
        status = add_listed(t, v->merge[i], i, &joined, err);
    buffer_release(&joined);
    return status;
}

static enum status check_id(int32_t id, const struct tokenizer_vocab *v, const char *what, struct error *err)
{
    if (id >= -1 && (id < 0 || (size_t)id < v->count))
        return STATUS_OK;
    return error_set(err, STATUS_BAD_FILE, "the %s id %d is not in the vocabulary", what, (int)id);
}

enum status tokenizer_open_vocab(struct tokenizer **out, const struct tokenizer_vocab *v, struct error *err)
{
    *out = NULL;
    struct tokenizer *t = xcalloc(1, sizeof *t);
    enum status status = check_id(v->bos, v, "bos", err);
    if (!status)
        status = check_id(v->eos, v, "eos", err);
    if (!status)
        status = check_id(v->unk, v, "unknown", err);
    if (!status)
        status = read_pieces(t, v, err);
    if (!status)
        status = read_added(t, v, err);
    if (!status && v->model && strcmp(v->model, "llama") == 0)
        status = make_scored(t, v, err);
    else if (!status && v->model && strcmp(v->model, "gpt2") == 0)
        status = make_byte_level(t, v, err);
    else if (!status)
        status = error_set(err, STATUS_BAD_FILE, "tokenizer.ggml.model \"%.60s\" is not supported",
                           v->model ? v->model : "");
    if (status) {
        tokenizer_close(t);
        return status;
    }
    if (v->add_bos && v->bos >= 0)
        t->prefix[t->n_prefix++] = v->bos;
    if (v->add_eos && v->eos >= 0)
        t->suffix[t->n_suffix++] = v->eos;
    *out = t;
    return STATUS_OK;
}
