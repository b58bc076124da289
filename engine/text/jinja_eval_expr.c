#include "engine/text/jinja_builtin.h"
#include "engine/text/jinja_print.h"

void fail_undefined(struct jinja_run *run, struct jinja_value v)
{
    if (v.kind == JINJA_UNDEFINED && v.text)
        run_fail(run, "%.*s", (int)v.text->length, v.text->bytes);
    else
        run_fail(run, "an undefined value was used");
}

static struct jinja_value lookup(struct jinja_run *run, const struct jinja_scope *scope,
                                 const struct jinja_text *name)
{
    for (; scope; scope = scope->parent) {
        if (!run_work(run, 1 + scope->count / 8))
            return value_nothing();
        for (size_t i = 0; i < scope->count; i++)
            if (scope->at[i].name == name)
                return scope->at[i].value;
    }
    if (!name)
        return value_nothing();
    const struct jinja_builtin *global = builtin_global(name);
    if (global)
        return (struct jinja_value){.kind = JINJA_FUNCTION, .function = global};
    return value_undefined(run, "'%.*s' is undefined", (int)name->length, name->bytes);
}

static struct jinja_list *eval_items(struct jinja_run *run, struct jinja_scope *scope,
                                     const struct jinja_exprs *exprs)
{
    struct jinja_list *list = list_new(run, exprs->count);
    for (size_t i = 0; i < exprs->count && !run->failed; i++)
        list_add(run, list, eval_expr(run, scope, exprs->at[i]));
    return run->failed ? NULL : list;
}

static struct jinja_value eval_dict(struct jinja_run *run, struct jinja_scope *scope,
                                    const struct jinja_exprs *exprs)
{
    struct jinja_dict *dict = dict_new(run);
    for (size_t i = 0; i + 1 < exprs->count && !run->failed; i += 2) {
        struct jinja_value key = eval_expr(run, scope, exprs->at[i]);
        dict_set(run, dict, key, eval_expr(run, scope, exprs->at[i + 1]));
    }
    return dict ? value_dict(dict) : value_nothing();
}

static struct jinja_value eval_concat(struct jinja_run *run, struct jinja_scope *scope,
                                      const struct jinja_exprs *exprs)
{
    struct jinja_builder b;
    builder_init(&b, run);
    for (size_t i = 0; i < exprs->count && !run->failed; i++)
        print_value(&b, eval_expr(run, scope, exprs->at[i]));
    return value_text(builder_text(&b));
}

/* a < b <= c: each value once, and none after the first link that does not hold. */
static struct jinja_value eval_compare(struct jinja_run *run, struct jinja_scope *scope,
                                       const struct jinja_expr *e)
{
    struct jinja_value left = eval_expr(run, scope, e->a);
    for (size_t i = 0; i < e->items.count && !run->failed; i++) {
        const struct jinja_expr *link = e->items.at[i];
        struct jinja_value right = eval_expr(run, scope, link->a);
        if (run->failed || !operate_compare(run, link->op, left, right))
            return value_bool(false);
        left = right;
    }
    return value_bool(true);
}

static struct jinja_value eval_slice(struct jinja_run *run, struct jinja_scope *scope,
                                     const struct jinja_expr *e)
{
    struct jinja_value v = eval_expr(run, scope, e->a);
    struct jinja_value from = e->b ? eval_expr(run, scope, e->b) : value_none();
    struct jinja_value to = e->c ? eval_expr(run, scope, e->c) : value_none();
    struct jinja_value step = e->d ? eval_expr(run, scope, e->d) : value_none();
    return run->failed ? value_nothing() : value_slice(run, v, from, to, step);
}

static void add_star(struct jinja_run *run, struct jinja_scope *scope, const struct jinja_expr *star,
                     struct jinja_list *list)
{
    struct jinja_value v = eval_expr(run, scope, star), item;
    struct jinja_cursor cursor = cursor_open(run, v);
    while (cursor_next(run, &cursor, &item))
        list_add(run, list, item);
}

static size_t add_star_star(struct jinja_run *run, struct jinja_value v, struct jinja_named *named, size_t n)
{
    for (size_t i = 0; i < v.dict->count; i++) {
        if (v.dict->at[i].key.kind != JINJA_STRING) {
            run_fail(run, "keywords must be strings");
            return n;
        }
        named[n++] = (struct jinja_named){v.dict->at[i].key.text, v.dict->at[i].value};
    }
    return n;
}

struct jinja_call eval_arguments(struct jinja_run *run, struct jinja_scope *scope,
                                 const struct jinja_arguments *args, const struct jinja_named *extra)
{
    struct jinja_call call = {0};
    struct jinja_list *list = eval_items(run, scope, &args->positional);
    if (list && args->star)
        add_star(run, scope, args->star, list);
    struct jinja_value more = args->star_star ? eval_expr(run, scope, args->star_star) : value_missing();
    if (args->star_star && more.kind != JINJA_DICT)
        run_fail(run, "argument after ** must be a mapping, not %s", value_type(more));
    if (run->failed)
        return call;
    size_t n = args->named.count + (args->star_star ? more.dict->count : 0) + (extra != NULL);
    struct jinja_named *named = n ? run_alloc(run, n, sizeof *named) : NULL;
    if (!list || (n && !named))
        return call;
    size_t at = 0;
    for (; at < args->named.count; at++)
        named[at] = (struct jinja_named){args->name[at], eval_expr(run, scope, args->named.at[at])};
    if (args->star_star)
        at = add_star_star(run, more, named, at);
    if (extra)
        named[at++] = *extra;
    return (struct jinja_call){list->at, list->count, named, at};
}

