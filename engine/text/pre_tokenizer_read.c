/* Reading the steps of a pre-tokenizer. */
#include "engine/text/json_field.h"
#include "engine/text/pre_tokenizer.h"

#include <string.h>

static const char gpt2_words[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* A new step of a kind, or NULL with an error when there are too many. */
static struct splitter *add_step(struct pre_tokenizer *pre, enum splitter_kind kind, struct error *err)
{
    if (pre->count == COMPONENT_STEPS) {
        error_set(err, STATUS_BAD_FILE, "pre_tokenizer: more than %d steps", COMPONENT_STEPS);
        return NULL;
    }
    struct splitter *step = &pre->step[pre->count++];
    *step = (struct splitter){.kind = kind, .behavior = SPLIT_REMOVED};
    return step;
}

static enum status read_behavior(struct splitter *step, const json_t *component, struct error *err)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                        "Contiguous"};
    const char *name;
    size_t length;
    enum status status = json_field_text(component, "behavior", &name, &length, err);
    for (size_t i = 0; !status && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) {
            step->behavior = (enum split_behavior)i;
            return STATUS_OK;
        }
    }
    return status ? status
                  : error_set(err, STATUS_BAD_FILE, "%.40s: behavior \"%.40s\" is not supported",
                              json_component(component), name);
}

static enum status read_content(struct splitter *step, const json_t *component, const char *field,
                                struct error *err)
{
    const char *text;
    enum status status = json_field_char(component, field, &text, &step->content_length, err);
    if (!status)
        memcpy(step->content, text, step->content_length);
    return status;
}

static enum status read_split(struct splitter *step, const json_t *component, struct error *err)
{
    enum status status = read_behavior(step, component, err);
    if (!status)
        status = json_field_bool(component, "invert", false, &step->invert, err);
    if (!status)
        status = pattern_read(&step->pattern, component, err);
    step->has_pattern = true;
    return status;
}

static enum status read_byte_level(struct splitter *step, const json_t *component, struct error *err)
{
    bool prefix = true;
    step->behavior = SPLIT_ISOLATED;
    enum status status = json_field_bool(component, "add_prefix_space", true, &prefix, err);
    step->prefix = prefix ? PREFIX_ALWAYS : PREFIX_NEVER;
    if (!status)
        status = json_field_bool(component, "use_regex", true, &step->has_pattern, err);
    if (!status && step->has_pattern)
        status = pattern_init(&step->pattern, gpt2_words, strlen(gpt2_words), true, err);
    return status;
}

static enum status read_metaspace(struct splitter *step, const json_t *component, struct error *err)
{
    static const char *const schemes[] = {"never", "first", "always"};
    bool legacy = true; /* files from before prepend_scheme */
    step->behavior = SPLIT_MERGED_WITH_NEXT;
    enum status status = read_content(step, component, "replacement", err);
    if (!status)
        status = json_field_bool(component, "split", true, &step->cut, err);
    if (!status)
        status = json_field_bool(component, "add_prefix_space", true, &legacy, err);
    const json_t *scheme = json_object_get(component, "prepend_scheme");
    step->prefix = legacy ? PREFIX_ALWAYS : PREFIX_NEVER;
    if (status || !scheme || json_is_null(scheme))
        return status;
    for (size_t i = 0; i < 3; i++) {
        if (json_is_string(scheme) && strcmp(schemes[i], json_string_value(scheme)) == 0) {
            step->prefix = (enum splitter_prefix)i;
            return STATUS_OK;
        }
    }
    return error_set(err, STATUS_BAD_FILE, "Metaspace: prepend_scheme is not supported");
}

static enum status read_digits(struct splitter *step, const json_t *component, struct error *err)
{
    bool individual = false;
    enum status status = json_field_bool(component, "individual_digits", false, &individual, err);
    step->behavior = individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS;
    return status;
}

static enum status read_length(struct splitter *step, const json_t *component, struct error *err)
{
    enum status status = json_field_count(component, "length", 1 << 20, &step->width, err);
    if (!status && step->width == 0)
        return error_set(err, STATUS_BAD_FILE, "FixedLength: \"length\" must be at least 1");
    return status;
}

