/* Reading "added_tokens" of a tokenizer.json. The ids in the list are not looked at: as in the tokenizers
 * library, a token that the model has keeps the model's id, and the others are numbered behind the model's
 * pieces in the list's order. */
#include "base/memory.h"
#include "engine/text/json_field.h"
#include "engine/text/tokenizer_json.h"

#include <stdlib.h>
#include <string.h>

struct listed {
    const char *text;
    size_t length;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
};

static enum status read_one(struct listed *token, const json_t *entry, struct error *err)
{
    const struct {
        const char *name;
        bool *to;
    } flags[] = {
        {"single_word", &token->single_word}, {"lstrip", &token->lstrip},   {"rstrip", &token->rstrip},
        {"normalized", &token->normalized},   {"special", &token->special},
    };
    if (!json_is_string(json_object_get(entry, "content")))
        return error_set(err, STATUS_BAD_FILE, "added_tokens: a token has no content");
    enum status status = json_field_text(entry, "content", &token->text, &token->length, err);
    for (size_t i = 0; !status && i < sizeof flags / sizeof flags[0]; i++)
        status = json_field_bool(entry, flags[i].name, false, flags[i].to, err);
    if (!status && token->length > ADDED_TOKEN_BYTES)
        return error_set(err, STATUS_BAD_FILE, "added_tokens: \"%.40s...\" is longer than %d bytes",
                         token->text, ADDED_TOKEN_BYTES);
    return status;
}

/* Gives the token its id: the piece's of the same spelling, or the next free one. */
static enum status number_one(struct tokenizer *t, struct listed *token, int32_t *largest, size_t model_count,
                              struct error *err)
{
    token->id = vocabulary_find(&t->vocabulary, token->text, token->length);
    if (token->id < 0) {
        token->id = *largest >= (int32_t)model_count ? *largest + 1 : (int32_t)model_count;
        if (!vocabulary_add(&t->vocabulary, token->id, token->text, token->length))
            return error_set(err, STATUS_BAD_FILE,
                             "added_tokens: \"%.60s\" would get id %d, which a piece has", token->text,
                             token->id);
    }
    if (token->id > *largest)
        *largest = token->id;
    return STATUS_OK;
}

/* Appends the normalized spelling of a token. */
static enum status normalize(const struct tokenizer *t, const struct listed *token, struct buffer *out,
                             struct error *err)
{
    struct marked_text text, spare;
    struct regex_run run = {0};
    marked_text_init(&text, false);
    marked_text_init(&spare, false);
    marked_text_put(&text, token->text, token->length, 0);
    bool fine = normalizer_run(&t->normalizer, &run, &text, &spare);
    if (fine)
        buffer_append(out, marked_text_span(&text).text, text.text.length);
    regex_run_release(&run);
    marked_text_release(&text);
    marked_text_release(&spare);
    if (!fine || buffer_failed(out))
        return error_set(err, STATUS_NO_MEMORY, "no memory for added tokens");
    if (out->length == 0 || out->length > ADDED_TOKEN_BYTES)
        return error_set(err, STATUS_BAD_FILE, "added_tokens: \"%.60s\" is empty or too long when normalized",
                         token->text);
    return STATUS_OK;
}

/* Adds the token to those that are searched for, as it is or normalized. Of tokens with one id the last says
 * how. */
static enum status search_for(struct tokenizer *t, const struct listed *token, const struct listed *last,
                              struct error *err)
{
    struct buffer text;
    buffer_init(&text, BUFFER_NO_LIMIT);
    enum status status = STATUS_OK;
    if (token->normalized)
        status = normalize(t, token, &text, err);
    else
        buffer_append(&text, token->text, token->length);
    if (!status) {
        struct added_token added = {.text = text.data,
                                    .length = (uint32_t)text.length,
                                    .id = token->id,
                                    .single_word = last->single_word,
                                    .lstrip = last->lstrip,
                                    .rstrip = last->rstrip};
        if (buffer_failed(&text) ||
            !added_tokens_add(token->normalized ? &t->added_normalized : &t->added, &added))
            status = error_set(err, STATUS_NO_MEMORY, "no memory for added tokens");
    }
    buffer_release(&text);
    return status;
}

