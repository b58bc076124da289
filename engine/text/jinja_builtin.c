#include "engine/text/jinja_builtin.h"

#include <string.h>

static const struct jinja_builtin *find(const struct jinja_builtin *table, const struct jinja_text *name)
{
    for (; table->name; table++)
        if (text_is(name, table->name))
            return table;
    return NULL;
}

const struct jinja_builtin *builtin_filter(const struct jinja_text *name)
{
    const struct jinja_builtin *const tables[] = {jinja_text_filters, jinja_list_filters,
                                                  jinja_select_filters, jinja_sort_filters,
                                                  jinja_number_filters};
    const struct jinja_builtin *found = NULL;
    for (size_t i = 0; !found && i < sizeof tables / sizeof *tables; i++)
        found = find(tables[i], name);
    return found;
}

const struct jinja_builtin *builtin_test(const struct jinja_text *name)
{
    return find(jinja_tests, name);
}

const struct jinja_builtin *builtin_global(const struct jinja_text *name)
{
    return find(jinja_globals, name);
}

const struct jinja_builtin *builtin_method(struct jinja_value self, const struct jinja_text *name)
{
    switch (self.kind) {
    case JINJA_STRING: return find(jinja_text_methods, name);
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE: return find(jinja_list_methods, name);
    case JINJA_DICT: return find(jinja_dict_methods, name);
    case JINJA_LOOP: return find(jinja_loop_methods, name);
    default: return NULL;
    }
}

struct jinja_value builtin_bind(struct jinja_run *run, struct jinja_value self,
                                const struct jinja_builtin *builtin)
{
    struct jinja_method *method = run_alloc(run, 1, sizeof *method);
    if (!method)
        return value_nothing();
    *method = (struct jinja_method){self, builtin};
    return (struct jinja_value){.kind = JINJA_METHOD, .method = method};
}

/* The parameter at `params` (its length without the ?), and where the next one begins. */
static size_t param_length(const char *params, bool *optional, const char **next)
{
    size_t n = strcspn(params, " "), length = n;
    *next = params + n + (params[n] == ' ');
    *optional = n && params[n - 1] == '?';
    return length - *optional;
}

static bool fits_name(const struct jinja_text *name, const char *param, size_t n)
{
    return name->length == n && memcmp(name->bytes, param, n) == 0;
}

static bool bind_named(const struct jinja_builtin *builtin, const struct jinja_named *named,
                       struct jinja_given *given)
{
    bool optional;
    const char *next;
    size_t i = 0;
    for (const char *param = builtin->params; *param; param = next, i++) {
        size_t n = param_length(param, &optional, &next);
        if (!fits_name(named->name, param, n))
            continue;
        if (value_given(given->arg[i]))
            return false;
        given->arg[i] = named->value;
        return true;
    }
    return false;
}

static void bind(struct jinja_run *run, const struct jinja_builtin *builtin, const struct jinja_call *call,
                 struct jinja_given *given)
{
    bool optional;
    const char *next;
    size_t i = 0;
    for (const char *param = builtin->params; *param; param = next, i++) {
        param_length(param, &optional, &next);
        given->arg[i] = i < call->count ? call->at[i] : value_missing();
    }
    if (call->count > i)
        run_fail(run, "%s() takes at most %zu arguments", builtin->name, i);
    for (size_t k = 0; k < call->n_named && !run->failed; k++)
        if (!bind_named(builtin, &call->named[k], given))
            run_fail(run, "%s() got an unexpected keyword argument '%.*s'", builtin->name,
                     (int)call->named[k].name->length, call->named[k].name->bytes);
    i = 0;
    for (const char *param = builtin->params; *param; param = next, i++) {
        size_t n = param_length(param, &optional, &next);
        if (!optional && !value_given(given->arg[i]))
            run_fail(run, "%s() misses its argument '%.*s'", builtin->name, (int)n, param);
    }
}

struct jinja_value builtin_call(struct jinja_run *run, const struct jinja_builtin *builtin,
                                struct jinja_value self, const struct jinja_call *call)
{
    struct jinja_given given = {.self = self, .call = call};
    if (!run_work(run, 1) || !run_enter(run))
        return value_nothing();
    if (builtin->params[0] != '*')
        bind(run, builtin, call, &given);
    struct jinja_value v = run->failed ? value_nothing() : builtin->apply(run, &given);
    run_leave(run);
    return run->failed ? value_nothing() : v;
}

bool arg_bool(struct jinja_value v, bool otherwise)
{
    return value_given(v) ? value_truth(v) : otherwise;
}

int64_t arg_int(struct jinja_run *run, struct jinja_value v, int64_t otherwise)
{
    int64_t i = otherwise;
    if (v.kind == JINJA_UNDEFINED)
        fail_undefined(run, v);
    else if (value_given(v) && !value_as_int(v, &i))
        run_fail(run, "'%s' object cannot be interpreted as an integer", value_type(v));
    return i;
}

const struct jinja_text *arg_text(struct jinja_run *run, struct jinja_value v)
{
    if (v.kind == JINJA_STRING)
        return v.text;
    if (v.kind == JINJA_UNDEFINED)
        fail_undefined(run, v);
    else if (value_given(v))
        run_fail(run, "expected a string, not '%s'", value_type(v));
    return &jinja_text_empty;
}
