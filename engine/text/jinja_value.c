#include "engine/text/jinja_value.h"

#include "base/memory.h"
#include "engine/text/jinja_eval.h"
#include "engine/text/jinja_unicode.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct jinja_value value_undefined(struct jinja_run *run, const char *format, ...)
{
    char words[200];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    return (struct jinja_value){.kind = JINJA_UNDEFINED, .text = text_of(run, words)};
}

struct jinja_value value_of(struct jinja_run *run, const char *literal)
{
    return value_text(text_of(run, literal));
}

bool value_as_int(struct jinja_value v, int64_t *i)
{
    if (v.kind == JINJA_BOOL)
        *i = v.boolean;
    else if (v.kind == JINJA_INT)
        *i = v.integer;
    else
        return false;
    return true;
}

bool value_as_number(struct jinja_value v, double *d)
{
    int64_t i;
    if (v.kind == JINJA_FLOAT)
        *d = v.real;
    else if (value_as_int(v, &i))
        *d = (double)i;
    else
        return false;
    return true;
}

const char *value_type(struct jinja_value v)
{
    static const char *const names[] = {
        [JINJA_UNDEFINED] = "Undefined",
        [JINJA_MISSING] = "missing",
        [JINJA_NONE] = "NoneType",
        [JINJA_BOOL] = "bool",
        [JINJA_INT] = "int",
        [JINJA_FLOAT] = "float",
        [JINJA_STRING] = "str",
        [JINJA_LIST] = "list",
        [JINJA_TUPLE] = "tuple",
        [JINJA_DICT] = "dict",
        [JINJA_VIEW] = "dict view",
        [JINJA_RANGE] = "range",
        [JINJA_ITERATOR] = "generator",
        [JINJA_NAMESPACE] = "Namespace",
        [JINJA_LOOP] = "LoopContext",
        [JINJA_MACRO] = "Macro",
        [JINJA_FUNCTION] = "function",
        [JINJA_METHOD] = "method",
    };
    return v.kind == JINJA_VIEW ? v.view->type : names[v.kind];
}

struct jinja_list *list_new(struct jinja_run *run, size_t capacity)
{
    struct jinja_list *list = run_alloc(run, 1, sizeof *list);
    if (!list)
        return NULL;
    *list = (struct jinja_list){.capacity = capacity};
    if (capacity && !(list->at = run_alloc(run, capacity, sizeof *list->at)))
        return NULL;
    return list;
}

void list_add(struct jinja_run *run, struct jinja_list *list, struct jinja_value v)
{
    if (run->failed || !list)
        return;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 4;
        struct jinja_value *at = run_grow(run, list->at, list->count, capacity, sizeof *at);
        if (!at)
            return;
        list->at = at;
        list->capacity = capacity;
    }
    list->at[list->count++] = v;
}

struct jinja_dict *dict_new(struct jinja_run *run)
{
    struct jinja_dict *dict = run_alloc(run, 1, sizeof *dict);
    if (dict)
        *dict = (struct jinja_dict){0};
    return dict;
}

static bool can_be_key(struct jinja_run *run, struct jinja_value key, int depth)
{
    bool hashable = key.kind != JINJA_LIST && key.kind != JINJA_DICT && depth < JINJA_MAX_VALUE_DEPTH;
    if (key.kind == JINJA_TUPLE)
        for (size_t i = 0; hashable && i < key.list->count && run_work(run, 1); i++)
            hashable = can_be_key(run, key.list->at[i], depth + 1);
    if (!hashable && depth == 0)
        run_fail(run, "unhashable type: '%s'", value_type(key));
    return hashable && !run->failed;
}

static struct jinja_pair *find_pair(struct jinja_run *run, const struct jinja_dict *dict,
                                    struct jinja_value key)
{
    if (run->failed || !can_be_key(run, key, 0))
        return NULL;
    for (size_t i = 0; i < dict->count; i++) {
        if (i % 8 == 7 && !run_work(run, 1))
            return NULL;
        if (value_equal(run, dict->at[i].key, key))
            return &dict->at[i];
    }
    return NULL;
}

void dict_set(struct jinja_run *run, struct jinja_dict *dict, struct jinja_value key, struct jinja_value v)
{
    if (run->failed || !dict)
        return;
    struct jinja_pair *pair = find_pair(run, dict, key);
    if (pair) {
        pair->value = v;
        return;
    }
    if (run->failed)
        return;
    if (dict->count == dict->capacity) {
        size_t capacity = dict->capacity ? dict->capacity * 2 : 4;
        struct jinja_pair *at = run_grow(run, dict->at, dict->count, capacity, sizeof *at);
        if (!at)
            return;
        dict->at = at;
        dict->capacity = capacity;
    }
    dict->at[dict->count++] = (struct jinja_pair){key, v};
}

