#include "engine/text/jinja_builtin.h"
#include "engine/text/jinja_print.h"
#include "engine/text/jinja_unicode.h"

#include <math.h>

static const char *sign_of(enum jinja_operator op)
{
    static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "**"};
    return signs[op];
}

static struct jinja_value fail_types(struct jinja_run *run, enum jinja_operator op, struct jinja_value a,
                                     struct jinja_value b)
{
    if (a.kind == JINJA_UNDEFINED || b.kind == JINJA_UNDEFINED)
        fail_undefined(run, a.kind == JINJA_UNDEFINED ? a : b);
    else
        run_fail(run, "unsupported operand types for %s: '%s' and '%s'", sign_of(op), value_type(a),
                 value_type(b));
    return value_nothing();
}

static struct jinja_value fail_words(struct jinja_run *run, const char *words)
{
    run_fail(run, "%s", words);
    return value_nothing();
}

static int64_t floor_divide(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return q - (a % b != 0 && (a < 0) != (b < 0));
}

/* Overflow is an error here: Python's integers have no end. */
static struct jinja_value integer_power(struct jinja_run *run, int64_t base, int64_t exponent)
{
    int64_t result = 1;
    if (exponent < 0)
        return base ? value_float(pow((double)base, (double)exponent)) : fail_words(run, "division by zero");
    while (exponent > 0) {
        if (exponent & 1 && __builtin_mul_overflow(result, base, &result))
            return fail_words(run, "an integer is too large");
        exponent >>= 1;
        if (exponent && __builtin_mul_overflow(base, base, &base))
            return fail_words(run, "an integer is too large");
    }
    return value_int(result);
}

static struct jinja_value integers(struct jinja_run *run, enum jinja_operator op, int64_t a, int64_t b)
{
    int64_t result = 0;
    bool overflow = false;
    if ((op == OP_DIVIDE || op == OP_FLOOR_DIVIDE || op == OP_MODULO) && b == 0)
        return fail_words(run, "division by zero");
    switch (op) {
    case OP_ADD: overflow = __builtin_add_overflow(a, b, &result); break;
    case OP_SUBTRACT: overflow = __builtin_sub_overflow(a, b, &result); break;
    case OP_MULTIPLY: overflow = __builtin_mul_overflow(a, b, &result); break;
    case OP_DIVIDE: return value_float((double)a / (double)b);
    case OP_FLOOR_DIVIDE:
        overflow = a == INT64_MIN && b == -1;
        result = overflow ? 0 : floor_divide(a, b);
        break;
    case OP_MODULO: result = b == -1 ? 0 : a - floor_divide(a, b) * b; break;
    default: return integer_power(run, a, b);
    }
    return overflow ? fail_words(run, "an integer is too large") : value_int(result);
}

/* Python's float % and //: the remainder has the divisor's sign. */
static double float_modulo(double a, double b)
{
    double rest = fmod(a, b);
    if (rest == 0)
        return copysign(0, b);
    return (b < 0) != (rest < 0) ? rest + b : rest;
}

static double float_floor_divide(double a, double b)
{
    double rest = fmod(a, b), quotient = (a - rest) / b;
    if (rest != 0 && (b < 0) != (rest < 0))
        quotient -= 1;
    if (quotient == 0)
        return copysign(0, a / b);
    double whole = floor(quotient);
    return quotient - whole > 0.5 ? whole + 1 : whole;
}

static struct jinja_value reals(struct jinja_run *run, enum jinja_operator op, double a, double b)
{
    if ((op == OP_DIVIDE || op == OP_FLOOR_DIVIDE || op == OP_MODULO) && b == 0)
        return fail_words(run, "division by zero");
    switch (op) {
    case OP_ADD: return value_float(a + b);
    case OP_SUBTRACT: return value_float(a - b);
    case OP_MULTIPLY: return value_float(a * b);
    case OP_DIVIDE: return value_float(a / b);
    case OP_FLOOR_DIVIDE: return value_float(float_floor_divide(a, b));
    case OP_MODULO: return value_float(float_modulo(a, b));
    default: break;
    }
    double power = pow(a, b);
    if ((a == 0 && b < 0) || (isnan(power) && !isnan(a) && !isnan(b)) ||
        (isinf(power) && !isinf(a) && !isinf(b)))
        return fail_words(run, "a power is out of range");
    return value_float(power);
}

static struct jinja_value escaped(struct jinja_run *run, struct jinja_value v)
{
    const struct jinja_call none = {0};
    return v.text->markup ? v : builtin_call(run, builtin_filter(text_of(run, "e")), v, &none);
}

