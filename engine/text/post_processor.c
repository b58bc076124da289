/* Reading "post_processor" of a tokenizer.json: which ids stand before and behind a single text. */
#include "engine/text/json_field.h"
#include "engine/text/tokenizer_json.h"

#include <string.h>

static enum status add_id(int32_t *ids, size_t *n, const json_t *id, struct error *err)
{
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= VOCABULARY_MAX_IDS)
        return error_set(err, STATUS_BAD_FILE, "post_processor: an id is missing or too large");
    if (*n == TEMPLATE_IDS)
        return error_set(err, STATUS_BAD_FILE, "post_processor: more than %d ids", TEMPLATE_IDS);
    ids[(*n)++] = (int32_t)json_integer_value(id);
    return STATUS_OK;
}

static enum status read_template(struct tokenizer *t, const json_t *component, struct error *err)
{
    const json_t *pieces, *ids;
    enum status status = json_field_array(component, "single", &pieces, err);
    bool behind = false;
    for (size_t i = 0; !status && i < json_array_size(pieces); i++) {
        const json_t *piece = json_array_get(pieces, i);
        const char *special =
            json_string_value(json_object_get(json_object_get(piece, "SpecialToken"), "id"));
        const char *sequence = json_string_value(json_object_get(json_object_get(piece, "Sequence"), "id"));
        if (sequence && strcmp(sequence, "A") == 0 && !behind) {
            behind = true;
            continue;
        }
        if (!special)
            return error_set(err, STATUS_BAD_FILE,
                             "TemplateProcessing: a part of \"single\" is not supported");
        status = json_field_array(json_object_get(json_object_get(component, "special_tokens"), special),
                                  "ids", &ids, err);
        for (size_t k = 0; !status && k < json_array_size(ids); k++)
            status = behind ? add_id(t->suffix, &t->n_suffix, json_array_get(ids, k), err)
                            : add_id(t->prefix, &t->n_prefix, json_array_get(ids, k), err);
    }
    if (!status && !behind)
        return error_set(err, STATUS_BAD_FILE, "TemplateProcessing: \"single\" has no sequence A");
    return status;
}

/* BERT's and RoBERTa's: cls text sep. */
static enum status read_cls_sep(struct tokenizer *t, const json_t *component, struct error *err)
{
    enum status status =
        add_id(t->prefix, &t->n_prefix, json_array_get(json_object_get(component, "cls"), 1), err);
    return status
               ? status
               : add_id(t->suffix, &t->n_suffix, json_array_get(json_object_get(component, "sep"), 1), err);
}

static enum status read_processor(struct tokenizer *t, const json_t *component, int depth, struct error *err)
{
    const char *type = json_component(component);
    if (strcmp(type, "ByteLevel") == 0) /* concerns offsets only */
        return STATUS_OK;
    if (strcmp(type, "Sequence") == 0 && depth < COMPONENT_STEPS) {
        const json_t *list;
        enum status status = json_field_array(component, "processors", &list, err);
        for (size_t i = 0; !status && i < json_array_size(list); i++)
            status = read_processor(t, json_array_get(list, i), depth + 1, err);
        return status;
    }
    if (t->n_prefix + t->n_suffix > 0)
        return error_set(err, STATUS_BAD_FILE, "post_processor: two that add ids are not supported");
    if (strcmp(type, "TemplateProcessing") == 0)
        return read_template(t, component, err);
    if (strcmp(type, "BertProcessing") == 0 || strcmp(type, "RobertaProcessing") == 0)
        return read_cls_sep(t, component, err);
    return json_unsupported(component, "post_processor", err);
}

enum status post_processor_read(struct tokenizer *t, const json_t *component, struct error *err)
{
    if (!component || json_is_null(component))
        return STATUS_OK;
    return read_processor(t, component, 0, err);
}