void dict_set_name(struct jinja_run *run, struct jinja_dict *dict, const char *name, struct jinja_value v)
{
    dict_set(run, dict, value_of(run, name), v);
}

const struct jinja_value *dict_find(struct jinja_run *run, const struct jinja_dict *dict,
                                    struct jinja_value key)
{
    struct jinja_pair *pair = find_pair(run, dict, key);
    return pair ? &pair->value : NULL;
}

const struct jinja_list *dict_list(struct jinja_run *run, const struct jinja_dict *dict, enum dict_part part)
{
    struct jinja_list *list = list_new(run, dict->count);
    for (size_t i = 0; list && i < dict->count && run_work(run, 1); i++) {
        const struct jinja_pair *pair = &dict->at[i];
        if (part != DICT_ITEMS) {
            list_add(run, list, part == DICT_KEYS ? pair->key : pair->value);
            continue;
        }
        struct jinja_list *both = list_new(run, 2);
        list_add(run, both, pair->key);
        list_add(run, both, pair->value);
        list_add(run, list, value_tuple(both));
    }
    return run->failed ? NULL : list;
}

/* Items of what is a sequence already; false for anything else. */
static bool ready_items(struct jinja_value v, const struct jinja_list **items)
{
    if (v.kind == JINJA_LIST || v.kind == JINJA_TUPLE)
        *items = v.list;
    else if (v.kind == JINJA_VIEW)
        *items = v.view->items;
    else
        return false;
    return true;
}

bool value_has_length(struct jinja_value v)
{
    const struct jinja_list *items;
    return ready_items(v, &items) || v.kind == JINJA_STRING || v.kind == JINJA_DICT ||
           v.kind == JINJA_RANGE || v.kind == JINJA_UNDEFINED || v.kind == JINJA_LOOP;
}

size_t value_length(struct jinja_run *run, struct jinja_value v)
{
    const struct jinja_list *items;
    if (ready_items(v, &items))
        return items->count;
    switch (v.kind) {
    case JINJA_UNDEFINED: return 0;
    case JINJA_STRING: return v.text->chars;
    case JINJA_DICT: return v.dict->count;
    case JINJA_RANGE: return v.range->count;
    case JINJA_LOOP: return loop_length(run, v.loop);
    default: run_fail(run, "object of type '%s' has no len()", value_type(v)); return 0;
    }
}

bool value_truth(struct jinja_value v)
{
    const struct jinja_list *items;
    if (ready_items(v, &items))
        return items->count > 0;
    switch (v.kind) {
    case JINJA_UNDEFINED:
    case JINJA_MISSING:
    case JINJA_NONE: return false;
    case JINJA_BOOL: return v.boolean;
    case JINJA_INT: return v.integer != 0;
    case JINJA_FLOAT: return v.real != 0;
    case JINJA_STRING: return v.text->length > 0;
    case JINJA_DICT: return v.dict->count > 0;
    case JINJA_RANGE: return v.range->count > 0;
    default: return true;
    }
}

static int64_t range_at(const struct jinja_range *r, size_t i)
{
    return r->start + (int64_t)i * r->step;
}

/* int against float without losing the integer's low bits: -1, 0, 1, or 2 when one is not a number. */
static int compare_numbers(struct jinja_value a, struct jinja_value b)
{
    int64_t i, j;
    double x, y;
    bool a_int = value_as_int(a, &i), b_int = value_as_int(b, &j);
    if (a_int && b_int)
        return (i > j) - (i < j);
    value_as_number(a, &x);
    value_as_number(b, &y);
    if (isnan(x) || isnan(y))
        return 2;
    if (x != y || (!a_int && !b_int))
        return (x > y) - (x < y);
    if (fabs(x) >= 9223372036854775808.0) /* the integer was rounded up to 2^63 */
        return a_int ? -1 : 1;
    int64_t whole = (int64_t)(a_int ? y : x);
    return a_int ? (i > whole) - (i < whole) : (whole > j) - (whole < j);
}

static bool equal_at(struct jinja_run *run, struct jinja_value a, struct jinja_value b, int depth);

static bool equal_lists(struct jinja_run *run, const struct jinja_list *a, const struct jinja_list *b,
                        int depth)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!run_work(run, 1) || !equal_at(run, a->at[i], b->at[i], depth + 1))
            return false;
    return true;
}