struct jinja_value call_value(struct jinja_run *run, struct jinja_value callee, const struct jinja_call *call)
{
    if (!run_work(run, 1))
        return value_nothing();
    switch (callee.kind) {
    case JINJA_UNDEFINED: fail_undefined(run, callee); return value_nothing();
    case JINJA_MACRO: return macro_call(run, callee.macro, call);
    case JINJA_FUNCTION: return builtin_call(run, callee.function, value_missing(), call);
    case JINJA_METHOD: return builtin_call(run, callee.method->builtin, callee.method->self, call);
    case JINJA_LOOP:
        if (call->count == 1 && !call->n_named)
            return loop_recurse(run, callee.loop, call->at[0]);
        run_fail(run, "a loop takes exactly one argument");
        return value_nothing();
    default: run_fail(run, "'%s' object is not callable", value_type(callee)); return value_nothing();
    }
}

static struct jinja_value eval_call(struct jinja_run *run, struct jinja_scope *scope,
                                    const struct jinja_expr *e)
{
    struct jinja_value callee = eval_expr(run, scope, e->a);
    struct jinja_call call = eval_arguments(run, scope, e->arguments, NULL);
    run->line = e->line;
    return run->failed ? value_nothing() : call_value(run, callee, &call);
}

static struct jinja_value eval_builtin(struct jinja_run *run, struct jinja_scope *scope,
                                       const struct jinja_expr *e)
{
    struct jinja_value self = eval_expr(run, scope, e->a);
    if (!e->builtin) {
        run_fail(run, "no %s named '%.*s'", e->kind == EXPR_FILTER ? "filter" : "test", (int)e->name->length,
                 e->name->bytes);
        return value_nothing();
    }
    struct jinja_call call = eval_arguments(run, scope, e->arguments, NULL);
    return run->failed ? value_nothing() : builtin_call(run, e->builtin, self, &call);
}

static struct jinja_value eval_condition(struct jinja_run *run, struct jinja_scope *scope,
                                         const struct jinja_expr *e)
{
    bool holds = value_truth(eval_expr(run, scope, e->a));
    if (run->failed)
        return value_nothing();
    if (holds)
        return eval_expr(run, scope, e->b);
    if (e->c)
        return eval_expr(run, scope, e->c);
    return value_undefined(run,
                           "the inline if-expression evaluated to false and no else section was defined");
}

static struct jinja_value eval_binary(struct jinja_run *run, struct jinja_scope *scope,
                                      const struct jinja_expr *e)
{
    struct jinja_value a = eval_expr(run, scope, e->a);
    if (run->failed)
        return a;
    if (e->kind == EXPR_AND)
        return value_truth(a) ? eval_expr(run, scope, e->b) : a;
    if (e->kind == EXPR_OR)
        return value_truth(a) ? a : eval_expr(run, scope, e->b);
    struct jinja_value b = eval_expr(run, scope, e->b);
    if (run->failed)
        return b;
    return e->kind == EXPR_ITEM ? value_item(run, a, b) : operate(run, e->op, a, b);
}

static struct jinja_value eval_unary(struct jinja_run *run, struct jinja_scope *scope,
                                     const struct jinja_expr *e)
{
    struct jinja_value a = eval_expr(run, scope, e->a);
    if (run->failed)
        return a;
    switch (e->kind) {
    case EXPR_NOT: return value_bool(!value_truth(a));
    case EXPR_ATTRIBUTE: return value_attribute(run, a, e->name);
    default: return operate_sign(run, e->kind == EXPR_NEGATE, a);
    }
}

static struct jinja_value eval_inside(struct jinja_run *run, struct jinja_scope *scope,
                                      const struct jinja_expr *e)
{
    const struct jinja_list *list;
    switch (e->kind) {
    case EXPR_CONSTANT: return e->constant;
    case EXPR_NAME: return lookup(run, scope, e->name);
    case EXPR_INPUT: return lookup(run, scope, NULL);
    case EXPR_LIST:
    case EXPR_TUPLE:
        list = eval_items(run, scope, &e->items);
        if (!list)
            return value_nothing();
        return e->kind == EXPR_LIST ? value_list(list) : value_tuple(list);
    case EXPR_DICT: return eval_dict(run, scope, &e->items);
    case EXPR_NOT:
    case EXPR_NEGATE:
    case EXPR_PLUS:
    case EXPR_ATTRIBUTE: return eval_unary(run, scope, e);
    case EXPR_AND:
    case EXPR_OR:
    case EXPR_BINARY:
    case EXPR_ITEM: return eval_binary(run, scope, e);
    case EXPR_CONCAT: return eval_concat(run, scope, &e->items);
    case EXPR_COMPARE: return eval_compare(run, scope, e);
    case EXPR_OPERAND: break; /* eval_compare walks them */
    case EXPR_CONDITION: return eval_condition(run, scope, e);
    case EXPR_SLICE: return eval_slice(run, scope, e);
    case EXPR_CALL: return eval_call(run, scope, e);
    case EXPR_FILTER:
    case EXPR_TEST: return eval_builtin(run, scope, e);
    }
    return value_nothing();
}

struct jinja_value eval_expr(struct jinja_run *run, struct jinja_scope *scope, const struct jinja_expr *e)
{
    if (!run_work(run, 1) || !run_enter(run))
        return value_nothing();
    struct jinja_value v = eval_inside(run, scope, e);
    run_leave(run);
    return run->failed ? value_nothing() : v;
}
