/* A parsed template: statements and expressions. Made by jinja_parse, walked by jinja_eval; never changed in
 * between. Names are interned: the same name is the same pointer throughout one template. */
#ifndef VARGPT_ENGINE_TEXT_JINJA_AST_H
#define VARGPT_ENGINE_TEXT_JINJA_AST_H

#include "engine/text/jinja_value.h"

struct jinja_builtin;

enum jinja_operator {
    OP_ADD,
    OP_SUBTRACT,
    OP_MULTIPLY,
    OP_DIVIDE,
    OP_FLOOR_DIVIDE,
    OP_MODULO,
    OP_POWER,
    OP_EQUAL,
    OP_NOT_EQUAL,
    OP_LESS,
    OP_LESS_EQUAL,
    OP_GREATER,
    OP_GREATER_EQUAL,
    OP_IN,
    OP_NOT_IN,
};

enum jinja_expr_kind {
    EXPR_CONSTANT,  /* constant */
    EXPR_NAME,      /* name */
    EXPR_INPUT,     /* the text of the block that a {% filter %} or {% set %} filters */
    EXPR_LIST,      /* items */
    EXPR_TUPLE,     /* items */
    EXPR_DICT,      /* items: key, value, key, value, ... */
    EXPR_NOT,       /* a */
    EXPR_NEGATE,    /* a */
    EXPR_PLUS,      /* a */
    EXPR_AND,       /* a, b */
    EXPR_OR,        /* a, b */
    EXPR_BINARY,    /* a op b */
    EXPR_CONCAT,    /* items */
    EXPR_COMPARE,   /* a, then items of EXPR_OPERAND */
    EXPR_OPERAND,   /* op a: one link of a comparison */
    EXPR_CONDITION, /* b if a else c (NULL: undefined) */
    EXPR_ATTRIBUTE, /* a.name; as a target: namespace attribute, a is an EXPR_NAME */
    EXPR_ITEM,      /* a[b] */
    EXPR_SLICE,     /* a[b:c:d], b, c and d may be NULL */
    EXPR_CALL,      /* a(arguments) */
    EXPR_FILTER,    /* a | name(arguments) */
    EXPR_TEST,      /* a is name(arguments) */
};

struct jinja_exprs {
    struct jinja_expr **at; /* [count] */
    size_t count, capacity;
};

struct jinja_arguments {
    struct jinja_exprs positional;
    struct jinja_exprs named;            /* the values of keyword arguments ... */
    const struct jinja_text **name;      /* [named.count] ... and their names */
    struct jinja_expr *star, *star_star; /* *list, **dict; NULL if not given */
};

struct jinja_expr {
    enum jinja_expr_kind kind;
    enum jinja_operator op;
    int line;
    struct jinja_value constant;
    const struct jinja_text *name;
    struct jinja_expr *a, *b, *c, *d;
    struct jinja_exprs items;
    struct jinja_arguments *arguments;   /* of calls, filters and tests */
    const struct jinja_builtin *builtin; /* of filters and tests; NULL: unknown, fails when it is reached */
};

enum jinja_stmt_kind {
    STMT_TEXT,      /* text */
    STMT_OUTPUT,    /* expr */
    STMT_IF,        /* expr, body, otherwise (an elif is a STMT_IF there) */
    STMT_FOR,       /* target in expr if test: body, else: otherwise */
    STMT_SET,       /* target = expr */
    STMT_SET_BLOCK, /* target = body, through the filters of expr unless NULL */
    STMT_FILTER,    /* body through the filters of expr */
    STMT_MACRO,     /* macro */
    STMT_CALL,      /* expr called with macro as its caller */
    STMT_WITH,      /* targets = values (expr's items alternate), body */
    STMT_SCOPE,     /* body, with names of its own: {% block %}, {% generation %} */
    STMT_BREAK,
    STMT_CONTINUE,
};

struct jinja_macro_def {
    const struct jinja_text *name;   /* NULL for the body of a {% call %} */
    const struct jinja_text **param; /* [n_params] */
    struct jinja_exprs defaults;     /* of the last parameters */
    size_t n_params;
    struct jinja_stmt *body;
    /* The special names, where the body uses them; else NULL. */
    const struct jinja_text *caller, *varargs, *kwargs;
};

struct jinja_stmt {
    enum jinja_stmt_kind kind;
    int line;
    bool recursive; /* for loops */
    bool elif;      /* otherwise is one STMT_IF: the next branch */
    const struct jinja_text
        *text; /* STMT_TEXT; loops, calls: the interned names "loop" and "caller", NULL if not used */
    struct jinja_expr *expr, *target, *test;
    struct jinja_stmt *body, *otherwise, *next;
    struct jinja_macro_def *macro;
};

struct jinja_names {
    const struct jinja_text **at; /* [count] */
    size_t count, capacity;
};

struct jinja_template {
    struct jinja_stmt *body;
    struct jinja_names names;
};

#endif
