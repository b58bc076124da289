#include "engine/text/jinja_builtin.h"
#include "engine/text/jinja_print.h"

#include <string.h>
#include <time.h>

enum { MAX_RANGE = 100000 }; /* Jinja's sandbox has the same limit */

static struct jinja_value global_range(struct jinja_run *run, const struct jinja_given *given)
{
    int64_t first = arg_int(run, given->arg[0], 0), step = arg_int(run, given->arg[2], 1);
    bool both = value_given(given->arg[1]);
    struct jinja_range r = {.start = both ? first : 0, .stop = both ? arg_int(run, given->arg[1], 0) : first};
    struct jinja_range *range = run_alloc(run, 1, sizeof *range);
    r.step = step;
    if (step == 0)
        run_fail(run, "range() step must not be zero");
    if (!range || run->failed)
        return value_nothing();
    bool any = step > 0 ? r.stop > r.start : r.start > r.stop;
    uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    uint64_t span = step > 0 ? (uint64_t)r.stop - (uint64_t)r.start : (uint64_t)r.start - (uint64_t)r.stop;
    if (any && (span - 1) / stride >= MAX_RANGE) {
        run_fail(run, "range too big: it may have %d items", MAX_RANGE);
        return value_nothing();
    }
    r.count = any ? (size_t)((span - 1) / stride + 1) : 0;
    *range = r;
    return (struct jinja_value){.kind = JINJA_RANGE, .range = range};
}

static void add_pairs(struct jinja_run *run, struct jinja_dict *dict, struct jinja_value from)
{
    struct jinja_cursor cursor;
    struct jinja_value item;
    if (from.kind == JINJA_DICT || from.kind == JINJA_NAMESPACE) {
        for (size_t i = 0; i < from.dict->count && run_work(run, 1); i++)
            dict_set(run, dict, from.dict->at[i].key, from.dict->at[i].value);
        return;
    }
    if (from.kind == JINJA_UNDEFINED)
        fail_undefined(run, from);
    cursor = cursor_open(run, from);
    while (cursor_next(run, &cursor, &item)) {
        const struct jinja_list *pair = value_items(run, item);
        if (pair && pair->count == 2)
            dict_set(run, dict, pair->at[0], pair->at[1]);
        else if (pair)
            run_fail(run, "a dict is made of pairs");
    }
}

/* dict(...) and namespace(...) take the same arguments. */
static struct jinja_dict *make_dict(struct jinja_run *run, const struct jinja_call *call)
{
    struct jinja_dict *dict = dict_new(run);
    if (call->count > 1)
        run_fail(run, "expected at most 1 argument, got %zu", call->count);
    if (call->count == 1)
        add_pairs(run, dict, call->at[0]);
    for (size_t i = 0; i < call->n_named; i++)
        dict_set(run, dict, value_text(call->named[i].name), call->named[i].value);
    return run->failed ? NULL : dict;
}

static struct jinja_value global_dict(struct jinja_run *run, const struct jinja_given *given)
{
    struct jinja_dict *dict = make_dict(run, given->call);
    return dict ? value_dict(dict) : value_nothing();
}

static struct jinja_value global_namespace(struct jinja_run *run, const struct jinja_given *given)
{
    struct jinja_dict *dict = make_dict(run, given->call);
    for (size_t i = 0; dict && i < dict->count; i++)
        if (dict->at[i].key.kind == JINJA_STRING && dict->at[i].key.text->length &&
            dict->at[i].key.text->bytes[0] == '_')
            run_fail(run, "a namespace takes no names that begin with an underscore");
    return dict ? (struct jinja_value){.kind = JINJA_NAMESPACE, .dict = dict} : value_nothing();
}

static struct jinja_value global_raise(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *words = value_string(run, given->arg[0]);
    run_raise(run, words->bytes, words->length);
    return value_nothing();
}

/* What Python's datetime writes where C's strftime does not know: microseconds, and the zone of a naive time.
 */
static const struct jinja_text *naive_format(struct jinja_run *run, const struct jinja_text *format)
{
    struct jinja_builder b;
    builder_init(&b, run);
    for (size_t i = 0; i < format->length; i++) {
        char next = format->bytes[i] == '%' && i + 1 < format->length ? format->bytes[i + 1] : 0;
        if (next == 'f')
            builder_add_literal(&b, "000000");
        else if (next && next != 'z' && next != 'Z')
            builder_add_slice(&b, format, i, i + 2);
        else if (!next)
            builder_add_slice(&b, format, i, i + 1);
        i += next != 0;
    }
    builder_add_literal(&b, "."); /* so that an empty time is not taken for a failure */
    return builder_text(&b);
}

static struct jinja_value global_strftime(struct jinja_run *run, const struct jinja_given *given)
{
    enum { MAX_TIME = 4096 };
    const struct jinja_text *format = naive_format(run, arg_text(run, given->arg[0]));
    char *out = run_alloc(run, MAX_TIME, 1), *spelt = run_alloc(run, format->length + 1, 1);
    time_t now = (time_t)run->now;
    struct tm tm;
    if (!out || !spelt)
        return value_nothing();
    memcpy(spelt, format->bytes, format->length);
    spelt[format->length] = 0;
    size_t n =
        memchr(spelt, 0, format->length) || !localtime_r(&now, &tm) ? 0 : strftime(out, MAX_TIME, spelt, &tm);
    if (!n) {
        run_fail(run, "strftime_now: bad format");
        return value_nothing();
    }
    return value_text(text_copy(run, out, n - 1, false));
}

const struct jinja_builtin jinja_globals[] = {
    {"range", "start stop? step?", global_range}, {"dict", "*", global_dict},
    {"namespace", "*", global_namespace},         {"raise_exception", "message", global_raise},
    {"strftime_now", "format", global_strftime},  {NULL, NULL, NULL},
};
