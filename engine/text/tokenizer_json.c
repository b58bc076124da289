/* A tokenizer from the text of a tokenizer.json. */
#include "engine/text/tokenizer_json.h"
#include "base/memory.h"
#include "engine/text/json_field.h"
#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

static enum status bad(struct error *err, const char *what)
{
    return error_set(err, STATUS_BAD_FILE, "tokenizer.json: %s", what);
}

/* Makes room for the model's vocabulary and the added tokens, and fills in the first. */
static enum status read_vocabulary(struct tokenizer *t, const json_t *vocab, const json_t *added,
                                   struct error *err)
{
    const char *piece;
    size_t length, bytes = 0, ids = 0, more = json_array_size(added), i;
    json_t *value;
    json_object_keylen_foreach((json_t *)vocab, piece, length, value)
    {
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            json_integer_value(value) >= VOCABULARY_MAX_IDS)
            return error_set(err, STATUS_BAD_FILE,
                             "tokenizer.json: piece \"%.60s\" has no id, or one that is too large", piece);
        if ((size_t)json_integer_value(value) >= ids)
            ids = (size_t)json_integer_value(value) + 1;
        bytes += length;
    }
    json_array_foreach(added, i, value) bytes += json_string_length(json_object_get(value, "content"));
    if (more > ADDED_TOKENS_MAX || ids + more > VOCABULARY_MAX_IDS)
        return bad(err, "too many tokens");
    if (!vocabulary_init(&t->vocabulary, json_object_size(vocab) + more, bytes,
                         ids + json_object_size(vocab) + more))
        return error_set(err, STATUS_NO_MEMORY, "no memory for a vocabulary of %zu pieces",
                         json_object_size(vocab));
    json_object_keylen_foreach((json_t *)vocab, piece, length, value)
    {
        if (!vocabulary_add(&t->vocabulary, (int32_t)json_integer_value(value), piece, length))
            return error_set(err, STATUS_BAD_FILE,
                             "tokenizer.json: two pieces have id %d, one of them \"%.60s\"",
                             (int)json_integer_value(value), piece);
    }
    return STATUS_OK;
}

/* The two sides of merge number i. */
static bool merge_sides(const json_t *merge, const char **left, size_t *n_left, const char **right,
                        size_t *n_right)
{
    if (json_is_string(merge)) {
        *left = json_string_value(merge);
        size_t length = json_string_length(merge);
        const char *space = memchr(*left, ' ', length);
        if (!space)
            return false;
        *n_left = (size_t)(space - *left);
        *right = space + 1;
        *n_right = length - *n_left - 1;
        return !memchr(*right, ' ', *n_right);
    }
    const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
    if (json_array_size(merge) != 2 || !json_is_string(a) || !json_is_string(b))
        return false;
    *left = json_string_value(a);
    *n_left = json_string_length(a);
    *right = json_string_value(b);
    *n_right = json_string_length(b);
    return true;
}

static enum status read_merges(struct tokenizer *t, const json_t *merges, int32_t model_size,
                               const bool *in_model, struct error *err)
{
    struct buffer joined;
    buffer_init(&joined, BUFFER_NO_LIMIT);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < json_array_size(merges) && !status; i++) {
        const char *left, *right;
        size_t n_left, n_right;
        const json_t *merge = json_array_get(merges, i);
        if (json_is_string(merge) && strncmp(json_string_value(merge), "#version", 8) == 0)
            continue;
        if (!merge_sides(merge, &left, &n_left, &right, &n_right)) {
            status = error_set(err, STATUS_BAD_FILE, "tokenizer.json: merge %zu is not a pair", i);
            break;
        }
        buffer_clear(&joined);
        buffer_append(&joined, left, n_left);
        buffer_append(&joined, right, n_right);
        if (buffer_failed(&joined)) {
            status = error_set(err, STATUS_NO_MEMORY, "no memory for merges");
            break;
        }
        int32_t a = vocabulary_find(&t->vocabulary, left, n_left),
                b = vocabulary_find(&t->vocabulary, right, n_right);
        int32_t id = vocabulary_find(&t->vocabulary, joined.data, joined.length);
        int32_t all[3] = {a, b, id};
        for (int k = 0; k < 3 && !status; k++)
            if (all[k] < 0 || all[k] >= model_size || !in_model[all[k]])
                status =
                    error_set(err, STATUS_BAD_FILE,
                              "tokenizer.json: merge %zu, \"%.40s\", is of unknown pieces", i, joined.data);
        if (!status && n_left > 0 && n_right > 0 && !t->hidden[id])
            bpe_add_merge(&t->bpe, a, b, (uint32_t)i, id);
    }
    buffer_release(&joined);
    return status;
}

