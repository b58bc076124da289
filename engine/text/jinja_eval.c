#include "engine/text/jinja_eval.h"

#include "engine/text/jinja_print.h"

struct jinja_scope *scope_new(struct jinja_run *run, struct jinja_scope *parent)
{
    struct jinja_scope *scope = run_alloc(run, 1, sizeof *scope);
    if (scope)
        *scope = (struct jinja_scope){.parent = parent};
    return scope;
}

void scope_set(struct jinja_run *run, struct jinja_scope *scope, const struct jinja_text *name,
               struct jinja_value v)
{
    if (run->failed || !run_work(run, 1 + scope->count / 8))
        return;
    for (size_t i = 0; i < scope->count; i++)
        if (scope->at[i].name == name) {
            scope->at[i].value = v;
            return;
        }
    if (scope->count == scope->capacity) {
        size_t capacity = scope->capacity ? scope->capacity * 2 : 4;
        struct jinja_binding *at = run_grow(run, scope->at, scope->count, capacity, sizeof *at);
        if (!at)
            return;
        scope->at = at;
        scope->capacity = capacity;
    }
    scope->at[scope->count++] = (struct jinja_binding){name, v};
}

static void assign_attribute(struct jinja_run *run, struct jinja_scope *scope,
                             const struct jinja_expr *target, struct jinja_value v)
{
    struct jinja_value object = eval_expr(run, scope, target->a);
    if (run->failed)
        return;
    if (object.kind != JINJA_NAMESPACE)
        run_fail(run, "cannot assign attribute on non-namespace object");
    else if (target->name->bytes[0] == '_')
        run_fail(run, "cannot store the attribute '%.*s' on a namespace", (int)target->name->length,
                 target->name->bytes);
    else
        dict_set(run, object.dict, value_text(target->name), v);
}

static void assign(struct jinja_run *run, struct jinja_scope *scope, const struct jinja_expr *target,
                   struct jinja_value v)
{
    if (target->kind == EXPR_NAME) {
        scope_set(run, scope, target->name, v);
        return;
    }
    if (target->kind == EXPR_ATTRIBUTE) {
        assign_attribute(run, scope, target, v);
        return;
    }
    if (v.kind == JINJA_UNDEFINED) {
        fail_undefined(run, v);
        return;
    }
    const struct jinja_list *items = value_items(run, v);
    if (!items)
        return;
    size_t wanted = target->items.count;
    if (items->count != wanted) {
        run_fail(run, "%s values to unpack (expected %zu, got %zu)",
                 items->count < wanted ? "not enough" : "too many", wanted, items->count);
        return;
    }
    for (size_t i = 0; i < wanted; i++)
        assign(run, scope, target->items.at[i], items->at[i]);
}

/* Renders into a string of its own. */
static struct jinja_value render_text(struct jinja_run *run, struct jinja_scope *scope,
                                      const struct jinja_stmt *body)
{
    struct jinja_builder b;
    builder_init(&b, run);
    if (!scope)
        return value_nothing();
    render_statements(run, scope, body, &b);
    return value_text(builder_text(&b));
}

static struct jinja_value filter_text(struct jinja_run *run, struct jinja_scope *scope,
                                      const struct jinja_expr *filters, struct jinja_value text)
{
    struct jinja_scope *inner = scope_new(run, scope);
    if (!inner)
        return value_nothing();
    scope_set(run, inner, NULL, text);
    return eval_expr(run, inner, filters);
}

/* The items that the loop's own `if` lets through. */
static const struct jinja_list *filter_items(struct jinja_run *run, struct jinja_scope *scope,
                                             const struct jinja_stmt *s, const struct jinja_list *items)
{
    struct jinja_list *kept = list_new(run, 0);
    for (size_t i = 0; items && i < items->count && !run->failed; i++) {
        struct jinja_scope *inner = scope_new(run, scope);
        if (!inner)
            return NULL;
        assign(run, inner, s->target, items->at[i]);
        if (value_truth(eval_expr(run, inner, s->test)))
            list_add(run, kept, items->at[i]);
    }
    return run->failed ? NULL : kept;
}

