#include "engine/text/pre_tokenizer.h"

#include "engine/text/byte_level.h"
#include "engine/text/char_class.h"
#include "engine/text/utf8.h"

#include <string.h>

static bool run_from(struct encode_work *work, size_t k, struct span text);

/* Folds matches and what lies between them into words as the behavior says, and hands each on to the next
 * step. */
struct fold {
    struct encode_work *work;
    size_t next; /* step that gets the words */
    enum split_behavior behavior;
    bool invert;
    struct span text;
    size_t begin, end; /* the word that waits, when one does */
    bool waiting, last_was_match, fine;
};

static void fold_emit(struct fold *f)
{
    if (f->waiting && f->begin < f->end && f->fine)
        f->fine = run_from(f->work, f->next, span_part(f->text, f->begin, f->end));
    f->waiting = false;
}

static void fold_add(struct fold *f, size_t begin, size_t end, bool match)
{
    bool joins = false;
    match = match != f->invert;
    switch (f->behavior) {
    case SPLIT_REMOVED:
        if (match)
            return;
        break;
    case SPLIT_ISOLATED: break;
    case SPLIT_MERGED_WITH_PREVIOUS: joins = match && !f->last_was_match; break;
    case SPLIT_MERGED_WITH_NEXT: joins = !match && f->last_was_match; break;
    case SPLIT_CONTIGUOUS: joins = match == f->last_was_match; break;
    }
    f->last_was_match = match;
    if (joins && f->waiting) {
        f->end = end;
        return;
    }
    fold_emit(f);
    f->begin = begin;
    f->end = end;
    f->waiting = true;
}

/* The classes of characters that splitters ask for. */
static bool in_class(const struct splitter *step, uint32_t code, uint32_t wanted)
{
    switch (step->kind) {
    case SPLITTER_DIGITS: return char_is_numeric(code);
    case SPLITTER_SPACE: return char_is_space(code);
    case SPLITTER_PUNCTUATION: return char_is_punctuation(code);
    default: return code == wanted;
    }
}

/* Splits at every character of the step's class. */
static void split_at_chars(struct fold *f, const struct splitter *step)
{
    size_t done = 0, length;
    uint32_t wanted = step->content_length ? utf8_get(step->content, &length) : 0;
    for (size_t at = 0; at < f->text.length && f->fine; at += length) {
        if (!in_class(step, utf8_get(f->text.text + at, &length), wanted))
            continue;
        if (done < at)
            fold_add(f, done, at, false);
        fold_add(f, at, at + length, true);
        done = at + length;
    }
    if (done < f->text.length)
        fold_add(f, done, f->text.length, false);
}

static void split_at_pattern(struct fold *f, const struct splitter *step)
{
    struct pattern_walk walk = {
        .pattern = &step->pattern, .run = &f->work->regex, .text = f->text.text, .length = f->text.length};
    size_t done = 0, begin, end;
    while (f->fine && pattern_next(&walk, &begin, &end) == REGEX_FOUND) {
        if (done != begin)
            fold_add(f, done, begin, false);
        fold_add(f, begin, end, true);
        done = end;
    }
    if (done < f->text.length)
        fold_add(f, done, f->text.length, false);
}

/* Runs of word characters, and runs of what is neither that nor white space. */
static void split_words(struct fold *f)
{
    enum { NONE, WORD, OTHER } kind = NONE, before = NONE;
    size_t begin = 0, length;
    for (size_t at = 0; at < f->text.length; at += length) {
        uint32_t code = utf8_get(f->text.text + at, &length);
        kind = char_is_word(code) ? WORD : char_is_space(code) ? NONE : OTHER;
        if (kind == before)
            continue;
        if (before != NONE)
            fold_add(f, begin, at, true);
        begin = at;
        before = kind;
    }
    if (before != NONE)
        fold_add(f, begin, f->text.length, true);
}

static void split_by_length(struct fold *f, size_t width)
{
    size_t begin = 0, chars = 0, length;
    for (size_t at = 0; at < f->text.length; at += length) {
        utf8_get(f->text.text + at, &length);
        if (chars == width) {
            fold_add(f, begin, at, true);
            begin = at;
            chars = 0;
        }
        chars++;
    }
    fold_add(f, begin, f->text.length, true);
}

static bool split(struct encode_work *work, size_t k, struct span text)
{
    const struct splitter *step = &work->splitters->step[k];
    struct fold f = {work, k + 1, step->behavior, step->invert, text, 0, 0, false, false, true};
    switch (step->kind) {
    case SPLITTER_WORDS:
    case SPLITTER_LENGTH:
        f.behavior = SPLIT_ISOLATED;
        if (step->kind == SPLITTER_WORDS)
            split_words(&f);
        else
            split_by_length(&f, step->width);
        break;
    case SPLITTER_PATTERN:
    case SPLITTER_BYTE_LEVEL: split_at_pattern(&f, step); break;
    default: split_at_chars(&f, step); break;
    }
    fold_emit(&f);
    return f.fine;
}

