#include "engine/text/jinja_builtin.h"
#include "engine/text/jinja_unicode.h"

static struct jinja_value test_defined(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    return value_bool(given->self.kind != JINJA_UNDEFINED);
}

static struct jinja_value test_undefined(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    return value_bool(given->self.kind == JINJA_UNDEFINED);
}

static struct jinja_value test_none(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    return value_bool(given->self.kind == JINJA_NONE);
}

static struct jinja_value test_boolean(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    return value_bool(given->self.kind == JINJA_BOOL);
}

static struct jinja_value test_true(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    return value_bool(given->self.kind == JINJA_BOOL && given->self.boolean);
}

static struct jinja_value test_false(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    return value_bool(given->self.kind == JINJA_BOOL && !given->self.boolean);
}

static struct jinja_value test_integer(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    return value_bool(given->self.kind == JINJA_INT);
}

static struct jinja_value test_float(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    return value_bool(given->self.kind == JINJA_FLOAT);
}

static struct jinja_value test_number(struct jinja_run *run, const struct jinja_given *given)
{
    double d;
    (void)run;
    return value_bool(value_as_number(given->self, &d));
}

static struct jinja_value test_string(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    return value_bool(value_is_string(given->self));
}

static struct jinja_value test_mapping(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    return value_bool(given->self.kind == JINJA_DICT);
}

static struct jinja_value test_iterable(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    return value_bool(value_is_iterable(given->self) || given->self.kind == JINJA_LOOP);
}

static struct jinja_value test_sequence(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run; /* Python asks for a length and item access, which dicts have too */
    enum jinja_kind kind = given->self.kind;
    return value_bool(value_has_length(given->self) && kind != JINJA_VIEW && kind != JINJA_LOOP);
}

static struct jinja_value test_callable(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    enum jinja_kind kind = given->self.kind; /* Undefined has __call__, if only to fail */
    return value_bool(kind == JINJA_MACRO || kind == JINJA_FUNCTION || kind == JINJA_METHOD ||
                      kind == JINJA_LOOP || kind == JINJA_UNDEFINED);
}

static struct jinja_value test_escaped(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    return value_bool(given->self.kind == JINJA_STRING && given->self.text->markup);
}

static struct jinja_value remainder_is(struct jinja_run *run, struct jinja_value v,
                                       struct jinja_value divisor, int64_t wanted)
{
    return value_bool(value_equal(run, operate(run, OP_MODULO, v, divisor), value_int(wanted)));
}

static struct jinja_value test_odd(struct jinja_run *run, const struct jinja_given *given)
{
    return remainder_is(run, given->self, value_int(2), 1);
}

static struct jinja_value test_even(struct jinja_run *run, const struct jinja_given *given)
{
    return remainder_is(run, given->self, value_int(2), 0);
}

static struct jinja_value test_divisibleby(struct jinja_run *run, const struct jinja_given *given)
{
    return remainder_is(run, given->self, given->arg[0], 0);
}

static struct jinja_value test_sameas(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    return value_bool(value_same(given->self, given->arg[0]));
}

static struct jinja_value test_in(struct jinja_run *run, const struct jinja_given *given)
{
    return value_bool(value_contains(run, given->arg[0], given->self));
}

static struct jinja_value test_eq(struct jinja_run *run, const struct jinja_given *given)
{
    return value_bool(operate_compare(run, OP_EQUAL, given->self, given->arg[0]));
}

static struct jinja_value test_ne(struct jinja_run *run, const struct jinja_given *given)
{
    return value_bool(operate_compare(run, OP_NOT_EQUAL, given->self, given->arg[0]));
}

static struct jinja_value test_lt(struct jinja_run *run, const struct jinja_given *given)
{
    return value_bool(operate_compare(run, OP_LESS, given->self, given->arg[0]));
}

static struct jinja_value test_le(struct jinja_run *run, const struct jinja_given *given)
{
    return value_bool(operate_compare(run, OP_LESS_EQUAL, given->self, given->arg[0]));
}

static struct jinja_value test_gt(struct jinja_run *run, const struct jinja_given *given)
{
    return value_bool(operate_compare(run, OP_GREATER, given->self, given->arg[0]));
}

static struct jinja_value test_ge(struct jinja_run *run, const struct jinja_given *given)
{
    return value_bool(operate_compare(run, OP_GREATER_EQUAL, given->self, given->arg[0]));
}

static struct jinja_value call_method(struct jinja_run *run, const struct jinja_given *given,
                                      const char *name)
{
    const struct jinja_call none = {0};
    struct jinja_value text = value_of(run, "");
    if (given->self.kind != JINJA_UNDEFINED) {
        struct jinja_given string = {.self = given->self};
        text = builtin_filter(text_of(run, "string"))->apply(run, &string);
    }
    const struct jinja_builtin *method = builtin_method(text, text_of(run, name));
    return run->failed ? value_nothing() : builtin_call(run, method, text, &none);
}

static struct jinja_value test_lower(struct jinja_run *run, const struct jinja_given *given)
{
    return call_method(run, given, "islower");
}

static struct jinja_value test_upper(struct jinja_run *run, const struct jinja_given *given)
{
    return call_method(run, given, "isupper");
}

static struct jinja_value test_filter(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    return value_bool(value_is_string(given->self) && builtin_filter(given->self.text));
}

static struct jinja_value test_test(struct jinja_run *run, const struct jinja_given *given)
{
    (void)run;
    return value_bool(value_is_string(given->self) && builtin_test(given->self.text));
}

const struct jinja_builtin jinja_tests[] = {
    {"defined", "", test_defined},    {"undefined", "", test_undefined},
    {"none", "", test_none},          {"boolean", "", test_boolean},
    {"true", "", test_true},          {"false", "", test_false},
    {"integer", "", test_integer},    {"float", "", test_float},
    {"number", "", test_number},      {"string", "", test_string},
    {"mapping", "", test_mapping},    {"iterable", "", test_iterable},
    {"sequence", "", test_sequence},  {"callable", "", test_callable},
    {"escaped", "", test_escaped},    {"odd", "", test_odd},
    {"even", "", test_even},          {"divisibleby", "num", test_divisibleby},
    {"sameas", "other", test_sameas}, {"in", "seq", test_in},
    {"eq", "other", test_eq},         {"equalto", "other", test_eq},
    {"==", "other", test_eq},         {"ne", "other", test_ne},
    {"!=", "other", test_ne},         {"lt", "other", test_lt},
    {"lessthan", "other", test_lt},   {"<", "other", test_lt},
    {"le", "other", test_le},         {"<=", "other", test_le},
    {"gt", "other", test_gt},         {"greaterthan", "other", test_gt},
    {">", "other", test_gt},          {"ge", "other", test_ge},
    {">=", "other", test_ge},         {"lower", "", test_lower},
    {"upper", "", test_upper},        {"filter", "", test_filter},
    {"test", "", test_test},          {NULL, NULL, NULL},
};
