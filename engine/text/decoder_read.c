/* Reading the steps of a decoder. */
#include "base/memory.h"
#include "engine/text/decoder.h"
#include "engine/text/json_field.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_STRIPPED = 1 << 20 };

static enum status read_text(struct decoder_step *step, const json_t *component, const char *field,
                             bool one_char, struct error *err)
{
    const char *text;
    enum status status = one_char ? json_field_char(component, field, &text, &step->content_length, err)
                                  : json_field_text(component, field, &text, &step->content_length, err);
    if (!status)
        step->content = xstrndup(text, step->content_length);
    return status;
}

static enum status read_strip(struct decoder_step *step, const json_t *component, struct error *err)
{
    enum status status = read_text(step, component, "content", true, err);
    if (!status)
        status = json_field_count(component, "start", MOST_STRIPPED, &step->left, err);
    return status ? status : json_field_count(component, "stop", MOST_STRIPPED, &step->right, err);
}

static enum status read_metaspace(struct decoder_step *step, const json_t *component, struct error *err)
{
    const json_t *scheme = json_object_get(component, "prepend_scheme");
    enum status status = read_text(step, component, "replacement", true, err);
    if (!status)
        status = json_field_bool(component, "add_prefix_space", true, &step->drop_first, err);
    if (json_is_string(scheme))
        step->drop_first = strcmp(json_string_value(scheme), "never") != 0;
    return status;
}

static enum status read_step(struct decoder_step *step, const json_t *component, struct error *err)
{
    static const struct {
        const char *name;
        enum decoder_kind kind;
    } known[] = {
        {"Replace", DECODER_REPLACE},   {"ByteFallback", DECODER_BYTES},   {"Fuse", DECODER_FUSE},
        {"Strip", DECODER_STRIP},       {"ByteLevel", DECODER_BYTE_LEVEL}, {"Metaspace", DECODER_METASPACE},
        {"BPEDecoder", DECODER_SUFFIX},
    };
    size_t i = 0, n = sizeof known / sizeof known[0];
    while (i < n && strcmp(known[i].name, json_component(component)) != 0)
        i++;
    if (i == n)
        return json_unsupported(component, "decoder", err);
    step->kind = known[i].kind;
    enum status status = STATUS_OK;
    switch (step->kind) {
    case DECODER_REPLACE:
        status = read_text(step, component, "content", false, err);
        return status ? status : pattern_read(&step->pattern, component, err);
    case DECODER_STRIP: return read_strip(step, component, err);
    case DECODER_METASPACE: return read_metaspace(step, component, err);
    case DECODER_SUFFIX:
        status = read_text(step, component, "suffix", false, err);
        if (!status && step->content_length == 0)
            return error_set(err, STATUS_BAD_FILE, "BPEDecoder: an empty suffix is not supported");
        return status ? status
                      : pattern_init(&step->pattern, step->content, step->content_length, false, err);
    default: return status;
    }
}

static enum status read_steps(struct decoder *decoder, const json_t *component, int depth, struct error *err)
{
    if (strcmp(json_component(component), "Sequence") == 0 && depth < COMPONENT_STEPS) {
        const json_t *list;
        enum status status = json_field_array(component, "decoders", &list, err);
        for (size_t i = 0; !status && i < json_array_size(list); i++)
            status = read_steps(decoder, json_array_get(list, i), depth + 1, err);
        return status;
    }
    if (decoder->count == COMPONENT_STEPS)
        return error_set(err, STATUS_BAD_FILE, "decoder: more than %d steps", COMPONENT_STEPS);
    return read_step(&decoder->step[decoder->count++], component, err);
}

static void note_joined(struct decoder *decoder)
{
    bool joined = false;
    for (size_t i = 0; i < decoder->count; i++) {
        decoder->step[i].joined = joined;
        joined =
            joined || decoder->step[i].kind == DECODER_FUSE || decoder->step[i].kind == DECODER_BYTE_LEVEL;
    }
}

enum status decoder_read(struct decoder *decoder, const json_t *component, struct error *err)
{
    *decoder = (struct decoder){0};
    if (!component || json_is_null(component)) {
        decoder->step[decoder->count++].kind = DECODER_JOIN;
        return STATUS_OK;
    }
    enum status status = read_steps(decoder, component, 0, err);
    note_joined(decoder);
    return status;
}

void decoder_make_llama(struct decoder *decoder, bool strip)
{
    static const char mark[] = "\xE2\x96\x81";
    *decoder = (struct decoder){.count = 3};
    decoder->step[0] =
        (struct decoder_step){.kind = DECODER_REPLACE, .content = xstrdup(" "), .content_length = 1};
    pattern_init(&decoder->step[0].pattern, mark, strlen(mark), false, NULL); /* a literal: cannot fail */
    decoder->step[1].kind = DECODER_BYTES;
    decoder->step[2].kind = DECODER_FUSE;
    if (strip)
        decoder->step[decoder->count++] = (struct decoder_step){
            .kind = DECODER_STRIP, .content = xstrdup(" "), .content_length = 1, .left = 1};
    note_joined(decoder);
}

void decoder_make_byte_level(struct decoder *decoder)
{
    *decoder = (struct decoder){.count = 1};
    decoder->step[0].kind = DECODER_BYTE_LEVEL;
}

void decoder_release(struct decoder *decoder)
{
    for (size_t i = 0; i < decoder->count; i++) {
        pattern_release(&decoder->step[i].pattern);
        free(decoder->step[i].content);
    }
    *decoder = (struct decoder){0};
}
