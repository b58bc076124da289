/* Reading "added_tokens" of a tokenizer.json. The ids in the list are not looked at: as in the tokenizers library, a token
 * that the model has keeps the model's id, and the others are numbered behind the model's pieces in the list's order. */
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
        return error_set(err, STATUS_BAD_FILE, "added_tokens: \"%.40s...\" is longer than %d bytes", token->text,
                         ADDED_TOKEN_BYTES);
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
            return error_set(err, STATUS_BAD_FILE, "added_tokens: \"%.60s\" would get id %d, which a piece has",
                             token->text, token->id);
    }
    if (token->id > *largest)
        *largest = token->id;
    return STATUS_OK;
}

/* Adds the token to those that are searched for, as it is or normalized. */
static enum status search_for(struct tokenizer *t, const struct listed *token, struct error *err)
{
    struct added_token added = {.text = (char *)token->text,
                                .length = (uint32_t)token->length,
                                .id = token->id,
                                .single_word = token->single_word,
                                .lstrip = token->lstrip,
                                .rstrip = token->rstrip};
    if (!token->normalized)
        return added_tokens_add(&t->added, &added) ? STATUS_OK
                                                   : error_set(err, STATUS_NO_MEMORY, "no memory for added tokens");
    struct marked_text text, spare;
    struct regex_run run = {0};
    enum status status = STATUS_OK;
    marked_text_init(&text, false);
    marked_text_init(&spare, false);
    marked_text_put(&text, token->text, token->length, 0);
    if (!normalizer_run(&t->normalizer, &run, &text, &spare)) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory for added tokens");
    } else if (text.text.length == 0 || text.text.length > ADDED_TOKEN_BYTES) {
        status = error_set(err, STATUS_BAD_FILE, "added_tokens: \"%.60s\" is empty or too long when normalized",
                           token->text);
    } else {
        added.text = text.text.data;
        added.length = (uint32_t)text.text.length;
        if (!added_tokens_add(&t->added_normalized, &added))
            status = error_set(err, STATUS_NO_MEMORY, "no memory for added tokens");
    }
    regex_run_release(&run);
    marked_text_release(&text);
    marked_text_release(&spare);
    return status;
}

/* The library searches for special tokens first, which decides between two of the same text. */
static enum status search_for_all(struct tokenizer *t, const struct listed *token, size_t count, struct error *err)
{
    enum status status = STATUS_OK;
    for (int special = 1; special >= 0; special--)
        for (size_t i = 0; i < count && !status; i++)
            if (token[i].length > 0 && t->special[token[i].id] == (special == 1))
                status = search_for(t, &token[i], err);
    added_tokens_ready(&t->added);
    added_tokens_ready(&t->added_normalized);
    return status;
}

enum status added_tokens_read(struct tokenizer *t, const json_t *list, size_t model_count, struct error *err)
{
    size_t count = json_array_size(list);
    int32_t largest = -1;
    if (list && !json_is_null(list) && !json_is_array(list))
        return error_set(err, STATUS_BAD_FILE, "added_tokens must be a list");
    struct listed *token = try_calloc(count, sizeof *token);
    enum status status = token ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "no memory for added tokens");
    for (size_t i = 0; i < count && !status; i++) {
        status = read_one(&token[i], json_array_get(list, i), err);
        if (!status && token[i].length > 0)
            status = number_one(t, &token[i], &largest, model_count, err);
    }
    if (!status && !tokenizer_make_flags(t))
        status = error_set(err, STATUS_NO_MEMORY, "no memory for added tokens");
    for (size_t i = 0; i < count && !status; i++)
        if (token[i].length > 0 && token[i].special)
            t->special[token[i].id] = true;
    if (!status)
        status = search_for_all(t, token, count, err);
    free(token);
    return status;
}