static struct jinja_value join_texts(struct jinja_run *run, struct jinja_value a, struct jinja_value b)
{
    struct jinja_builder out;
    bool markup = a.text->markup || b.text->markup;
    if (markup) {
        a = escaped(run, a);
        b = escaped(run, b);
    }
    if (run->failed)
        return value_nothing();
    builder_init(&out, run);
    builder_add_text(&out, a.text);
    builder_add_text(&out, b.text);
    return markup ? value_text(text_marked(run, builder_text(&out))) : value_text(builder_text(&out));
}

static void add_items(struct jinja_run *run, struct jinja_list *list, const struct jinja_list *from)
{
    for (size_t i = 0; i < from->count && run_work(run, 1); i++)
        list_add(run, list, from->at[i]);
}

static struct jinja_value list_like(struct jinja_value v, const struct jinja_list *list)
{
    if (!list)
        return value_nothing();
    return v.kind == JINJA_TUPLE ? value_tuple(list) : value_list(list);
}

static struct jinja_value join_lists(struct jinja_run *run, struct jinja_value a, struct jinja_value b)
{
    struct jinja_list *list = list_new(run, 0);
    add_items(run, list, a.list);
    add_items(run, list, b.list);
    return list_like(a, list);
}

static struct jinja_value repeat(struct jinja_run *run, struct jinja_value v, int64_t times)
{
    struct jinja_builder b;
    if (v.kind == JINJA_STRING) {
        builder_init(&b, run);
        builder_add_times(&b, v.text, times > 0 ? (size_t)times : 0);
        return value_text(builder_text(&b));
    }
    struct jinja_list *list = list_new(run, 0);
    for (int64_t i = 0; v.list->count && i < times && run_work(run, 1); i++)
        add_items(run, list, v.list);
    return list_like(v, list);
}

static bool is_repeatable(struct jinja_value v)
{
    return v.kind == JINJA_STRING || v.kind == JINJA_LIST || v.kind == JINJA_TUPLE;
}

struct jinja_value operate(struct jinja_run *run, enum jinja_operator op, struct jinja_value a,
                           struct jinja_value b)
{
    int64_t i, j;
    double x, y;
    if (op == OP_MODULO && a.kind == JINJA_STRING)
        return b.kind == JINJA_UNDEFINED ? fail_types(run, op, a, b) : format_percent(run, a.text, b);
    if (value_as_int(a, &i) && value_as_int(b, &j))
        return integers(run, op, i, j);
    if (value_as_number(a, &x) && value_as_number(b, &y))
        return reals(run, op, x, y);
    if (op == OP_ADD && a.kind == JINJA_STRING && b.kind == JINJA_STRING)
        return join_texts(run, a, b);
    if (op == OP_ADD && a.kind == b.kind && (a.kind == JINJA_LIST || a.kind == JINJA_TUPLE))
        return join_lists(run, a, b);
    if (op == OP_MULTIPLY && is_repeatable(a) && value_as_int(b, &j))
        return repeat(run, a, j);
    if (op == OP_MULTIPLY && is_repeatable(b) && value_as_int(a, &i))
        return repeat(run, b, i);
    return fail_types(run, op, a, b);
}

struct jinja_value operate_sign(struct jinja_run *run, bool negate, struct jinja_value v)
{
    int64_t i;
    if (v.kind == JINJA_FLOAT)
        return value_float(negate ? -v.real : v.real);
    if (value_as_int(v, &i))
        return i == INT64_MIN && negate ? fail_words(run, "an integer is too large")
                                        : value_int(negate ? -i : i);
    if (v.kind == JINJA_UNDEFINED)
        fail_undefined(run, v);
    else
        run_fail(run, "bad operand type for unary %c: '%s'", negate ? '-' : '+', value_type(v));
    return value_nothing();
}

bool operate_compare(struct jinja_run *run, enum jinja_operator op, struct jinja_value a,
                     struct jinja_value b)
{
    switch (op) {
    case OP_EQUAL: return value_equal(run, a, b);
    case OP_NOT_EQUAL: return !value_equal(run, a, b);
    case OP_LESS: return value_compare(run, ORDER_LESS, a, b);
    case OP_LESS_EQUAL: return value_compare(run, ORDER_LESS_EQUAL, a, b);
    case OP_GREATER: return value_compare(run, ORDER_GREATER, a, b);
    case OP_GREATER_EQUAL: return value_compare(run, ORDER_GREATER_EQUAL, a, b);
    case OP_IN: return value_contains(run, b, a);
    default: return !value_contains(run, b, a);
    }
}

