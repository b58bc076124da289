#include "engine/model/model_text.h"
#include "engine/model/checkpoint_parts.h"
#include "engine/model/json_fields.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* --- the tokenizer --- */

static enum status open_gguf_tokenizer(struct model_text *t, const struct checkpoint *ck, struct error *err)
{
    struct tokenizer_vocab v = {.bos = -1, .eos = -1, .unk = -1};
    size_t scores = 0, types = 0;
    int64_t id;
    v.model = checkpoint_gguf_string(ck, "tokenizer.ggml.model");
    v.pre = checkpoint_gguf_string(ck, "tokenizer.ggml.pre");
    v.piece = checkpoint_gguf_strings(ck, "tokenizer.ggml.tokens", &v.count);
    v.score = checkpoint_gguf_floats(ck, "tokenizer.ggml.scores", &scores);
    v.type = checkpoint_gguf_ints(ck, "tokenizer.ggml.token_type", &types);
    v.merge = checkpoint_gguf_strings(ck, "tokenizer.ggml.merges", &v.merges);
    if (!v.model || !v.piece || (v.score && scores != v.count) || (v.type && types != v.count))
        return error_set(err, STATUS_BAD_FILE,
                         "%.150s: its vocabulary (tokenizer.ggml.*) is missing or incomplete",
                         checkpoint_path(ck));
    if (checkpoint_gguf_int(ck, "tokenizer.ggml.bos_token_id", &id))
        v.bos = id >= 0 && (size_t)id < v.count ? (int32_t)id : -1;
    if (checkpoint_gguf_int(ck, "tokenizer.ggml.eos_token_id", &id))
        v.eos = id >= 0 && (size_t)id < v.count ? (int32_t)id : -1;
    if (checkpoint_gguf_int(ck, "tokenizer.ggml.unknown_token_id", &id))
        v.unk = id >= 0 && (size_t)id < v.count ? (int32_t)id : -1;
    v.add_bos = v.add_space_prefix = strcmp(v.model, "llama") == 0;
    checkpoint_gguf_bool(ck, "tokenizer.ggml.add_bos_token", &v.add_bos);
    checkpoint_gguf_bool(ck, "tokenizer.ggml.add_eos_token", &v.add_eos);
    checkpoint_gguf_bool(ck, "tokenizer.ggml.add_space_prefix", &v.add_space_prefix);
    enum status status = tokenizer_open_vocab(&t->tokenizer, &v, err);
    return status ? error_prefix(err, "%.100s", checkpoint_path(ck)) : STATUS_OK;
}

static enum status open_json_tokenizer(struct model_text *t, const struct checkpoint *ck, struct error *err)
{
    size_t length;
    char *text = checkpoint_read_file(ck, "tokenizer.json", &length, err);
    if (!text)
        return err->status
                   ? err->status
                   : error_set(
                         err, STATUS_BAD_FILE,
                         "%.150s: holds no tokenizer.json (save the tokenizer with the tokenizers library)",
                         checkpoint_path(ck));
    enum status status = tokenizer_open_json(&t->tokenizer, text, length, err);
    free(text);
    return status ? error_prefix(err, "tokenizer.json") : STATUS_OK;
}

/* --- the template --- */

static enum status open_template(struct model_text *t, const char *source, size_t length, const char *file,
                                 struct error *err)
{
    return chat_template_open(&t->chat, source, length, err) ? error_prefix(err, "%.100s", file) : STATUS_OK;
}

/* A template is a string, or a list of {"name", "template"}, of which "default" counts. */
static const char *template_text(const json_t *object)
{
    const json_t *value = object ? json_object_get(object, "chat_template") : NULL, *item;
    size_t i;
    json_array_foreach(value, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        if (name && strcmp(name, "default") == 0)
            return json_string_value(json_object_get(item, "template"));
    }
    return json_string_value(value);
}