/* Returns whether any round ran to its end. */
static bool render_rounds(struct jinja_run *run, struct jinja_loop *loop, const struct jinja_text *loop_name,
                          struct jinja_builder *out)
{
    const struct jinja_stmt *s = loop->stmt;
    bool complete = false;
    for (loop->index = 0; loop->index < loop->items->count && run_work(run, 1); loop->index++) {
        struct jinja_scope *inner = scope_new(run, loop->scope);
        if (!inner)
            break;
        if (loop_name)
            scope_set(run, inner, loop_name, (struct jinja_value){.kind = JINJA_LOOP, .loop = loop});
        assign(run, inner, s->target, loop->items->at[loop->index]);
        enum jinja_flow flow = run->failed ? FLOW_BREAK : render_statements(run, inner, s->body, out);
        complete = complete || flow == FLOW_ON;
        if (flow == FLOW_BREAK)
            break;
    }
    return complete;
}

/* A for loop over these items. A break or continue within its else belongs to the loop around it. */
static enum jinja_flow render_loop(struct jinja_run *run, struct jinja_scope *scope,
                                   const struct jinja_stmt *s, struct jinja_value iterable, int depth,
                                   struct jinja_builder *out)
{
    const struct jinja_list *items = value_items(run, iterable);
    if (items && s->test)
        items = filter_items(run, scope, s, items);
    struct jinja_loop *loop = run_alloc(run, 1, sizeof *loop);
    if (!items || !loop)
        return FLOW_ON;
    *loop = (struct jinja_loop){.items = items, .depth = depth, .stmt = s, .scope = scope};
    loop->changed = value_missing();
    /* Jinja comes to the else also when every round was cut short by break or continue */
    bool complete = render_rounds(run, loop, s->text, out);
    if (run->failed || complete)
        return FLOW_ON;
    struct jinja_scope *inner = s->otherwise ? scope_new(run, scope) : NULL;
    return inner ? render_statements(run, inner, s->otherwise, out) : FLOW_ON;
}

struct jinja_value loop_recurse(struct jinja_run *run, const struct jinja_loop *loop,
                                struct jinja_value items)
{
    struct jinja_builder b;
    if (!loop->stmt->recursive) {
        run_fail(run, "the loop must have the 'recursive' marker to be called recursively");
        return value_nothing();
    }
    builder_init(&b, run);
    render_loop(run, loop->scope, loop->stmt, items, loop->depth + 1, &b);
    return value_text(builder_text(&b));
}

size_t loop_length(struct jinja_run *run, const struct jinja_loop *loop)
{
    (void)run;
    return loop->items->count;
}

static struct jinja_value neighbour(struct jinja_run *run, const struct jinja_loop *loop, bool next)
{
    if (next ? loop->index + 1 < loop->items->count : loop->index > 0)
        return loop->items->at[next ? loop->index + 1 : loop->index - 1];
    return value_undefined(run, "there is no %s item", next ? "next" : "previous");
}

struct jinja_value loop_attribute(struct jinja_run *run, struct jinja_value v, const struct jinja_text *name)
{
    const struct jinja_loop *loop = v.loop;
    size_t n = loop->items->count;
    if (text_is(name, "index"))
        return value_int((int64_t)loop->index + 1);
    if (text_is(name, "index0"))
        return value_int((int64_t)loop->index);
    if (text_is(name, "revindex"))
        return value_int((int64_t)(n - loop->index));
    if (text_is(name, "revindex0"))
        return value_int((int64_t)(n - loop->index) - 1);
    if (text_is(name, "first"))
        return value_bool(loop->index == 0);
    if (text_is(name, "last"))
        return value_bool(loop->index + 1 >= n);
    if (text_is(name, "length"))
        return value_int((int64_t)n);
    if (text_is(name, "depth"))
        return value_int(loop->depth + 1);
    if (text_is(name, "depth0"))
        return value_int(loop->depth);
    if (text_is(name, "previtem"))
        return neighbour(run, loop, false);
    if (text_is(name, "nextitem"))
        return neighbour(run, loop, true);
    return value_undefined(run, "'LoopContext' has no attribute '%.*s'", (int)name->length, name->bytes);
}

