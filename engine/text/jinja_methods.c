/* Methods of lists, tuples, ranges, dicts and loops; those of strings are in jinja_text_methods.c. */
#include "engine/text/jinja_builtin.h"

static struct jinja_value list_index(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_list *items = value_items(run, given->self);
    int64_t from = arg_int(run, given->arg[1], 0), to = arg_int(run, given->arg[2], INT64_MAX);
    int64_t n = items ? (int64_t)items->count : 0;
    from = from < 0 ? (from + n < 0 ? 0 : from + n) : from;
    to = to < 0 ? to + n : to > n ? n : to;
    for (int64_t i = from; items && i < to; i++)
        if (value_equal(run, items->at[i], given->arg[0]))
            return value_int(i);
    run_fail(run, "the value is not in the %s", value_type(given->self));
    return value_nothing();
}

static struct jinja_value list_count(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_list *items = value_items(run, given->self);
    int64_t count = 0;
    for (size_t i = 0; items && i < items->count && run_work(run, 1); i++)
        count += value_equal(run, items->at[i], given->arg[0]);
    return value_int(count);
}

static struct jinja_value list_copy(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run; /* lists do not change: one is as good as two */
    return given->self;
}

static struct jinja_value dict_get(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_value *found = dict_find(run, given->self.dict, given->arg[0]);
    if (found)
        return *found;
    return value_given(given->arg[1]) ? given->arg[1] : value_none();
}

static struct jinja_value view(struct jinja_run *run, const struct jinja_given *given, enum dict_part part,
                               const char *type)
{
    struct jinja_view *v = run_alloc(run, 1, sizeof *v);
    const struct jinja_list *items = dict_list(run, given->self.dict, part);
    if (!v || !items)
        return value_nothing();
    *v = (struct jinja_view){type, items};
    return (struct jinja_value){.kind = JINJA_VIEW, .view = v};
}

static struct jinja_value dict_items(struct jinja_run *run, const struct jinja_given *given)
{
    return view(run, given, DICT_ITEMS, "dict_items");
}

static struct jinja_value dict_keys(struct jinja_run *run, const struct jinja_given *given)
{
    return view(run, given, DICT_KEYS, "dict_keys");
}

static struct jinja_value dict_values(struct jinja_run *run, const struct jinja_given *given)
{
    return view(run, given, DICT_VALUES, "dict_values");
}

static struct jinja_value loop_cycle(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_call *call = given->call;
    if (call->count)
        return call->at[given->self.loop->index % call->count];
    run_fail(run, "no items for cycling given");
    return value_nothing();
}

static struct jinja_value loop_changed(struct jinja_run *run, const struct jinja_given *given)
{
    struct jinja_list *now = list_new(run, given->call->count);
    for (size_t i = 0; i < given->call->count; i++)
        list_add(run, now, given->call->at[i]);
    if (!now)
        return value_nothing();
    bool changed = !value_equal(run, given->self.loop->changed, value_tuple(now));
    if (changed)
        given->self.loop->changed = value_tuple(now);
    return value_bool(changed);
}

const struct jinja_builtin jinja_list_methods[] = {
    {"index", "value start? stop?", list_index},
    {"count", "value", list_count},
    {"copy", "", list_copy},
    {NULL, NULL, NULL},
};

const struct jinja_builtin jinja_dict_methods[] = {
    {"get", "key default?", dict_get}, {"items", "", dict_items}, {"keys", "", dict_keys},
    {"values", "", dict_values},       {"copy", "", list_copy},   {NULL, NULL, NULL},
};

const struct jinja_builtin jinja_loop_methods[] = {
    {"cycle", "*", loop_cycle},
    {"changed", "*", loop_changed},
    {NULL, NULL, NULL},
};