static enum status open_folder_template(struct model_text *t, const struct checkpoint *ck,
                                        const json_t *tokenizer_config, struct error *err)
{
    size_t length;
    char *text = checkpoint_read_file(ck, "chat_template.jinja", &length, err);
    if (text) {
        enum status status = open_template(t, text, length, "chat_template.jinja", err);
        free(text);
        return status;
    }
    if (err->status || !(text = checkpoint_read_file(ck, "chat_template.json", &length, err))) {
        const char *source = template_text(tokenizer_config);
        return err->status ? err->status
               : source    ? open_template(t, source, strlen(source), "tokenizer_config.json", err)
                           : STATUS_OK;
    }
    json_t *json = json_object_read(text, length, "chat_template.json", err);
    free(text);
    if (!json)
        return err->status;
    const char *source = template_text(json);
    enum status status =
        source ? open_template(t, source, strlen(source), "chat_template.json", err) : STATUS_OK;
    json_decref(json);
    return status;
}

/* --- special tokens --- */

static char *spell(const struct tokenizer *t, int32_t id)
{
    struct buffer text;
    buffer_init(&text, 4096);
    if (id >= 0)
        tokenizer_decode(t, &id, 1, false, &text);
    buffer_append(&text, "", 0);
    return text.data ? text.data : xstrdup("");
}

/* A token in tokenizer_config.json: a string, or an object with "content". */
static const char *named_token(const json_t *config, const char *key)
{
    const json_t *value = config ? json_object_get(config, key) : NULL;
    return json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
}

static void settle_special(struct model_text *t, struct model_config *c, const json_t *tokenizer_config)
{
    const char *bos = named_token(tokenizer_config, "bos_token"),
               *eos = named_token(tokenizer_config, "eos_token");
    t->bos = bos ? xstrdup(bos) : spell(t->tokenizer, c->bos_id);
    t->eos = eos ? xstrdup(eos) : spell(t->tokenizer, c->n_end_ids ? c->end_id[0] : -1);
    t->image = spell(t->tokenizer, c->image_id);
    int32_t id = eos ? tokenizer_find(t->tokenizer, eos) : -1;
    bool known = id < 0 || id >= c->llm.vocab || c->n_end_ids == MAX_END_IDS;
    for (int i = 0; i < c->n_end_ids; i++)
        known = known || c->end_id[i] == id;
    if (!known)
        c->end_id[c->n_end_ids++] = id;
}

static enum status read_tokenizer_config(const struct checkpoint *ck, json_t **out, struct error *err)
{
    size_t length;
    char *text = checkpoint_read_file(ck, "tokenizer_config.json", &length, err);
    if (!text)
        return err->status;
    *out = json_object_read(text, length, "tokenizer_config.json", err);
    free(text);
    return err->status;
}

enum status model_text_open(struct model_text *t, const struct checkpoint *ck, struct model_config *c,
                            struct error *err)
{
    json_t *config = NULL;
    const char *source;
    *t = (struct model_text){0};
    err->status = STATUS_OK;
    if (checkpoint_is_gguf(ck)) {
        if (open_gguf_tokenizer(t, ck, err))
            goto out;
        source = checkpoint_gguf_string(ck, "tokenizer.chat_template");
        if (source && open_template(t, source, strlen(source), checkpoint_path(ck), err))
            goto out;
    } else {
        if (open_json_tokenizer(t, ck, err) || read_tokenizer_config(ck, &config, err))
            goto out;
        if (open_folder_template(t, ck, config, err))
            goto out;
    }
    if (!t->chat && chat_template_open(&t->chat, chat_template_llava, strlen(chat_template_llava), err))
        goto out;
    settle_special(t, c, config);
out:
    json_decref(config);
    if (err->status)
        model_text_release(t);
    return err->status;
}

void model_text_release(struct model_text *t)
{
    tokenizer_close(t->tokenizer);
    chat_template_close(t->chat);
    free(t->bos);
    free(t->eos);
    free(t->image);
    *t = (struct model_text){0};
}
