/* Walking a parsed template: scopes, expressions, statements, calls. What a failure leaves behind is in the
 * run. */
#ifndef VARGPT_ENGINE_TEXT_JINJA_EVAL_H
#define VARGPT_ENGINE_TEXT_JINJA_EVAL_H

#include "engine/text/jinja_ast.h"

/* The names of one block, loop round or macro call; a name that is not here is looked for in the parent. */
struct jinja_binding {
    const struct jinja_text *name; /* interned; NULL: the input of EXPR_INPUT */
    struct jinja_value value;
};
struct jinja_scope {
    struct jinja_scope *parent;
    struct jinja_binding *at; /* [count] */
    size_t count, capacity;
};

struct jinja_scope *scope_new(struct jinja_run *, struct jinja_scope *parent);
void scope_set(struct jinja_run *, struct jinja_scope *, const struct jinja_text *name, struct jinja_value);

struct jinja_macro {
    const struct jinja_macro_def *def;
    struct jinja_scope
        *scope; /* where it was defined: its free names are looked up there when it is called */
};

struct jinja_loop {
    const struct jinja_list *items;
    size_t index;                  /* from 0 */
    int depth;                     /* from 0: loops within a recursive loop */
    struct jinja_value changed;    /* what loop.changed was last given */
    const struct jinja_stmt *stmt; /* the loop, for loop(...) of a recursive one */
    struct jinja_scope *scope;     /* around it */
};

size_t loop_length(struct jinja_run *, const struct jinja_loop *);
/* loop.NAME; undefined when there is no such attribute. */
struct jinja_value loop_attribute(struct jinja_run *, struct jinja_value loop, const struct jinja_text *name);
/* loop(items) of a recursive loop: the body's text for these items. */
struct jinja_value loop_recurse(struct jinja_run *, const struct jinja_loop *, struct jinja_value items);

/* Arguments of a call, evaluated. */
struct jinja_named {
    const struct jinja_text *name;
    struct jinja_value value;
};
struct jinja_call {
    const struct jinja_value *at; /* [count] */
    size_t count;
    const struct jinja_named *named; /* [n_named] */
    size_t n_named;
};

/* The failure that using an undefined value is. */
void fail_undefined(struct jinja_run *, struct jinja_value);

struct jinja_value eval_expr(struct jinja_run *, struct jinja_scope *, const struct jinja_expr *);
struct jinja_value call_value(struct jinja_run *, struct jinja_value callee, const struct jinja_call *);
struct jinja_value macro_call(struct jinja_run *, const struct jinja_macro *, const struct jinja_call *);
/* Arguments of a call as written, evaluated; `extra` (with a name) is put behind the named ones, NULL if
 * none. */
struct jinja_call eval_arguments(struct jinja_run *, struct jinja_scope *, const struct jinja_arguments *,
                                 const struct jinja_named *extra);

enum jinja_flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };
enum jinja_flow render_statements(struct jinja_run *, struct jinja_scope *, const struct jinja_stmt *first,
                                  struct jinja_builder *out);

/* Operators, and reading parts of values (jinja_operators.c). */
struct jinja_value operate(struct jinja_run *, enum jinja_operator, struct jinja_value, struct jinja_value);
struct jinja_value operate_sign(struct jinja_run *, bool negate, struct jinja_value);
bool operate_compare(struct jinja_run *, enum jinja_operator, struct jinja_value, struct jinja_value);
struct jinja_value value_attribute(struct jinja_run *, struct jinja_value,
                                   const struct jinja_text *name);                             /* v.name */
struct jinja_value value_item(struct jinja_run *, struct jinja_value, struct jinja_value key); /* v[key] */
/* v[from:to:step]; each bound an integer or none. */
struct jinja_value value_slice(struct jinja_run *, struct jinja_value, struct jinja_value from,
                               struct jinja_value to, struct jinja_value step);

#endif