static struct jinja_value no_attribute(struct jinja_run *run, struct jinja_value v,
                                       const struct jinja_text *name)
{
    const char *type = v.kind == JINJA_NONE ? "None" : value_type(v);
    return value_undefined(run, "'%s%s' has no attribute '%.*s'", type, v.kind == JINJA_NONE ? "" : " object",
                           (int)name->length, name->bytes);
}

/* What a sandbox keeps from templates: changing lists and dicts. */
static bool is_forbidden(struct jinja_value v, const struct jinja_text *name)
{
    static const char *const of_lists[] = {"append", "clear", "pop",    "reverse",
                                           "insert", "sort",  "extend", "remove"};
    static const char *const of_dicts[] = {"clear", "pop", "popitem", "setdefault", "update"};
    for (int i = 0; v.kind == JINJA_LIST && i < 8; i++)
        if (text_is(name, of_lists[i]))
            return true;
    for (int i = 0; v.kind == JINJA_DICT && i < 5; i++)
        if (text_is(name, of_dicts[i]))
            return true;
    return false;
}

/* The Python attribute of this name; false when there is none. */
static bool find_attribute(struct jinja_run *run, struct jinja_value v, const struct jinja_text *name,
                           struct jinja_value *out)
{
    const struct jinja_builtin *method = builtin_method(v, name);
    if (method) {
        *out = builtin_bind(run, v, method);
    } else if (is_forbidden(v, name)) {
        *out = value_undefined(run, "access to attribute '%.*s' of '%s' object is unsafe", (int)name->length,
                               name->bytes, value_type(v));
    } else if (v.kind == JINJA_LOOP) {
        *out = loop_attribute(run, v, name);
    } else if (v.kind == JINJA_MACRO && text_is(name, "name") && v.macro->def->name) {
        *out = value_text(v.macro->def->name);
    } else if (v.kind == JINJA_NAMESPACE) {
        const struct jinja_value *found = dict_find(run, v.dict, value_text(name));
        if (!found)
            return false;
        *out = *found;
    } else {
        return false;
    }
    return true;
}

struct jinja_value value_attribute(struct jinja_run *run, struct jinja_value v, const struct jinja_text *name)
{
    struct jinja_value found;
    if (v.kind == JINJA_UNDEFINED) {
        fail_undefined(run, v);
        return value_nothing();
    }
    if (find_attribute(run, v, name, &found))
        return found;
    const struct jinja_value *item = v.kind == JINJA_DICT ? dict_find(run, v.dict, value_text(name)) : NULL;
    return item ? *item : no_attribute(run, v, name);
}

static struct jinja_value no_item(struct jinja_run *run, struct jinja_value v, struct jinja_value key)
{
    struct jinja_builder b;
    if (key.kind == JINJA_STRING)
        return no_attribute(run, v, key.text);
    builder_init(&b, run);
    print_repr(&b, key);
    const struct jinja_text *text = builder_text(&b);
    return value_undefined(run, "%s object has no element %.*s", value_type(v), (int)text->length,
                           text->bytes);
}

static struct jinja_value item_at(struct jinja_run *run, struct jinja_value v, int64_t index, bool *found)
{
    int64_t n = (int64_t)value_length(run, v);
    if (index < 0)
        index += n;
    *found = index >= 0 && index < n;
    if (!*found)
        return value_nothing();
    if (v.kind == JINJA_STRING)
        return value_text(text_chars(run, v.text, (size_t)index, (size_t)index + 1));
    if (v.kind == JINJA_RANGE)
        return value_int(v.range->start + index * v.range->step);
    return v.list->at[index];
}

static bool is_sequence(struct jinja_value v)
{
    return v.kind == JINJA_STRING || v.kind == JINJA_LIST || v.kind == JINJA_TUPLE || v.kind == JINJA_RANGE;
}

static bool can_look_up(struct jinja_value key)
{
    return key.kind != JINJA_LIST && key.kind != JINJA_DICT;
}

