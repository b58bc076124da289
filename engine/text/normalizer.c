#include "engine/text/normalizer.h"

#include "base/memory.h"
#include "engine/text/byte_level.h"
#include "engine/text/char_class.h"
#include "engine/text/json_field.h"
#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

enum status pattern_read(struct pattern *pattern, const json_t *component, struct error *err)
{
    const json_t *field = json_object_get(component, "pattern");
    const json_t *text = json_is_string(field) ? field : json_object_get(field, "String");
    bool is_regex = !text;
    if (is_regex)
        text = json_object_get(field, "Regex");
    if (!json_is_string(text))
        return error_set(err, STATUS_BAD_FILE, "%.40s: \"pattern\" must be a String or a Regex",
                         json_component(component));
    return pattern_init(pattern, json_string_value(text), json_string_length(text), is_regex, err);
}

static enum status read_content(struct normalizer_step *step, const json_t *component, const char *field,
                                struct error *err)
{
    const char *text;
    enum status status = json_field_text(component, field, &text, &step->content_length, err);
    if (!status)
        step->content = xstrndup(text, step->content_length);
    return status;
}

static enum status read_step(struct normalizer_step *step, const json_t *component, struct error *err)
{
    static const struct {
        const char *name;
        enum normalizer_kind kind;
        enum normal_form form;
    } known[] = {
        {"Prepend", NORMALIZER_PREPEND, 0},      {"Replace", NORMALIZER_REPLACE, 0},
        {"Lowercase", NORMALIZER_LOWERCASE, 0},  {"Strip", NORMALIZER_STRIP, 0},
        {"NFC", NORMALIZER_FORM, NORMAL_FORM_C}, {"NFKC", NORMALIZER_FORM, NORMAL_FORM_KC},
        {"NFD", NORMALIZER_FORM, NORMAL_FORM_D}, {"NFKD", NORMALIZER_FORM, NORMAL_FORM_KD},
        {"ByteLevel", NORMALIZER_BYTE_LEVEL, 0},
    };
    size_t i = 0, n = sizeof known / sizeof known[0];
    while (i < n && strcmp(known[i].name, json_component(component)) != 0)
        i++;
    if (i == n)
        return json_unsupported(component, "normalizer", err);
    step->kind = known[i].kind;
    step->form = known[i].form;
    enum status status = STATUS_OK;
    if (step->kind == NORMALIZER_PREPEND)
        return read_content(step, component, "prepend", err);
    if (step->kind == NORMALIZER_REPLACE) {
        status = read_content(step, component, "content", err);
        return status ? status : pattern_read(&step->pattern, component, err);
    }
    if (step->kind == NORMALIZER_STRIP) {
        status = json_field_bool(component, "strip_left", false, &step->left, err);
        return status ? status : json_field_bool(component, "strip_right", false, &step->right, err);
    }
    return status;
}

static enum status read_steps(struct normalizer *normalizer, const json_t *component, int depth,
                              struct error *err)
{
    if (strcmp(json_component(component), "Sequence") == 0 && depth < COMPONENT_STEPS) {
        const json_t *list;
        enum status status = json_field_array(component, "normalizers", &list, err);
        for (size_t i = 0; !status && i < json_array_size(list); i++)
            status = read_steps(normalizer, json_array_get(list, i), depth + 1, err);
        return status;
    }
    if (normalizer->count == COMPONENT_STEPS)
        return error_set(err, STATUS_BAD_FILE, "normalizer: more than %d steps", COMPONENT_STEPS);
    return read_step(&normalizer->step[normalizer->count++], component, err);
}

enum status normalizer_read(struct normalizer *normalizer, const json_t *component, struct error *err)
{
    *normalizer = (struct normalizer){0};
    if (!component || json_is_null(component))
        return STATUS_OK;
    return read_steps(normalizer, component, 0, err);
}