static struct jinja_value make_macro(struct jinja_run *run, struct jinja_scope *scope,
                                     const struct jinja_macro_def *def)
{
    struct jinja_macro *macro = run_alloc(run, 1, sizeof *macro);
    if (!macro)
        return value_nothing();
    *macro = (struct jinja_macro){def, scope};
    return (struct jinja_value){.kind = JINJA_MACRO, .macro = macro};
}

static void render_call_block(struct jinja_run *run, struct jinja_scope *scope, const struct jinja_stmt *s,
                              struct jinja_builder *out)
{
    struct jinja_named caller = {s->text, make_macro(run, scope, s->macro)};
    struct jinja_value callee = eval_expr(run, scope, s->expr->a);
    struct jinja_call call = eval_arguments(run, scope, s->expr->arguments, &caller);
    if (!run->failed)
        print_value(out, call_value(run, callee, &call));
}

static void render_with(struct jinja_run *run, struct jinja_scope *scope, const struct jinja_stmt *s,
                        struct jinja_builder *out)
{
    struct jinja_scope *inner = scope_new(run, scope);
    for (size_t i = 0; inner && i + 1 < s->expr->items.count && !run->failed; i += 2)
        assign(run, inner, s->expr->items.at[i], eval_expr(run, scope, s->expr->items.at[i + 1]));
    if (inner)
        render_statements(run, inner, s->body, out);
}

static enum jinja_flow render_if(struct jinja_run *run, struct jinja_scope *scope, const struct jinja_stmt *s,
                                 struct jinja_builder *out)
{
    for (;;) {
        run->line = s->line;
        if (value_truth(eval_expr(run, scope, s->expr)))
            return render_statements(run, scope, s->body, out);
        if (run->failed || !s->otherwise)
            return FLOW_ON;
        if (!s->elif)
            return render_statements(run, scope, s->otherwise, out);
        s = s->otherwise;
    }
}

static enum jinja_flow render_statement(struct jinja_run *run, struct jinja_scope *scope,
                                        const struct jinja_stmt *s, struct jinja_builder *out)
{
    struct jinja_value v;
    switch (s->kind) {
    case STMT_TEXT: builder_add_text(out, s->text); break;
    case STMT_OUTPUT: print_value(out, eval_expr(run, scope, s->expr)); break;
    case STMT_IF: return render_if(run, scope, s, out);
    case STMT_FOR: return render_loop(run, scope, s, eval_expr(run, scope, s->expr), 0, out);
    case STMT_SET: assign(run, scope, s->target, eval_expr(run, scope, s->expr)); break;
    case STMT_SET_BLOCK:
        v = render_text(run, scope_new(run, scope), s->body);
        assign(run, scope, s->target, s->expr ? filter_text(run, scope, s->expr, v) : v);
        break;
    case STMT_FILTER:
        v = render_text(run, scope_new(run, scope), s->body);
        print_value(out, filter_text(run, scope, s->expr, v));
        break;
    case STMT_MACRO: scope_set(run, scope, s->macro->name, make_macro(run, scope, s->macro)); break;
    case STMT_CALL: render_call_block(run, scope, s, out); break;
    case STMT_WITH: render_with(run, scope, s, out); break;
    case STMT_SCOPE: {
        struct jinja_scope *inner = scope_new(run, scope);
        return inner ? render_statements(run, inner, s->body, out) : FLOW_ON;
    }
    case STMT_BREAK: return FLOW_BREAK;
    case STMT_CONTINUE: return FLOW_CONTINUE;
    }
    return FLOW_ON;
}

enum jinja_flow render_statements(struct jinja_run *run, struct jinja_scope *scope,
                                  const struct jinja_stmt *first, struct jinja_builder *out)
{
    enum jinja_flow flow = FLOW_ON;
    if (!run_enter(run))
        return FLOW_ON;
    for (const struct jinja_stmt *s = first; s && flow == FLOW_ON && run_work(run, 1); s = s->next) {
        run->line = s->line;
        flow = render_statement(run, scope, s, out);
    }
    run_leave(run);
    return flow;
}

/* ---- macro calls ---- */

struct macro_call_state {
    struct jinja_run *run;
    const struct jinja_macro_def *def;
    const struct jinja_call *call;
    bool *taken; /* [call->n_named] */
};

