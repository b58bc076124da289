#include "engine/text/jinja_builtin.h"
#include "engine/text/jinja_path.h"

/* Walks through what is to be selected from: false when it is empty, so that nothing else is looked at (as in
 * Jinja). */
static bool worth_walking(struct jinja_value v)
{
    return value_truth(v);
}

static const struct jinja_builtin *named_builtin(struct jinja_run *run, struct jinja_value name, bool filter)
{
    const struct jinja_text *text = arg_text(run, name);
    const struct jinja_builtin *builtin = filter ? builtin_filter(text) : builtin_test(text);
    if (!builtin)
        run_fail(run, "no %s named '%.*s'", filter ? "filter" : "test", (int)text->length, text->bytes);
    return builtin;
}

static struct jinja_value select_items(struct jinja_run *run, const struct jinja_given *given, bool keep,
                                       bool by_attribute)
{
    const struct jinja_call *call = given->call;
    struct jinja_list *list = list_new(run, 0);
    struct jinja_value item;
    if (!worth_walking(given->self))
        return iterator_new(run, list);
    size_t used = by_attribute;
    if (call->count < used)
        run_fail(run, "missing parameter for attribute name");
    const struct jinja_builtin *test = NULL;
    struct jinja_call rest = *call;
    if (!run->failed && call->count > used)
        test = named_builtin(run, call->at[used], false);
    used += test != NULL;
    if (!run->failed)
        rest = (struct jinja_call){call->at + used, call->count - used, call->named, call->n_named};
    struct jinja_cursor cursor = cursor_open(run, given->self);
    while (cursor_next(run, &cursor, &item)) {
        struct jinja_value subject = by_attribute ? path_get(run, item, call->at[0], value_missing()) : item;
        bool holds = value_truth(test && !run->failed ? builtin_call(run, test, subject, &rest) : subject);
        if (holds == keep)
            list_add(run, list, item);
    }
    return iterator_finish(run, list);
}

static struct jinja_value filter_select(struct jinja_run *run, const struct jinja_given *given)
{
    return select_items(run, given, true, false);
}

static struct jinja_value filter_reject(struct jinja_run *run, const struct jinja_given *given)
{
    return select_items(run, given, false, false);
}

static struct jinja_value filter_selectattr(struct jinja_run *run, const struct jinja_given *given)
{
    return select_items(run, given, true, true);
}

static struct jinja_value filter_rejectattr(struct jinja_run *run, const struct jinja_given *given)
{
    return select_items(run, given, false, true);
}

/* map(attribute=..., default=...) */
static struct jinja_value map_attribute(struct jinja_run *run, const struct jinja_given *given)
{
    struct jinja_value attribute = value_missing(), otherwise = value_missing(), item;
    struct jinja_list *list = list_new(run, 0);
    for (size_t i = 0; i < given->call->n_named; i++) {
        const struct jinja_named *named = &given->call->named[i];
        if (text_is(named->name, "attribute"))
            attribute = named->value;
        else if (text_is(named->name, "default"))
            otherwise = named->value;
        else
            run_fail(run, "unexpected keyword argument '%.*s'", (int)named->name->length, named->name->bytes);
    }
    if (!value_given(attribute))
        run_fail(run, "map requires a filter argument");
    struct jinja_cursor cursor = cursor_open(run, given->self);
    while (cursor_next(run, &cursor, &item))
        list_add(run, list, path_get(run, item, attribute, otherwise));
    return iterator_finish(run, list);
}

static struct jinja_value filter_map(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_call *call = given->call;
    struct jinja_list *list = list_new(run, 0);
    struct jinja_value item;
    if (!worth_walking(given->self))
        return iterator_new(run, list);
    if (!call->count)
        return map_attribute(run, given);
    const struct jinja_builtin *filter = named_builtin(run, call->at[0], true);
    const struct jinja_call rest = {call->at + 1, call->count - 1, call->named, call->n_named};
    struct jinja_cursor cursor = cursor_open(run, given->self);
    while (filter && cursor_next(run, &cursor, &item))
        list_add(run, list, builtin_call(run, filter, item, &rest));
    return iterator_finish(run, list);
}

const struct jinja_builtin jinja_select_filters[] = {
    {"map", "*", filter_map},
    {"select", "*", filter_select},
    {"reject", "*", filter_reject},
    {"selectattr", "*", filter_selectattr},
    {"rejectattr", "*", filter_rejectattr},
    {NULL, NULL, NULL},
};