void normalizer_make_llama(struct normalizer *normalizer, const char *prefix)
{
    static const char space[] = "\xE2\x96\x81";
    *normalizer = (struct normalizer){0};
    if (*prefix)
        normalizer->step[normalizer->count++] = (struct normalizer_step){
            .kind = NORMALIZER_PREPEND, .content = xstrdup(prefix), .content_length = strlen(prefix)};
    struct normalizer_step *replace = &normalizer->step[normalizer->count++];
    *replace = (struct normalizer_step){
        .kind = NORMALIZER_REPLACE, .content = xstrdup(space), .content_length = strlen(space)};
    pattern_init(&replace->pattern, " ", 1, false, NULL); /* a literal: cannot fail */
}

void normalizer_release(struct normalizer *normalizer)
{
    for (size_t i = 0; i < normalizer->count; i++) {
        free(normalizer->step[i].content);
        pattern_release(&normalizer->step[i].pattern);
    }
    *normalizer = (struct normalizer){0};
}

/* The mark of something put in at a position: that of the byte before. At the start there is none, and what
 * is put in stands where the text stands. */
static int inserted_mark(struct span text, size_t at)
{
    if (!text.mark || text.length == 0)
        return 0;
    return text.mark[at > 0 ? at - 1 : 0] & MARK_ORIGIN;
}

static void replace(const struct normalizer_step *step, struct regex_run *run, struct span text,
                    struct marked_text *out)
{
    struct pattern_walk walk = {
        .pattern = &step->pattern, .run = run, .text = text.text, .length = text.length};
    size_t done = 0, begin, end;
    while (pattern_next(&walk, &begin, &end) == REGEX_FOUND) {
        marked_text_add(out, span_part(text, done, begin));
        int mark = begin < end ? span_mark(span_part(text, begin, end)) : inserted_mark(text, begin);
        marked_text_put(out, step->content, step->content_length, mark);
        done = end;
    }
    marked_text_add(out, span_part(text, done, text.length));
}

static void lowercase(struct span text, struct marked_text *out)
{
    size_t length, before;
    for (size_t at = 0; at < text.length; at += length) {
        before = out->text.length;
        char_append_lower(&out->text, utf8_get(text.text + at, &length));
        for (; out->marked && before < out->text.length; before++)
            buffer_append_char(&out->mark, text.mark[at]);
    }
}

static void strip(const struct normalizer_step *step, struct span text, struct marked_text *out)
{
    size_t begin = 0, end = text.length, length;
    while (step->left && begin < end && char_is_space(utf8_get(text.text + begin, &length)))
        begin += length;
    while (step->right && end > begin) {
        size_t last = utf8_back(text.text, end);
        if (!char_is_space(utf8_get(text.text + last, &length)))
            break;
        end = last;
    }
    marked_text_add(out, span_part(text, begin, end));
}

static bool is_ascii(struct span text)
{
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char)text.text[i] >= 0x80)
            return false;
    return true;
}

static bool run_step(const struct normalizer_step *step, struct regex_run *run, struct span text,
                     struct marked_text *out)
{
    switch (step->kind) {
    case NORMALIZER_PREPEND:
        if (text.length > 0)
            marked_text_put(out, step->content, step->content_length, inserted_mark(text, 0));
        marked_text_add(out, text);
        break;
    case NORMALIZER_REPLACE: replace(step, run, text, out); break;
    case NORMALIZER_LOWERCASE: lowercase(text, out); break;
    case NORMALIZER_STRIP: strip(step, text, out); break;
    case NORMALIZER_BYTE_LEVEL: byte_level_write(out, text); break;
    case NORMALIZER_FORM:
        if (!is_ascii(text))
            return normal_form_write(out, text, step->form);
        marked_text_add(out, text);
        break;
    }
    return true;
}

bool normalizer_run(const struct normalizer *normalizer, struct regex_run *run, struct marked_text *text,
                    struct marked_text *spare)
{
    for (size_t i = 0; i < normalizer->count; i++) {
        marked_text_clear(spare);
        if (!run_step(&normalizer->step[i], run, marked_text_span(text), spare) || marked_text_failed(spare))
            return false;
        struct marked_text other = *text;
        *text = *spare;
        *spare = other;
    }
    return !marked_text_failed(text);
}