static bool take_named(struct macro_call_state *st, const char *spelt, const struct jinja_text *name,
                       struct jinja_value *v)
{
    for (size_t i = 0; i < st->call->n_named; i++) {
        const struct jinja_text *given = st->call->named[i].name;
        if (st->taken[i] || !(name ? text_equal(given, name) : text_is(given, spelt)))
            continue;
        st->taken[i] = true;
        *v = st->call->named[i].value;
        return true;
    }
    return false;
}

static bool has_parameter(const struct jinja_macro_def *def, const char *name)
{
    for (size_t i = 0; i < def->n_params; i++)
        if (text_is(def->param[i], name))
            return true;
    return false;
}

/* Parameters in order: given by position, by name, or by default, which may use the ones before it. */
static void bind_parameters(struct macro_call_state *st, struct jinja_scope *scope)
{
    const struct jinja_macro_def *def = st->def;
    size_t first_default = def->n_params - def->defaults.count;
    for (size_t i = 0; i < def->n_params && !st->run->failed; i++) {
        const struct jinja_text *name = def->param[i];
        struct jinja_value v;
        if (i < st->call->count)
            v = st->call->at[i];
        else if (!take_named(st, NULL, name, &v))
            v = i < first_default ? value_undefined(st->run, "parameter '%.*s' was not provided",
                                                    (int)name->length, name->bytes)
                                  : eval_expr(st->run, scope, def->defaults.at[i - first_default]);
        scope_set(st->run, scope, name, v);
    }
}

static struct jinja_value rest_of_positional(struct macro_call_state *st)
{
    struct jinja_list *rest = list_new(st->run, 0);
    for (size_t i = st->def->n_params; rest && i < st->call->count; i++)
        list_add(st->run, rest, st->call->at[i]);
    return rest ? value_tuple(rest) : value_nothing();
}

static struct jinja_value rest_of_named(struct macro_call_state *st)
{
    struct jinja_dict *rest = dict_new(st->run);
    for (size_t i = 0; i < st->call->n_named; i++)
        if (!st->taken[i]) {
            st->taken[i] = true;
            dict_set(st->run, rest, value_text(st->call->named[i].name), st->call->named[i].value);
        }
    return rest ? value_dict(rest) : value_nothing();
}

/* The special names, where the body uses them; then whatever was given must have been taken. */
static void bind_specials(struct macro_call_state *st, struct jinja_scope *scope)
{
    const struct jinja_macro_def *def = st->def;
    struct jinja_run *run = st->run;
    if (def->caller && !has_parameter(def, "caller")) {
        struct jinja_value caller;
        if (!take_named(st, "caller", NULL, &caller))
            caller = value_undefined(run, "no caller defined");
        scope_set(run, scope, def->caller, caller);
    }
    if (def->kwargs)
        scope_set(run, scope, def->kwargs, rest_of_named(st));
    if (def->varargs)
        scope_set(run, scope, def->varargs, rest_of_positional(st));
    else if (st->call->count > def->n_params)
        run_fail(run, "macro takes not more than %zu argument(s)", def->n_params);
    for (size_t i = 0; i < st->call->n_named; i++)
        if (!st->taken[i])
            run_fail(run, "macro takes no keyword argument '%.*s'", (int)st->call->named[i].name->length,
                     st->call->named[i].name->bytes);
}

struct jinja_value macro_call(struct jinja_run *run, const struct jinja_macro *macro,
                              const struct jinja_call *call)
{
    struct macro_call_state st = {.run = run, .def = macro->def, .call = call};
    struct jinja_scope *scope = scope_new(run, macro->scope);
    int line = run->line;
    st.taken = run_alloc(run, call->n_named + 1, sizeof *st.taken);
    if (!scope || !st.taken || !run_enter(run))
        return value_nothing();
    for (size_t i = 0; i < call->n_named; i++)
        st.taken[i] = false;
    bind_parameters(&st, scope);
    bind_specials(&st, scope);
    struct jinja_value text = run->failed ? value_nothing() : render_text(run, scope, macro->def->body);
    run_leave(run);
    run->line = line;
    return text;
}
