#include "engine/text/jinja_builtin.h"
#include "engine/text/jinja_number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct jinja_value filter_abs(struct jinja_run *run, const struct jinja_given *given)
{
    int64_t i;
    if (given->self.kind == JINJA_FLOAT)
        return value_float(fabs(given->self.real));
    if (value_as_int(given->self, &i))
        return i < 0 ? operate_sign(run, true, given->self) : value_int(i);
    if (given->self.kind == JINJA_UNDEFINED)
        fail_undefined(run, given->self);
    else
        run_fail(run, "bad operand type for abs(): '%s'", value_type(given->self));
    return value_nothing();
}

static struct jinja_value real_to_int(struct jinja_run *run, double d, struct jinja_value otherwise)
{
    if (isnan(d))
        return otherwise;
    if (fabs(d) >= 9223372036854775808.0) {
        run_fail(run, "cannot convert this float to an integer");
        return value_nothing();
    }
    return value_int((int64_t)d);
}

static struct jinja_value filter_int(struct jinja_run *run, const struct jinja_given *given)
{
    struct jinja_value v = given->self;
    struct jinja_value otherwise = value_given(given->arg[0]) ? given->arg[0] : value_int(0);
    int64_t i, base = arg_int(run, given->arg[1], 10);
    double d;
    if (v.kind == JINJA_UNDEFINED)
        fail_undefined(run, v);
    if (run->failed)
        return value_nothing();
    if (value_as_int(v, &i))
        return value_int(i);
    if (v.kind == JINJA_FLOAT)
        return real_to_int(run, v.real, otherwise);
    if (v.kind != JINJA_STRING)
        return otherwise;
    if (number_read_int(v.text, base, &i))
        return value_int(i);
    if (!number_read_real(v.text, &d))
        return otherwise;
    return isinf(d) ? otherwise : real_to_int(run, d, otherwise);
}

static struct jinja_value filter_float(struct jinja_run *run, const struct jinja_given *given)
{
    double d;
    if (given->self.kind == JINJA_UNDEFINED)
        fail_undefined(run, given->self);
    if (value_as_number(given->self, &d) ||
        (given->self.kind == JINJA_STRING && number_read_real(given->self.text, &d)))
        return value_float(d);
    return value_given(given->arg[0]) ? given->arg[0] : value_float(0);
}

/* A float rounded to `places` decimals, ties to even as the exact binary value has them. */
static double round_real(double d, int64_t places)
{
    char text[400];
    if (isnan(d) || isinf(d) || places > 22)
        return d;
    if (places >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)places, d);
        return strtod(text, NULL);
    }
    double unit = places < -308 ? INFINITY : pow(10, (double)-places);
    return isinf(unit) ? copysign(0, d) : rint(d / unit) * unit;
}

/* An integer rounded to tens, hundreds, ...: ties to even. */
static struct jinja_value round_int(struct jinja_run *run, int64_t i, int64_t places)
{
    int64_t unit = 1, result;
    if (places >= 0)
        return value_int(i);
    for (; places < 0; places++)
        if (__builtin_mul_overflow(unit, 10, &unit))
            return value_int(0);
    int64_t low = i / unit - (i % unit < 0), rest = i - low * unit;
    bool up = rest > unit - rest || (rest == unit - rest && low % 2 != 0);
    if (__builtin_mul_overflow(low + up, unit, &result))
        run_fail(run, "an integer is too large");
    return value_int(result);
}

static struct jinja_value filter_round(struct jinja_run *run, const struct jinja_given *given)
{
    int64_t i, places = arg_int(run, given->arg[0], 0);
    double d;
    const struct jinja_text *method = value_given(given->arg[1]) ? arg_text(run, given->arg[1]) : NULL;
    if (!value_as_number(given->self, &d)) {
        if (given->self.kind == JINJA_UNDEFINED)
            fail_undefined(run, given->self);
        else
            run_fail(run, "type %s cannot be rounded", value_type(given->self));
        return value_nothing();
    }
    if (run->failed ||
        (method && !text_is(method, "common") && !text_is(method, "ceil") && !text_is(method, "floor"))) {
        run_fail(run, "method must be common, ceil or floor");
        return value_nothing();
    }
    if (!method || text_is(method, "common"))
        return value_as_int(given->self, &i) ? round_int(run, i, places) : value_float(round_real(d, places));
    double unit = pow(10, (double)places), scaled = d * unit;
    return value_float(((text_is(method, "ceil") ? ceil(scaled) : floor(scaled)) + 0.0) /
                       unit); /* no -0: Python's are integers */
}

const struct jinja_builtin jinja_number_filters[] = {
    {"abs", "", filter_abs},
    {"int", "default? base?", filter_int},
    {"float", "default?", filter_float},
    {"round", "precision? method?", filter_round},
    {NULL, NULL, NULL},
};