/* The library searches for special tokens first, which decides between two of the same text. */
static enum status search_for_all(struct tokenizer *t, const struct listed *token, size_t count,
                                  const size_t *last, struct error *err)
{
    enum status status = STATUS_OK;
    for (int special = 1; special >= 0; special--)
        for (size_t i = 0; i < count && !status; i++)
            if (token[i].length > 0 && token[i].special == (special == 1) &&
                t->special[token[i].id] == token[i].special)
                status = search_for(t, &token[i], &token[last[token[i].id]], err);
    added_tokens_ready(&t->added);
    added_tokens_ready(&t->added_normalized);
    return status;
}

static int by_id(const void *a, const void *b)
{
    int32_t x = ((const struct spelling *)a)->id, y = ((const struct spelling *)b)->id;
    return x < y ? -1 : x > y;
}

/* Tokens that are searched for in their normalized form are decoded in it too. */
static enum status spell_all(struct tokenizer *t, const struct listed *token, size_t count,
                             const size_t *last, struct error *err)
{
    enum status status = STATUS_OK;
    t->spelling = try_calloc(count, sizeof *t->spelling);
    if (!t->spelling)
        return error_set(err, STATUS_NO_MEMORY, "no memory for added tokens");
    for (size_t i = 0; i < count && !status; i++) {
        struct buffer text;
        if (token[i].length == 0 || !token[i].normalized || last[token[i].id] != i ||
            t->normalizer.count == 0)
            continue;
        buffer_init(&text, BUFFER_NO_LIMIT);
        status = normalize(t, &token[i], &text, err);
        if (!status)
            t->spelling[t->spellings++] = (struct spelling){
                .id = token[i].id, .length = (uint32_t)text.length, .text = xstrndup(text.data, text.length)};
        buffer_release(&text);
    }
    qsort(t->spelling, t->spellings, sizeof *t->spelling, by_id);
    return status;
}

/* For each id the number of the last token that has it. */
static size_t *find_last(const struct tokenizer *t, const struct listed *token, size_t count)
{
    size_t *last = try_calloc((size_t)t->vocabulary.size, sizeof *last);
    for (size_t i = 0; i < count && last; i++)
        if (token[i].length > 0)
            last[token[i].id] = i;
    return last;
}

enum status added_tokens_read(struct tokenizer *t, const json_t *list, size_t model_count, struct error *err)
{
    size_t count = json_array_size(list);
    int32_t largest = -1;
    if (list && !json_is_null(list) && !json_is_array(list))
        return error_set(err, STATUS_BAD_FILE, "added_tokens must be a list");
    size_t *last = NULL;
    struct listed *token = try_calloc(count, sizeof *token);
    enum status status = token ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "no memory for added tokens");
    for (size_t i = 0; i < count && !status; i++) {
        status = read_one(&token[i], json_array_get(list, i), err);
        if (!status && token[i].length > 0)
            status = number_one(t, &token[i], &largest, model_count, err);
    }
    if (!status && (!tokenizer_make_flags(t) || !(last = find_last(t, token, count))))
        status = error_set(err, STATUS_NO_MEMORY, "no memory for added tokens");
    for (size_t i = 0; i < count && !status; i++) {
        if (token[i].length > 0 && token[i].special) {
            t->special[token[i].id] = true;
            /* one that is found only as a word of its own may be spelt as a part of another word */
            t->hidden[token[i].id] = !token[last[token[i].id]].single_word;
        }
    }
    if (!status)
        status = search_for_all(t, token, count, last, err);
    if (!status)
        status = spell_all(t, token, count, last, err);
    free(last);
    free(token);
    return status;
}
