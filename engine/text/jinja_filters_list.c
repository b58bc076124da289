#include "engine/text/jinja_builtin.h"
#include "engine/text/jinja_path.h"
#include "engine/text/jinja_print.h"
#include "engine/text/jinja_unicode.h"

static struct jinja_value filter_default(struct jinja_run *run, const struct jinja_given *given)
{
    if (given->self.kind != JINJA_UNDEFINED && (!arg_bool(given->arg[1], false) || value_truth(given->self)))
        return given->self;
    return value_given(given->arg[0]) ? given->arg[0] : value_of(run, "");
}

static struct jinja_value filter_length(struct jinja_run *run, const struct jinja_given *given)
{
    return value_int((int64_t)value_length(run, given->self));
}

static struct jinja_value filter_first(struct jinja_run *run, const struct jinja_given *given)
{
    struct jinja_cursor cursor = cursor_open(run, given->self);
    struct jinja_value item;
    return cursor_next(run, &cursor, &item) ? item
                                            : value_undefined(run, "no first item, sequence was empty");
}

static bool check_reversible(struct jinja_run *run, struct jinja_value v)
{
    if (v.kind != JINJA_ITERATOR && value_is_iterable(v))
        return true;
    run_fail(run, "'%s' object is not reversible", value_type(v));
    return false;
}

static struct jinja_value filter_last(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *text = given->self.text;
    if (given->self.kind == JINJA_STRING && text->length)
        return value_text(text_bytes(run, text, unicode_last(text->bytes, text->length), text->length));
    const struct jinja_list *items =
        check_reversible(run, given->self) ? value_items(run, given->self) : NULL;
    if (items && items->count)
        return items->at[items->count - 1];
    return value_undefined(run, "no last item, sequence was empty");
}

static struct jinja_value filter_list(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_list *items = value_items(run, given->self);
    return items ? value_list(items) : value_nothing();
}

static struct jinja_value filter_items(struct jinja_run *run, const struct jinja_given *given)
{
    if (given->self.kind == JINJA_DICT)
        return iterator_new(run, dict_list(run, given->self.dict, DICT_ITEMS));
    if (given->self.kind != JINJA_UNDEFINED)
        run_fail(run, "can only get item pairs from a mapping");
    return iterator_new(run, list_new(run, 0));
}

static struct jinja_value reversed_text(struct jinja_run *run, const struct jinja_text *text)
{
    struct jinja_builder b;
    builder_init(&b, run);
    for (size_t end = text->length; end > 0 && run_work(run, 1);) {
        size_t begin = unicode_last(text->bytes, end);
        builder_add_slice(&b, text, begin, end);
        end = begin;
    }
    return value_text(builder_text(&b));
}

static struct jinja_value filter_reverse(struct jinja_run *run, const struct jinja_given *given)
{
    if (given->self.kind == JINJA_STRING)
        return reversed_text(run, given->self.text);
    const struct jinja_list *items = value_items(run, given->self);
    struct jinja_list *list = list_new(run, items ? items->count : 0);
    for (size_t i = items ? items->count : 0; list && i > 0 && run_work(run, 1); i--)
        list_add(run, list, items->at[i - 1]);
    if (given->self.kind == JINJA_ITERATOR) /* what cannot be walked backwards becomes a list */
        return list ? value_list(list) : value_nothing();
    return iterator_new(run, list);
}

static struct jinja_value filter_join(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *between =
        value_given(given->arg[0]) ? value_string(run, given->arg[0]) : &jinja_text_empty;
    struct jinja_cursor cursor = cursor_open(run, given->self);
    struct jinja_value item;
    struct jinja_builder b;
    builder_init(&b, run);
    for (bool first = true; cursor_next(run, &cursor, &item); first = false) {
        if (!first)
            builder_add_text(&b, between);
        print_value(&b, path_get(run, item, given->arg[1], value_missing()));
    }
    return value_text(builder_text(&b));
}

static struct jinja_value filter_batch(struct jinja_run *run, const struct jinja_given *given)
{
    int64_t size = arg_int(run, given->arg[0], 0);
    bool fills = value_given(given->arg[1]) && given->arg[1].kind != JINJA_NONE;
    struct jinja_list *batches = list_new(run, 0), *batch = list_new(run, 0);
    struct jinja_cursor cursor = cursor_open(run, given->self);
    struct jinja_value item;
    while (batch && cursor_next(run, &cursor, &item)) {
        if ((int64_t)batch->count == size) {
            list_add(run, batches, value_list(batch));
            batch = list_new(run, 0);
        }
        list_add(run, batch, item);
    }
    while (fills && batch && batch->count && (int64_t)batch->count < size && run_work(run, 1))
        list_add(run, batch, given->arg[1]);
    if (batch && batch->count)
        list_add(run, batches, value_list(batch));
    return iterator_finish(run, batches);
}

static struct jinja_value filter_slice(struct jinja_run *run, const struct jinja_given *given)
{
    int64_t slices = arg_int(run, given->arg[0], 0);
    bool fills = value_given(given->arg[1]) && given->arg[1].kind != JINJA_NONE;
    const struct jinja_list *items = value_items(run, given->self);
    struct jinja_list *all = list_new(run, 0);
    if (slices == 0)
        run_fail(run, "division by zero");
    size_t at = 0;
    for (int64_t k = 0; items && k < slices && run_work(run, 1); k++) {
        size_t each = items->count / (size_t)slices, extra = items->count % (size_t)slices;
        struct jinja_list *part = list_new(run, 0);
        for (size_t n = each + ((size_t)k < extra); part && n > 0 && run_work(run, 1); n--)
            list_add(run, part, items->at[at++]);
        if (fills && (size_t)k >= extra)
            list_add(run, part, given->arg[1]);
        list_add(run, all, part ? value_list(part) : value_nothing());
    }
    return iterator_finish(run, all);
}

static struct jinja_value filter_attr(struct jinja_run *run, const struct jinja_given *given)
{
    const struct jinja_text *name = arg_text(run, given->arg[0]);
    if (given->self.kind == JINJA_DICT && !builtin_method(given->self, name)) /* attributes only, no keys */
        return value_undefined(run, "'dict object' has no attribute '%.*s'", (int)name->length, name->bytes);
    return value_attribute(run, given->self, name);
}

const struct jinja_builtin jinja_list_filters[] = {
    {"default", "default_value? boolean?", filter_default},
    {"d", "default_value? boolean?", filter_default},
    {"length", "", filter_length},
    {"count", "", filter_length},
    {"first", "", filter_first},
    {"last", "", filter_last},
    {"list", "", filter_list},
    {"items", "", filter_items},
    {"reverse", "", filter_reverse},
    {"join", "d? attribute?", filter_join},
    {"batch", "linecount fill_with?", filter_batch},
    {"slice", "slices fill_with?", filter_slice},
    {"attr", "name", filter_attr},
    {NULL, NULL, NULL},
};