static bool equal_dicts(struct jinja_run *run, const struct jinja_dict *a, const struct jinja_dict *b,
                        int depth)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct jinja_value *other = run_work(run, 1) ? dict_find(run, b, a->at[i].key) : NULL;
        if (!other || !equal_at(run, a->at[i].value, *other, depth + 1))
            return false;
    }
    return true;
}

static bool equal_ranges(const struct jinja_range *a, const struct jinja_range *b)
{
    return a->count == b->count &&
           (!a->count || (a->start == b->start && (a->count == 1 || a->step == b->step)));
}

static bool equal_at(struct jinja_run *run, struct jinja_value a, struct jinja_value b, int depth)
{
    double x;
    if (depth > JINJA_MAX_VALUE_DEPTH) {
        run_fail(run, "values nested too deeply to compare");
        return false;
    }
    if (value_as_number(a, &x) && value_as_number(b, &x))
        return compare_numbers(a, b) == 0;
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case JINJA_UNDEFINED:
    case JINJA_MISSING:
    case JINJA_NONE: return true;
    case JINJA_STRING: return run_work(run, a.text->length / 64) && text_equal(a.text, b.text);
    case JINJA_LIST:
    case JINJA_TUPLE: return equal_lists(run, a.list, b.list, depth);
    case JINJA_DICT: return equal_dicts(run, a.dict, b.dict, depth);
    case JINJA_RANGE: return equal_ranges(a.range, b.range);
    default: return value_same(a, b);
    }
}

bool value_equal(struct jinja_run *run, struct jinja_value a, struct jinja_value b)
{
    return equal_at(run, a, b, 0);
}

bool value_same(struct jinja_value a, struct jinja_value b)
{
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case JINJA_NONE:
    case JINJA_MISSING: return true;
    case JINJA_UNDEFINED:
    case JINJA_STRING: return a.text == b.text;
    case JINJA_BOOL: return a.boolean == b.boolean;
    case JINJA_INT: return a.integer == b.integer;
    case JINJA_FLOAT: return a.real == b.real;
    case JINJA_METHOD:
        return a.method->builtin == b.method->builtin && value_same(a.method->self, b.method->self);
    default: return a.list == b.list; /* all others hold one pointer */
    }
}

static bool in_order(enum jinja_order order, int sign)
{
    switch (order) {
    case ORDER_LESS: return sign < 0;
    case ORDER_LESS_EQUAL: return sign <= 0;
    case ORDER_GREATER: return sign == 1;
    default: return sign == 0 || sign == 1;
    }
}

static const char *order_sign(enum jinja_order order)
{
    static const char *const signs[] = {"<", "<=", ">", ">="};
    return signs[order];
}

static bool compare_at(struct jinja_run *run, enum jinja_order order, struct jinja_value a,
                       struct jinja_value b, int depth)
{
    double x;
    if (depth > JINJA_MAX_VALUE_DEPTH) {
        run_fail(run, "values nested too deeply to compare");
        return false;
    }
    if (value_as_number(a, &x) && value_as_number(b, &x)) {
        int sign = compare_numbers(a, b);
        return sign != 2 && in_order(order, sign);
    }
    if (a.kind == JINJA_STRING && b.kind == JINJA_STRING && run_work(run, a.text->length / 64)) {
        int sign = text_compare(a.text, b.text);
        return in_order(order, (sign > 0) - (sign < 0));
    }
    if (a.kind == b.kind && (a.kind == JINJA_LIST || a.kind == JINJA_TUPLE)) {
        size_t n = a.list->count < b.list->count ? a.list->count : b.list->count, i = 0;
        while (i < n && run_work(run, 1) && equal_at(run, a.list->at[i], b.list->at[i], depth + 1))
            i++;
        if (i < n)
            return !run->failed && compare_at(run, order, a.list->at[i], b.list->at[i], depth + 1);
        return in_order(order, (a.list->count > b.list->count) - (a.list->count < b.list->count));
    }
    if (a.kind == JINJA_UNDEFINED || b.kind == JINJA_UNDEFINED)
        fail_undefined(run, a.kind == JINJA_UNDEFINED ? a : b);
    else
        run_fail(run, "'%s' not supported between instances of '%s' and '%s'", order_sign(order),
                 value_type(a), value_type(b));
    return false;
}

bool value_compare(struct jinja_run *run, enum jinja_order order, struct jinja_value a, struct jinja_value b)
{
    return compare_at(run, order, a, b, 0);
}

