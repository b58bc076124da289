/* The values of a template: Python's, as far as templates see them.
 * A value is small and passed by value; what it points to lies in the run's arena (or the template's, for
 * constants) and does not change, but for namespaces, loops and iterators. Functions that make values return
 * undefined once the run has failed. Integers are 64 bits: what does not fit is an error. */
#ifndef VARGPT_ENGINE_TEXT_JINJA_VALUE_H
#define VARGPT_ENGINE_TEXT_JINJA_VALUE_H

#include "engine/text/jinja_text.h"

enum jinja_kind {
    JINJA_UNDEFINED,
    JINJA_MISSING, /* an argument that was not given; never seen by a template */
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_DICT,
    JINJA_VIEW, /* what a dict's keys(), values() and items() give */
    JINJA_RANGE,
    JINJA_ITERATOR, /* what map, select, ... give: can be walked through once */
    JINJA_NAMESPACE,
    JINJA_LOOP,
    JINJA_MACRO,
    JINJA_FUNCTION, /* a global function */
    JINJA_METHOD,   /* a method with the value that it belongs to */
};

struct jinja_value {
    enum jinja_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double real;
        const struct jinja_text *text; /* JINJA_STRING; JINJA_UNDEFINED: why, may be NULL */
        const struct jinja_list *list; /* JINJA_LIST, JINJA_TUPLE */
        struct jinja_dict *dict;       /* JINJA_DICT, JINJA_NAMESPACE */
        const struct jinja_view *view;
        const struct jinja_range *range;
        struct jinja_iterator *iterator;
        struct jinja_loop *loop;         /* jinja_eval.h */
        const struct jinja_macro *macro; /* jinja_eval.h */
        const struct jinja_builtin *function;
        const struct jinja_method *method;
    };
};

struct jinja_list {
    struct jinja_value *at; /* [count] */
    size_t count, capacity;
};

struct jinja_pair {
    struct jinja_value key, value;
};

struct jinja_dict {
    struct jinja_pair *at; /* [count], in the order of insertion */
    size_t count, capacity;
};

struct jinja_view {
    const char *type;               /* "dict_keys", ... */
    const struct jinja_list *items; /* items: tuples of two */
};

struct jinja_range {
    int64_t start, stop, step;
    size_t count;
};

/* Python's generators work item by item; here the items are ready, and a failure on the way waits at its
 * place. */
struct jinja_iterator {
    const struct jinja_list *items;
    size_t next;
    bool failed;
    struct error error; /* what the next step after the last item raises, when failed */
};

struct jinja_method {
    struct jinja_value self;
    const struct jinja_builtin *builtin;
};

static inline struct jinja_value value_none(void)
{
    return (struct jinja_value){.kind = JINJA_NONE};
}
static inline struct jinja_value value_missing(void)
{
    return (struct jinja_value){.kind = JINJA_MISSING};
}
static inline struct jinja_value value_bool(bool b)
{
    return (struct jinja_value){.kind = JINJA_BOOL, .boolean = b};
}
static inline struct jinja_value value_int(int64_t i)
{
    return (struct jinja_value){.kind = JINJA_INT, .integer = i};
}
static inline struct jinja_value value_float(double d)
{
    return (struct jinja_value){.kind = JINJA_FLOAT, .real = d};
}
static inline struct jinja_value value_text(const struct jinja_text *text)
{
    return (struct jinja_value){.kind = JINJA_STRING, .text = text};
}
static inline struct jinja_value value_list(const struct jinja_list *list)
{
    return (struct jinja_value){.kind = JINJA_LIST, .list = list};
}
static inline struct jinja_value value_tuple(const struct jinja_list *list)
{
    return (struct jinja_value){.kind = JINJA_TUPLE, .list = list};
}
static inline struct jinja_value value_dict(struct jinja_dict *dict)
{
    return (struct jinja_value){.kind = JINJA_DICT, .dict = dict};
}
static inline struct jinja_value value_nothing(void) /* undefined, for no reason that anyone will read */
{
    return (struct jinja_value){.kind = JINJA_UNDEFINED};
}
/* Undefined; using it fails with these words. */
struct jinja_value value_undefined(struct jinja_run *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct jinja_value value_of(struct jinja_run *, const char *literal); /* a string from the template's side */

static inline bool value_given(struct jinja_value v)
{
    return v.kind != JINJA_MISSING;
}
static inline bool value_is_string(struct jinja_value v)
{
    return v.kind == JINJA_STRING;
}
/* bool and int; *i is then the number. */
bool value_as_int(struct jinja_value, int64_t *i);
/* bool, int and float; *d is then the number. */
bool value_as_number(struct jinja_value, double *d);

/* The name of the Python type, as its messages spell it. */
const char *value_type(struct jinja_value);

/* Growing lists and dicts while they are made. NULL or no effect once the run has failed. */
struct jinja_list *list_new(struct jinja_run *, size_t capacity);
void list_add(struct jinja_run *, struct jinja_list *, struct jinja_value);
struct jinja_dict *dict_new(struct jinja_run *);
void dict_set(struct jinja_run *, struct jinja_dict *, struct jinja_value key, struct jinja_value);
void dict_set_name(struct jinja_run *, struct jinja_dict *, const char *name, struct jinja_value);
/* NULL when there is no such key; fails for keys that Python cannot hash. */
const struct jinja_value *dict_find(struct jinja_run *, const struct jinja_dict *, struct jinja_value key);
/* The items of a dict: keys, values or tuples of both. */
enum dict_part { DICT_KEYS, DICT_VALUES, DICT_ITEMS };
const struct jinja_list *dict_list(struct jinja_run *, const struct jinja_dict *, enum dict_part);

bool value_truth(struct jinja_value);
/* len(); fails for what has none. */
size_t value_length(struct jinja_run *, struct jinja_value);
bool value_has_length(struct jinja_value);
/* ==; lists and dicts item by item. */
bool value_equal(struct jinja_run *, struct jinja_value, struct jinja_value);
/* The same object, or the same constant. */
bool value_same(struct jinja_value, struct jinja_value);
/* <; fails for what Python does not order. */
bool value_less(struct jinja_run *, struct jinja_value, struct jinja_value);
enum jinja_order { ORDER_LESS, ORDER_LESS_EQUAL, ORDER_GREATER, ORDER_GREATER_EQUAL };
bool value_compare(struct jinja_run *, enum jinja_order, struct jinja_value, struct jinja_value);
/* item in container */
bool value_contains(struct jinja_run *, struct jinja_value container, struct jinja_value item);

/* Walking through a value; strings by character, dicts by key. An iterator moves on for everyone who holds
 * it. */
struct jinja_cursor {
    struct jinja_value source;
    size_t next; /* item, or byte of a string */
};
bool value_is_iterable(struct jinja_value);
/* Fails when the value cannot be walked through; the cursor then gives nothing. */
struct jinja_cursor cursor_open(struct jinja_run *, struct jinja_value);
bool cursor_next(struct jinja_run *, struct jinja_cursor *, struct jinja_value *item);
/* All items as a list (a list or tuple itself, not copied); an iterator is then at its end. NULL on failure.
 */
const struct jinja_list *value_items(struct jinja_run *, struct jinja_value);

/* An iterator over ready items. */
struct jinja_value iterator_new(struct jinja_run *, const struct jinja_list *items);
/* Ends what a lazy filter does: the items so far and, if the filter failed on the way, the failure for later.
 */
struct jinja_value iterator_finish(struct jinja_run *, const struct jinja_list *items);

#endif
