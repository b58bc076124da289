#include "engine/text/jinja_builtin.h"
#include "engine/text/jinja_path.h"
#include "engine/text/jinja_sort.h"

static const struct jinja_list *keys_of(struct jinja_run *run, const struct jinja_list *items,
                                        struct jinja_value attribute, bool case_sensitive)
{
    struct jinja_list *keys = list_new(run, items ? items->count : 0);
    for (size_t i = 0; items && i < items->count && !run->failed; i++)
        list_add(run, keys, path_key(run, items->at[i], attribute, case_sensitive));
    return items && !run->failed ? keys : NULL;
}

/* A key for sort: with "a,b" the tuple of both attributes. */
static struct jinja_value sort_key(struct jinja_run *run, struct jinja_value item,
                                   struct jinja_value attribute, bool case_sensitive)
{
    if (attribute.kind != JINJA_STRING ||
        text_find(attribute.text, text_of(run, ","), 0) > attribute.text->length)
        return path_key(run, item, attribute, case_sensitive);
    const struct jinja_text *text = attribute.text;
    struct jinja_list *both = list_new(run, 2);
    for (size_t begin = 0; begin <= text->length && run_work(run, 1);) {
        size_t end = begin;
        while (end < text->length && text->bytes[end] != ',')
            end++;
        list_add(run, both,
                 path_key(run, item, value_text(text_bytes(run, text, begin, end)), case_sensitive));
        begin = end + 1;
    }
    return both ? value_tuple(both) : value_nothing();
}

static struct jinja_value filter_sort(struct jinja_run *run, const struct jinja_given *given)
{
    bool reverse = arg_bool(given->arg[0], false), case_sensitive = arg_bool(given->arg[1], false);
    const struct jinja_list *items = value_items(run, given->self);
    struct jinja_list *keys = list_new(run, 0);
    for (size_t i = 0; items && i < items->count && !run->failed; i++)
        list_add(run, keys, sort_key(run, items->at[i], given->arg[2], case_sensitive));
    const struct jinja_list *sorted = items && !run->failed ? sort_items(run, items, keys, reverse) : NULL;
    return sorted ? value_list(sorted) : value_nothing();
}

static struct jinja_value filter_dictsort(struct jinja_run *run, const struct jinja_given *given)
{
    bool case_sensitive = arg_bool(given->arg[0], false), reverse = arg_bool(given->arg[2], false),
         by_value = false;
    if (value_given(given->arg[1])) {
        const struct jinja_text *by = arg_text(run, given->arg[1]);
        by_value = text_is(by, "value");
        if (!by_value && !text_is(by, "key"))
            run_fail(run, "you can only sort by either \"key\" or \"value\"");
    }
    if (given->self.kind == JINJA_UNDEFINED)
        fail_undefined(run, given->self);
    else if (given->self.kind != JINJA_DICT)
        run_fail(run, "'%s' object has no attribute 'items'", value_type(given->self));
    if (run->failed)
        return value_nothing();
    const struct jinja_list *items = dict_list(run, given->self.dict, DICT_ITEMS);
    const struct jinja_list *keys = keys_of(run, items, value_int(by_value), case_sensitive);
    const struct jinja_list *sorted = keys ? sort_items(run, items, keys, reverse) : NULL;
    return sorted ? value_list(sorted) : value_nothing();
}

static struct jinja_value filter_groupby(struct jinja_run *run, const struct jinja_given *given)
{
    bool case_sensitive = arg_bool(given->arg[2], false);
    const struct jinja_list *items = value_items(run, given->self);
    struct jinja_list *all = list_new(run, 0), *group = NULL, *filled = list_new(run, 0);
    for (size_t i = 0; items && i < items->count && !run->failed; i++) {
        struct jinja_value key = path_get(run, items->at[i], given->arg[0], given->arg[1]);
        list_add(run, filled, path_key(run, key, value_none(), case_sensitive));
    }
    if (!items || run->failed)
        return value_nothing();
    items = sort_items(run, items, filled, false);
    const struct jinja_list *keys = items ? sort_items(run, filled, filled, false) : NULL;
    for (size_t i = 0; keys && i < items->count && run_work(run, 1); i++) {
        if (!i || !value_equal(run, keys->at[i - 1], keys->at[i])) {
            struct jinja_list *pair = list_new(run, 2);
            group = list_new(run, 0);
            list_add(run, pair, path_get(run, items->at[i], given->arg[0], given->arg[1]));
            list_add(run, pair, value_list(group));
            list_add(run, all, value_tuple(pair));
        }
        list_add(run, group, items->at[i]);
    }
    return all ? value_list(all) : value_nothing();
}

static struct jinja_value filter_unique(struct jinja_run *run, const struct jinja_given *given)
{
    bool case_sensitive = arg_bool(given->arg[0], false);
    struct jinja_dict *seen = dict_new(run);
    struct jinja_list *list = list_new(run, 0);
    struct jinja_cursor cursor = cursor_open(run, given->self);
    struct jinja_value item;
    while (seen && cursor_next(run, &cursor, &item)) {
        struct jinja_value key = path_key(run, item, given->arg[1], case_sensitive);
        if (!run->failed && !dict_find(run, seen, key) && !run->failed) {
            dict_set(run, seen, key, value_none());
            list_add(run, list, item);
        }
    }
    return iterator_finish(run, list);
}

static struct jinja_value extreme(struct jinja_run *run, const struct jinja_given *given, bool largest)
{
    bool case_sensitive = arg_bool(given->arg[0], false);
    struct jinja_cursor cursor = cursor_open(run, given->self);
    struct jinja_value item, best, best_key = value_missing();
    while (cursor_next(run, &cursor, &item)) {
        struct jinja_value key = path_key(run, item, given->arg[1], case_sensitive);
        if (value_given(best_key) &&
            !(largest ? value_compare(run, ORDER_GREATER, key, best_key) : value_less(run, key, best_key)))
            continue;
        best = item;
        best_key = key;
    }
    if (value_given(best_key))
        return best;
    return value_undefined(run, "no aggregated item, sequence was empty");
}

static struct jinja_value filter_min(struct jinja_run *run, const struct jinja_given *given)
{
    return extreme(run, given, false);
}

static struct jinja_value filter_max(struct jinja_run *run, const struct jinja_given *given)
{
    return extreme(run, given, true);
}

static struct jinja_value filter_sum(struct jinja_run *run, const struct jinja_given *given)
{
    struct jinja_value total = value_given(given->arg[1]) ? given->arg[1] : value_int(0), item;
    struct jinja_cursor cursor = cursor_open(run, given->self);
    if (total.kind == JINJA_STRING)
        run_fail(run, "sum() cannot sum strings");
    while (cursor_next(run, &cursor, &item))
        total = operate(run, OP_ADD, total, path_get(run, item, given->arg[0], value_missing()));
    return total;
}

const struct jinja_builtin jinja_sort_filters[] = {
    {"sort", "reverse? case_sensitive? attribute?", filter_sort},
    {"dictsort", "case_sensitive? by? reverse?", filter_dictsort},
    {"groupby", "attribute default? case_sensitive?", filter_groupby},
    {"unique", "case_sensitive? attribute?", filter_unique},
    {"min", "case_sensitive? attribute?", filter_min},
    {"max", "case_sensitive? attribute?", filter_max},
    {"sum", "attribute? start?", filter_sum},
    {NULL, NULL, NULL},
};