bool value_less(struct jinja_run *run, struct jinja_value a, struct jinja_value b)
{
    return compare_at(run, ORDER_LESS, a, b, 0);
}

bool value_contains(struct jinja_run *run, struct jinja_value container, struct jinja_value item)
{
    if (container.kind == JINJA_STRING) {
        if (item.kind != JINJA_STRING) {
            run_fail(run, "'in <string>' requires string as left operand, not %s", value_type(item));
            return false;
        }
        return run_work(run, 1 + container.text->length / 16) &&
               text_find(container.text, item.text, 0) <= container.text->length;
    }
    if (container.kind == JINJA_DICT)
        return dict_find(run, container.dict, item) != NULL;
    if (!value_is_iterable(container)) {
        run_fail(run, "argument of type '%s' is not iterable", value_type(container));
        return false;
    }
    struct jinja_cursor cursor = cursor_open(run, container);
    struct jinja_value other;
    while (cursor_next(run, &cursor, &other))
        if (value_equal(run, other, item))
            return true;
    return false;
}

bool value_is_iterable(struct jinja_value v)
{
    const struct jinja_list *items;
    return ready_items(v, &items) || v.kind == JINJA_STRING || v.kind == JINJA_DICT ||
           v.kind == JINJA_RANGE || v.kind == JINJA_ITERATOR || v.kind == JINJA_UNDEFINED;
}

struct jinja_cursor cursor_open(struct jinja_run *run, struct jinja_value v)
{
    if (!value_is_iterable(v)) {
        run_fail(run, "'%s' object is not iterable", value_type(v));
        v = value_nothing();
    }
    return (struct jinja_cursor){.source = v};
}

static bool next_of_iterator(struct jinja_run *run, struct jinja_iterator *it, struct jinja_value *item)
{
    if (it->next < it->items->count) {
        *item = it->items->at[it->next++];
        return true;
    }
    if (it->failed) {
        run->failed = true;
        run->error = it->error;
    }
    return false;
}

bool cursor_next(struct jinja_run *run, struct jinja_cursor *cursor, struct jinja_value *item)
{
    const struct jinja_list *items;
    struct jinja_value source = cursor->source;
    if (!run_work(run, 1))
        return false;
    if (source.kind == JINJA_ITERATOR)
        return next_of_iterator(run, source.iterator, item);
    if (source.kind == JINJA_STRING) {
        uint32_t c;
        if (cursor->next >= source.text->length)
            return false;
        size_t n = unicode_read(source.text->bytes + cursor->next, source.text->length - cursor->next, &c);
        *item = value_text(text_bytes(run, source.text, cursor->next, cursor->next + n));
        cursor->next += n;
        return true;
    }
    if (ready_items(source, &items)) {
        if (cursor->next >= items->count)
            return false;
        *item = items->at[cursor->next++];
        return true;
    }
    if (source.kind == JINJA_DICT && cursor->next < source.dict->count) {
        *item = source.dict->at[cursor->next++].key;
        return true;
    }
    if (source.kind == JINJA_RANGE && cursor->next < source.range->count) {
        *item = value_int(range_at(source.range, cursor->next++));
        return true;
    }
    return false;
}

const struct jinja_list *value_items(struct jinja_run *run, struct jinja_value v)
{
    const struct jinja_list *items;
    if (ready_items(v, &items))
        return items;
    struct jinja_cursor cursor = cursor_open(run, v);
    struct jinja_list *list = list_new(run, 0);
    struct jinja_value item;
    while (cursor_next(run, &cursor, &item))
        list_add(run, list, item);
    return run->failed ? NULL : list;
}

struct jinja_value iterator_new(struct jinja_run *run, const struct jinja_list *items)
{
    struct jinja_iterator *it = run_alloc(run, 1, sizeof *it);
    if (!it || !items)
        return value_nothing();
    memset(it, 0, sizeof *it);
    it->items = items;
    return (struct jinja_value){.kind = JINJA_ITERATOR, .iterator = it};
}

struct jinja_value iterator_finish(struct jinja_run *run, const struct jinja_list *items)
{
    if (!run->failed || run->error.status != run->bad_input || !items)
        return iterator_new(run, items);
    struct error error = run->error;
    run->failed = false;
    struct jinja_value v = iterator_new(run, items);
    if (v.kind == JINJA_ITERATOR) {
        v.iterator->failed = true;
        v.iterator->error = error;
    }
    return v;
}
