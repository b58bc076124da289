#include "engine/text/regex.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* A search is cut into windows of start positions, so that the clock is seen even where nothing matches; from
 * one start position a pattern may backtrack some steps for each byte that is left. Together they bound any
 * search. */
enum { WINDOW = 64, STEPS_AT_LEAST = 20000, STEPS_PER_BYTE = 8, HEAP_KIB = 64 << 10, CALLS_PER_CLOCK = 16 };
#define TIME_LIMIT_NS 10000000000

struct regex {
    pcre2_code *code;
};

static pcre2_code *compile(const char *pattern, size_t length, int *error, size_t *where)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context) {
        *error = PCRE2_ERROR_NOMEMORY;
        return NULL;
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_bsr(context, PCRE2_BSR_UNICODE);
    pcre2_set_parens_nest_limit(context, 100);
    const uint32_t options =
        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_USE_OFFSET_LIMIT | PCRE2_NEVER_BACKSLASH_C;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, length, options, error, where, context);
    pcre2_compile_context_free(context);
    return code;
}

bool regex_is_known(const char *pattern)
{
    int error;
    size_t where;
    pcre2_code *code = compile(pattern, PCRE2_ZERO_TERMINATED, &error, &where);
    pcre2_code_free(code);
    return code != NULL;
}

enum status regex_open(struct regex **out, const char *pattern, size_t length, struct error *err)
{
    struct buffer translated;
    buffer_init(&translated, 1 << 20);
    enum status status = regex_translate(pattern, length, &translated, err);
    if (status)
        goto out;
    int error = 0;
    size_t where = 0;
    pcre2_code *code = compile(translated.data, translated.length, &error, &where);
    if (!code) {
        char message[120];
        pcre2_get_error_message(error, (PCRE2_UCHAR *)message, sizeof message);
        status = error_set(err, STATUS_BAD_FILE, "regular expression \"%.80s\": %s", pattern, message);
        goto out;
    }
    pcre2_jit_compile(
        code, PCRE2_JIT_COMPLETE); /* without it the pattern is interpreted: slower, the same result */
    *out = xmalloc(sizeof **out);
    (*out)->code = code;
out:
    buffer_release(&translated);
    return status;
}

void regex_close(struct regex *regex)
{
    if (!regex)
        return;
    pcre2_code_free(regex->code);
    free(regex);
}

void regex_run_release(struct regex_run *run)
{
    pcre2_match_data_free(run->matches);
    pcre2_match_context_free(run->limits);
    *run = (struct regex_run){0};
}

static bool run_start(struct regex_run *run)
{
    if (!run->matches)
        run->matches = pcre2_match_data_create(1, NULL);
    if (!run->limits)
        run->limits = pcre2_match_context_create(NULL);
    if (!run->matches || !run->limits)
        return false;
    pcre2_set_heap_limit(run->limits, HEAP_KIB);
    run->deadline = clock_ns() + TIME_LIMIT_NS;
    return true;
}

enum regex_result regex_find(const struct regex *regex, struct regex_run *run, const char *text,
                             size_t length, size_t from, size_t *begin, size_t *end)
{
    if (!run->deadline && !run_start(run))
        return REGEX_FAILED;
    size_t steps = STEPS_AT_LEAST + STEPS_PER_BYTE * (length - from);
    pcre2_set_match_limit(run->limits, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
    for (;;) {
        size_t last = length - from > WINDOW ? from + WINDOW : length;
        while (last < length && ((unsigned char)text[last] & 0xC0) == 0x80)
            last++;
        pcre2_set_offset_limit(run->limits, last);
        int found = pcre2_match(regex->code, (PCRE2_SPTR)text, length, from, PCRE2_NO_UTF_CHECK, run->matches,
                                run->limits);
        if (found == PCRE2_ERROR_JIT_STACKLIMIT)
            found = pcre2_match(regex->code, (PCRE2_SPTR)text, length, from,
                                PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, run->matches, run->limits);
        if (found >= 0) {
            const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(run->matches);
            *begin = ends[0];
            *end = ends[1];
            if (++run->calls % CALLS_PER_CLOCK == 0 && clock_ns() > run->deadline)
                return REGEX_FAILED;
            return REGEX_FOUND;
        }
        if (found != PCRE2_ERROR_NOMATCH || clock_ns() > run->deadline)
            return REGEX_FAILED;
        if (last == length)
            return REGEX_NONE;
        from = last;
    }
}