/* Options whose only supported value is "off". */
static enum status check_off(const json_t *model, struct error *err)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < 2; i++)
        if (json_string_length(json_object_get(model, affixes[i])) > 0)
            return error_set(err, STATUS_BAD_FILE, "model: %s is not supported", affixes[i]);
    const json_t *dropout = json_object_get(model, "dropout");
    if (dropout && !json_is_null(dropout) && json_number_value(dropout) != 0)
        return error_set(err, STATUS_BAD_FILE, "model: dropout is not supported");
    return STATUS_OK;
}

static enum status read_options(struct tokenizer *t, const json_t *model, const bool *in_model,
                                int32_t model_size, struct bpe_options *options, struct error *err)
{
    const json_t *unk = json_object_get(model, "unk_token");
    *options = (struct bpe_options){.unk = -1, .hidden = t->hidden};
    if (json_is_string(unk)) {
        int32_t id = vocabulary_find(&t->vocabulary, json_string_value(unk), json_string_length(unk));
        options->unk = id >= 0 && id < model_size && in_model[id] ? id : -1;
    }
    enum status status = json_field_bool(model, "fuse_unk", false, &options->fuse_unk, err);
    if (!status)
        status = json_field_bool(model, "byte_fallback", false, &options->byte_fallback, err);
    if (!status)
        status = json_field_bool(model, "ignore_merges", false, &options->ignore_merges, err);
    return status ? status : check_off(model, err);
}

static enum status read_model(struct tokenizer *t, const json_t *model, const json_t *added,
                              struct error *err)
{
    const json_t *type = json_object_get(model, "type"), *merges = json_object_get(model, "merges");
    const json_t *vocab = json_object_get(model, "vocab");
    if (type && (!json_is_string(type) || strcmp(json_string_value(type), "BPE") != 0))
        return json_unsupported(model, "model", err);
    if (!json_is_object(vocab) || !json_is_array(merges))
        return bad(err, "the model has no vocab or no merges");
    struct bpe_options options;
    bool *in_model = NULL;
    enum status status = read_vocabulary(t, vocab, added, err);
    if (status)
        return status;
    int32_t model_size = t->vocabulary.size;
    in_model = try_calloc((size_t)model_size, sizeof *in_model);
    if (!in_model)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a vocabulary");
    for (int32_t id = 0; id < model_size; id++) {
        size_t length;
        in_model[id] = vocabulary_piece(&t->vocabulary, id, &length) != NULL;
    }
    status = added_tokens_read(t, added, json_object_size(vocab), err);
    if (status)
        goto out;
    for (int32_t id = 0; id < t->vocabulary.size; id++)
        t->hidden[id] = t->hidden[id] || id >= model_size || !in_model[id];
    status = read_options(t, model, in_model, model_size, &options, err);
    if (status)
        goto out;
    if (!bpe_init(&t->bpe, &t->vocabulary, &options, json_array_size(merges)))
        status = error_set(err, STATUS_NO_MEMORY, "no memory for %zu merges", json_array_size(merges));
    else
        status = read_merges(t, merges, model_size, in_model, err);
out:
    free(in_model);
    return status;
}

enum status tokenizer_open_json(struct tokenizer **out, const char *json, size_t length, struct error *err)
{
    json_error_t json_error;
    *out = NULL;
    json_t *root = json_loadb(json, length, JSON_ALLOW_NUL, &json_error);
    if (!root)
        return error_set(err, STATUS_BAD_FILE, "tokenizer.json: %s at line %d", json_error.text,
                         json_error.line);
    struct tokenizer *t = xcalloc(1, sizeof *t);
    const json_t *added = json_object_get(root, "added_tokens");
    enum status status = normalizer_read(&t->normalizer, json_object_get(root, "normalizer"), err);
    if (!status)
        status = pre_tokenizer_read(&t->pre_tokenizer, json_object_get(root, "pre_tokenizer"), err);
    if (!status)
        status = decoder_read(&t->decoder, json_object_get(root, "decoder"), err);
    if (!status)
        status = post_processor_read(t, json_object_get(root, "post_processor"), err);
    if (!status)
        status = read_model(t, json_object_get(root, "model"), added, err);
    if (!status)
        *out = t;
    else
        tokenizer_close(t);
    json_decref(root);
    return status;
}