static int mark_at(struct span text, size_t at)
{
    return text.mark && at < text.length ? text.mark[at] : 0;
}

/* The words of GPT-2's expression, each written in byte characters and handed on. */
static bool run_byte_words(struct encode_work *work, size_t k, struct span text)
{
    const struct splitter *step = &work->splitters->step[k];
    struct pattern_walk walk = {
        .pattern = &step->pattern, .run = &work->regex, .text = text.text, .length = text.length};
    struct marked_text *to = &work->rewritten[k];
    size_t done = 0, begin = 0, end = 0;
    while (done < text.length) {
        if (!step->has_pattern || pattern_next(&walk, &begin, &end) != REGEX_FOUND)
            begin = end = text.length;
        for (int part = 0; part < 2; part++) { /* what lies before the match, the match */
            size_t stop = part == 0 ? begin : end;
            if (stop <= done)
                continue;
            marked_text_clear(to);
            byte_level_write(to, span_part(text, done, stop));
            if (marked_text_failed(to) || !run_from(work, k + 1, marked_text_span(to)))
                return false;
            done = stop;
        }
    }
    return true;
}

static bool run_byte_level(struct encode_work *work, size_t k, struct span text)
{
    const struct splitter *step = &work->splitters->step[k];
    if (step->prefix == PREFIX_NEVER || (text.length > 0 && text.text[0] == ' '))
        return run_byte_words(work, k, text);
    struct marked_text prefixed;
    marked_text_init(&prefixed, text.mark != NULL);
    marked_text_put(&prefixed, " ", 1, mark_at(text, 0) & MARK_ORIGIN);
    marked_text_add(&prefixed, text);
    bool fine = !marked_text_failed(&prefixed) && run_byte_words(work, k, marked_text_span(&prefixed));
    marked_text_release(&prefixed);
    return fine;
}

static bool run_metaspace(struct encode_work *work, size_t k, struct span text)
{
    const struct splitter *step = &work->splitters->step[k];
    struct marked_text *to = &work->rewritten[k];
    marked_text_clear(to);
    bool starts = text.length > 0 &&
                  (text.text[0] == ' ' || (text.length >= step->content_length &&
                                           memcmp(text.text, step->content, step->content_length) == 0));
    bool wanted =
        step->prefix == PREFIX_ALWAYS || (step->prefix == PREFIX_FIRST && (mark_at(text, 0) & MARK_ORIGIN));
    if (wanted && !starts)
        marked_text_put(to, step->content, step->content_length, mark_at(text, 0) & MARK_ORIGIN);
    for (size_t at = 0; at < text.length;) {
        const char *space = memchr(text.text + at, ' ', text.length - at);
        size_t end = space ? (size_t)(space - text.text) : text.length;
        marked_text_add(to, span_part(text, at, end));
        if (space)
            marked_text_put(to, step->content, step->content_length, mark_at(text, end));
        at = end + (space != NULL);
    }
    if (marked_text_failed(to))
        return false;
    struct span written = marked_text_span(to);
    return step->cut ? split(work, k, written) : run_from(work, k + 1, written);
}

static bool run_from(struct encode_work *work, size_t k, struct span text)
{
    if (k == work->splitters->count)
        return bpe_encode(work->bpe, &work->scratch, text.text, text.length, work->out);
    switch (work->splitters->step[k].kind) {
    case SPLITTER_BYTE_LEVEL: return run_byte_level(work, k, text);
    case SPLITTER_METASPACE: return run_metaspace(work, k, text);
    default: return split(work, k, text);
    }
}

bool pre_tokenizer_run(struct encode_work *work, struct span text)
{
    return run_from(work, 0, text);
}

void encode_work_init(struct encode_work *work, const struct pre_tokenizer *splitters, const struct bpe *bpe,
                      bool marked, struct token_list *out)
{
    *work = (struct encode_work){.splitters = splitters, .bpe = bpe, .out = out};
    for (size_t i = 0; i < splitters->count; i++)
        marked_text_init(&work->rewritten[i], marked);
}

void encode_work_release(struct encode_work *work)
{
    bpe_scratch_release(&work->scratch);
    regex_run_release(&work->regex);
    for (size_t i = 0; i < COMPONENT_STEPS; i++)
        marked_text_release(&work->rewritten[i]);
}