struct jinja_value value_item(struct jinja_run *run, struct jinja_value v, struct jinja_value key)
{
    int64_t index;
    bool found = false;
    struct jinja_value item;
    if (v.kind == JINJA_UNDEFINED) {
        fail_undefined(run, v);
        return value_nothing();
    }
    if (v.kind == JINJA_DICT && can_look_up(key)) {
        const struct jinja_value *at = dict_find(run, v.dict, key);
        if (at)
            return *at;
    }
    if (is_sequence(v) && value_as_int(key, &index)) {
        item = item_at(run, v, index, &found);
        if (found)
            return item;
    }
    if (key.kind == JINJA_STRING && find_attribute(run, v, key.text, &item))
        return item;
    return no_item(run, v, key);
}

/* A slice's bound in an n-item sequence: Python's rule. */
static int64_t slice_bound(int64_t bound, int64_t n, int64_t lowest, int64_t highest)
{
    if (bound < 0)
        bound += n; /* bound >= -2^63 and n >= 0: no overflow */
    return bound < lowest ? lowest : bound > highest ? highest : bound;
}

static bool slice_integer(struct jinja_run *run, struct jinja_value v, int64_t *i)
{
    if (v.kind == JINJA_NONE)
        return false;
    if (value_as_int(v, i))
        return true;
    run_fail(run, "slice indices must be integers or none");
    return false;
}

static struct jinja_value slice_text(struct jinja_run *run, const struct jinja_text *text, int64_t from,
                                     size_t count, int64_t step)
{
    if (step == 1)
        return value_text(text_chars(run, text, (size_t)from, (size_t)from + count));
    struct jinja_builder b;
    builder_init(&b, run);
    size_t *offset = run_alloc(run, text->chars + 1, sizeof *offset);
    if (!offset || !run_work(run, text->length))
        return value_nothing();
    uint32_t c;
    size_t at = 0;
    for (size_t i = 0; i <= text->chars; i++) {
        offset[i] = at;
        if (at < text->length)
            at += unicode_read(text->bytes + at, text->length - at, &c);
    }
    for (size_t i = 0; i < count; i++) {
        size_t k = (size_t)(from + (int64_t)i * step);
        builder_add_slice(&b, text, offset[k], offset[k + 1]);
    }
    return value_text(builder_text(&b));
}

static int64_t wrapping(int64_t start, int64_t n, int64_t step)
{
    return (int64_t)((uint64_t)start + (uint64_t)n * (uint64_t)step);
}

static struct jinja_value slice_range(struct jinja_run *run, const struct jinja_range *r, int64_t from,
                                      int64_t to, size_t count, int64_t step)
{
    struct jinja_range *part = run_alloc(run, 1, sizeof *part);
    if (!part)
        return value_nothing();
    /* bounds and steps of what has items fit; of what has none they are for printing only */
    *part = (struct jinja_range){wrapping(r->start, from, r->step), wrapping(r->start, to, r->step),
                                 wrapping(0, r->step, step), count};
    return (struct jinja_value){.kind = JINJA_RANGE, .range = part};
}

struct jinja_value value_slice(struct jinja_run *run, struct jinja_value v, struct jinja_value from_v,
                               struct jinja_value to_v, struct jinja_value step_v)
{
    if (v.kind == JINJA_UNDEFINED || !is_sequence(v)) {
        if (v.kind == JINJA_UNDEFINED)
            fail_undefined(run, v);
        else
            run_fail(run, "'%s' object cannot be sliced", value_type(v));
        return value_nothing();
    }
    int64_t n = (int64_t)value_length(run, v), from, to, step = 1;
    slice_integer(run, step_v, &step);
    if (step == 0)
        return fail_words(run, "slice step cannot be zero");
    int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? n : n - 1;
    from = slice_integer(run, from_v, &from) ? slice_bound(from, n, lowest, highest)
           : step > 0                        ? lowest
                                             : highest;
    to = slice_integer(run, to_v, &to) ? slice_bound(to, n, lowest, highest) : step > 0 ? highest : lowest;
    if (run->failed)
        return value_nothing();
    uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    uint64_t span =
        step > 0 ? (to > from ? (uint64_t)(to - from) : 0) : (from > to ? (uint64_t)(from - to) : 0);
    size_t count = span ? (size_t)((span - 1) / stride + 1) : 0;
    if (v.kind == JINJA_STRING)
        return count ? slice_text(run, v.text, from, count, step) : value_text(&jinja_text_empty);
    if (v.kind == JINJA_RANGE)
        return slice_range(run, v.range, from, to, count, step);
    struct jinja_list *list = list_new(run, count);
    for (size_t i = 0; i < count && run_work(run, 1); i++)
        list_add(run, list, v.list->at[from + (int64_t)i * step]);
    return list_like(v, list);
}