static enum status read_step(struct pre_tokenizer *pre, const json_t *component, struct error *err)
{
    static const struct {
        const char *name;
        enum splitter_kind kind;
    } known[] = {
        {"Split", SPLITTER_PATTERN},           {"ByteLevel", SPLITTER_BYTE_LEVEL},
        {"Metaspace", SPLITTER_METASPACE},     {"Digits", SPLITTER_DIGITS},
        {"Whitespace", SPLITTER_WORDS},        {"WhitespaceSplit", SPLITTER_SPACE},
        {"Punctuation", SPLITTER_PUNCTUATION}, {"CharDelimiterSplit", SPLITTER_CHAR},
        {"BertPreTokenizer", SPLITTER_SPACE},  {"FixedLength", SPLITTER_LENGTH},
    };
    const char *name = json_component(component);
    size_t i = 0, n = sizeof known / sizeof known[0];
    while (i < n && strcmp(known[i].name, name) != 0)
        i++;
    if (i == n)
        return json_unsupported(component, "pre_tokenizer", err);
    struct splitter *step = add_step(pre, known[i].kind, err);
    if (!step)
        return STATUS_BAD_FILE;
    switch (step->kind) {
    case SPLITTER_PATTERN: return read_split(step, component, err);
    case SPLITTER_BYTE_LEVEL: return read_byte_level(step, component, err);
    case SPLITTER_METASPACE: return read_metaspace(step, component, err);
    case SPLITTER_DIGITS: return read_digits(step, component, err);
    case SPLITTER_CHAR: return read_content(step, component, "delimiter", err);
    case SPLITTER_LENGTH: return read_length(step, component, err);
    case SPLITTER_PUNCTUATION:
        step->behavior = SPLIT_ISOLATED;
        return json_object_get(component, "behavior") ? read_behavior(step, component, err) : STATUS_OK;
    case SPLITTER_WORDS: return STATUS_OK;
    case SPLITTER_SPACE: break;
    }
    if (strcmp(name, "BertPreTokenizer") == 0) {
        step = add_step(pre, SPLITTER_PUNCTUATION, err);
        if (!step)
            return STATUS_BAD_FILE;
        step->behavior = SPLIT_ISOLATED;
    }
    return STATUS_OK;
}

static enum status read_steps(struct pre_tokenizer *pre, const json_t *component, int depth,
                              struct error *err)
{
    if (strcmp(json_component(component), "Sequence") != 0 || depth == COMPONENT_STEPS)
        return read_step(pre, component, err);
    const json_t *list;
    enum status status = json_field_array(component, "pretokenizers", &list, err);
    for (size_t i = 0; !status && i < json_array_size(list); i++)
        status = read_steps(pre, json_array_get(list, i), depth + 1, err);
    return status;
}

enum status pre_tokenizer_read(struct pre_tokenizer *pre, const json_t *component, struct error *err)
{
    *pre = (struct pre_tokenizer){0};
    if (!component || json_is_null(component))
        return STATUS_OK;
    return read_steps(pre, component, 0, err);
}

enum status pre_tokenizer_add_regex(struct pre_tokenizer *pre, const char *regex, struct error *err)
{
    struct splitter *step = add_step(pre, SPLITTER_PATTERN, err);
    if (!step)
        return STATUS_BAD_FILE;
    step->behavior = SPLIT_ISOLATED;
    step->has_pattern = true;
    return pattern_init(&step->pattern, regex, strlen(regex), true, err);
}

void pre_tokenizer_add_digits(struct pre_tokenizer *pre)
{
    struct splitter *step = add_step(pre, SPLITTER_DIGITS, NULL);
    if (step)
        step->behavior = SPLIT_ISOLATED;
}

void pre_tokenizer_add_bytes(struct pre_tokenizer *pre)
{
    add_step(pre, SPLITTER_BYTE_LEVEL, NULL);
}

void pre_tokenizer_release(struct pre_tokenizer *pre)
{
    for (size_t i = 0; i < pre->count; i++)
        pattern_release(&pre->step[i].pattern);
    *pre = (struct pre_tokenizer){0};
}

bool pre_tokenizer_needs_origin(const struct pre_tokenizer *pre)
{
    for (size_t i = 0; i < pre->count; i++)
        if (pre->step[i].kind == SPLITTER_METASPACE && pre->step[i].prefix == PREFIX_FIRST)
            return true;
    return false;
}
