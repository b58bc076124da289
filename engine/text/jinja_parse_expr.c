#include "engine/text/jinja_builtin.h"
#include "engine/text/jinja_parser.h"

static struct jinja_expr *binary(struct jinja_parser *p, enum jinja_expr_kind kind, enum jinja_operator op,
                                 struct jinja_expr *a, struct jinja_expr *b)
{
    struct jinja_expr *e = parser_expr(p, kind);
    e->op = op;
    e->a = a;
    e->b = b;
    return e;
}

static struct jinja_expr *constant(struct jinja_parser *p, struct jinja_value v)
{
    struct jinja_expr *e = parser_expr(p, EXPR_CONSTANT);
    e->constant = v;
    return e;
}

static void add_named(struct jinja_parser *p, struct jinja_arguments *args)
{
    size_t n = args->named.count;
    const struct jinja_text **grown = run_grow(p->run, args->name, n, n + 1, sizeof *grown);
    const struct jinja_text *name = parser_any_name(p);
    parser_expect_operator(p, "=");
    struct jinja_expr *value = parse_expression(p);
    if (!grown || p->run->failed)
        return;
    args->name = grown;
    args->name[n] = name;
    parser_add(p, &args->named, value);
}

static void parse_argument(struct jinja_parser *p, struct jinja_arguments *args)
{
    const struct jinja_token *after = parser_look(p);
    if (parser_skip_operator(p, "*")) {
        if (args->star || args->star_star)
            parser_fail(p, "invalid syntax for function call expression");
        args->star = parse_expression(p);
    } else if (parser_skip_operator(p, "**")) {
        if (args->star_star)
            parser_fail(p, "invalid syntax for function call expression");
        args->star_star = parse_expression(p);
    } else if (parser_at(p, TOKEN_NAME, NULL) && after->kind == TOKEN_OPERATOR && text_is(after->text, "=")) {
        if (args->star_star)
            parser_fail(p, "invalid syntax for function call expression");
        add_named(p, args);
    } else {
        if (args->star || args->star_star || args->named.count)
            parser_fail(p, "invalid syntax for function call expression");
        parser_add(p, &args->positional, parse_expression(p));
    }
}

static struct jinja_arguments *no_arguments(struct jinja_parser *p)
{
    static _Thread_local struct jinja_arguments none;
    struct jinja_arguments *args = run_alloc(p->run, 1, sizeof *args);
    if (!args)
        return &none; /* the run has failed: nobody will look */
    *args = (struct jinja_arguments){0};
    return args;
}

static struct jinja_arguments *parse_arguments(struct jinja_parser *p)
{
    struct jinja_arguments *args = no_arguments(p);
    parser_expect_operator(p, "(");
    while (!p->run->failed && !parser_at_operator(p, ")")) {
        parse_argument(p, args);
        if (!parser_at_operator(p, ")"))
            parser_expect_operator(p, ",");
    }
    parser_expect_operator(p, ")");
    return args;
}

/* name, or name.name...: no filter or test of ours has a dot, but the grammar does. */
static const struct jinja_text *dotted_name(struct jinja_parser *p)
{
    const struct jinja_text *name = parser_any_name(p);
    while (name && parser_skip_operator(p, ".")) {
        const struct jinja_text *rest = parser_any_name(p);
        struct jinja_builder b;
        builder_init(&b, p->run);
        builder_add_text(&b, name);
        builder_add_literal(&b, ".");
        if (rest)
            builder_add_text(&b, rest);
        name = builder_text(&b);
    }
    return name ? name : &jinja_text_empty;
}

static void find_builtin(struct jinja_parser *p, struct jinja_expr *e, const char *what)
{
    e->builtin = e->kind == EXPR_FILTER ? builtin_filter(e->name) : builtin_test(e->name);
    if (e->builtin || p->may_lack)
        return;
    p->run->line = e->line;
    run_fail(p->run, "no %s named '%.*s'", what, (int)e->name->length, e->name->bytes);
}

struct jinja_expr *parse_filters(struct jinja_parser *p, struct jinja_expr *input, bool first)
{
    while (first || parser_skip_operator(p, "|")) {
        struct jinja_expr *e = parser_expr(p, EXPR_FILTER);
        e->a = input;
        e->name = dotted_name(p);
        e->arguments = parser_at_operator(p, "(") ? parse_arguments(p) : no_arguments(p);
        find_builtin(p, e, "filter");
        input = e;
        first = false;
    }
    return input;
}

static struct jinja_expr *parse_postfix(struct jinja_parser *p, struct jinja_expr *e);

/* Whether a test's argument can follow without brackets. */
static bool at_test_argument(const struct jinja_parser *p)
{
    const struct jinja_token *t = parser_token(p);
    if (t->kind == TOKEN_NAME)
        return !text_is(t->text, "else") && !text_is(t->text, "or") && !text_is(t->text, "and");
    return t->kind == TOKEN_STRING || t->kind == TOKEN_INTEGER || t->kind == TOKEN_FLOAT ||
           parser_at_operator(p, "[") || parser_at_operator(p, "{");
}

static struct jinja_expr *parse_test(struct jinja_parser *p, struct jinja_expr *subject)
{
    struct jinja_expr *e = parser_expr(p, EXPR_TEST);
    parser_next(p); /* is */
    bool negated = parser_skip_name(p, "not");
    e->a = subject;
    e->name = dotted_name(p);
    if (parser_at_operator(p, "(")) {
        e->arguments = parse_arguments(p);
    } else {
        e->arguments = no_arguments(p);
        if (parser_at_name(p, "is"))
            parser_fail(p, "you cannot chain multiple tests with is");
        else if (at_test_argument(p))
            parser_add(p, &e->arguments->positional, parse_postfix(p, parse_primary(p, false)));
    }
    find_builtin(p, e, "test");
    return negated ? binary(p, EXPR_NOT, 0, e, NULL) : e;
}

static struct jinja_expr *parse_call(struct jinja_parser *p, struct jinja_expr *callee)
{
    struct jinja_expr *e = parser_expr(p, EXPR_CALL);
    e->a = callee;
    e->arguments = parse_arguments(p);
    return e;
}

static struct jinja_expr *parse_attribute(struct jinja_parser *p, struct jinja_expr *subject)
{
    parser_next(p); /* . */
    const struct jinja_token *t = parser_token(p);
    if (t->kind == TOKEN_INTEGER) {
        struct jinja_expr *index = constant(p, value_int(t->integer));
        parser_next(p);
        return binary(p, EXPR_ITEM, 0, subject, index);
    }
    struct jinja_expr *e = binary(p, EXPR_ATTRIBUTE, 0, subject, NULL);
    e->name = parser_any_name(p);
    return e;
}

static bool at_slice_end(const struct jinja_parser *p)
{
    return parser_at_operator(p, "]") || parser_at_operator(p, ",") || parser_at_operator(p, ":");
}

/* One subscript; when it is a slice, an EXPR_SLICE without its subject. */
static struct jinja_expr *parse_subscript(struct jinja_parser *p)
{
    struct jinja_expr *from = NULL;
    if (!parser_at_operator(p, ":")) {
        from = parse_expression(p);
        if (!parser_at_operator(p, ":"))
            return from;
    }
    parser_next(p);
    struct jinja_expr *e = parser_expr(p, EXPR_SLICE);
    e->b = from;
    if (!at_slice_end(p))
        e->c = parse_expression(p);
    if (parser_skip_operator(p, ":") && !at_slice_end(p))
        e->d = parse_expression(p);
    return e;
}

static struct jinja_expr *parse_item(struct jinja_parser *p, struct jinja_expr *subject)
{
    parser_next(p); /* [ */
    struct jinja_expr *tuple = parser_expr(p, EXPR_TUPLE), *only = NULL;
    while (!p->run->failed && !parser_at_operator(p, "]")) {
        if (only)
            parser_expect_operator(p, ",");
        only = parse_subscript(p);
        if (only->kind == EXPR_SLICE && !only->a && (tuple->items.count || !parser_at_operator(p, "]")))
            parser_fail(p, "a slice within a tuple is not supported");
        parser_add(p, &tuple->items, only);
    }
    parser_expect_operator(p, "]");
    if (tuple->items.count == 1 && only->kind == EXPR_SLICE && !only->a) {
        only->a = subject;
        return only;
    }
    return binary(p, EXPR_ITEM, 0, subject, tuple->items.count == 1 ? only : tuple);
}

static struct jinja_expr *parse_postfix(struct jinja_parser *p, struct jinja_expr *e)
{
    for (;;) {
        if (parser_at_operator(p, "."))
            e = parse_attribute(p, e);
        else if (parser_at_operator(p, "["))
            e = parse_item(p, e);
        else if (parser_at_operator(p, "("))
            e = parse_call(p, e);
        else
            return e;
    }
}

static struct jinja_expr *parse_filters_and_tests(struct jinja_parser *p, struct jinja_expr *e)
{
    for (;;) {
        if (parser_at_operator(p, "|"))
            e = parse_filters(p, e, false);
        else if (parser_at_name(p, "is"))
            e = parse_test(p, e);
        else if (parser_at_operator(p, "("))
            e = parse_call(p, e);
        else
            return e;
    }
}

static struct jinja_expr *parse_list(struct jinja_parser *p)
{
    struct jinja_expr *e = parser_expr(p, EXPR_LIST);
    parser_expect_operator(p, "[");
    while (!p->run->failed && !parser_at_operator(p, "]")) {
        parser_add(p, &e->items, parse_expression(p));
        if (!parser_at_operator(p, "]"))
            parser_expect_operator(p, ",");
    }
    parser_expect_operator(p, "]");
    return e;
}

static struct jinja_expr *parse_dict(struct jinja_parser *p)
{
    struct jinja_expr *e = parser_expr(p, EXPR_DICT);
    parser_expect_operator(p, "{");
    while (!p->run->failed && !parser_at_operator(p, "}")) {
        parser_add(p, &e->items, parse_expression(p));
        parser_expect_operator(p, ":");
        parser_add(p, &e->items, parse_expression(p));
        if (!parser_at_operator(p, "}"))
            parser_expect_operator(p, ",");
    }
    parser_expect_operator(p, "}");
    return e;
}

/* ( expression ), ( ), ( expression, ) or ( expression, expression, ... ) */
static struct jinja_expr *parse_brackets(struct jinja_parser *p)
{
    parser_expect_operator(p, "(");
    struct jinja_expr *e =
        parser_at_operator(p, ")") ? parser_expr(p, EXPR_TUPLE) : parse_tuple(p, true, NULL);
    parser_expect_operator(p, ")");
    return e;
}

static struct jinja_expr *parse_strings(struct jinja_parser *p)
{
    struct jinja_builder b;
    builder_init(&b, p->run);
    for (; parser_at(p, TOKEN_STRING, NULL); parser_next(p))
        builder_add_text(&b, parser_token(p)->text);
    return constant(p, value_text(builder_text(&b)));
}

static void note_name(struct jinja_parser *p, const struct jinja_text *name)
{
    if (text_is(name, "caller"))
        p->caller = name;
    else if (text_is(name, "varargs"))
        p->varargs = name;
    else if (text_is(name, "kwargs"))
        p->kwargs = name;
}

static struct jinja_expr *parse_name(struct jinja_parser *p, bool namespaces)
{
    static const char *const spelt[] = {"true", "True", "false", "False", "none", "None"};
    const struct jinja_text *word = parser_token(p)->text;
    for (int i = 0; i < 6; i++)
        if (text_is(word, spelt[i])) {
            parser_next(p);
            return constant(p, i < 4 ? value_bool(i < 2) : value_none());
        }
    struct jinja_expr *e = parser_expr(p, EXPR_NAME);
    e->name = parser_any_name(p);
    if (!e->name)
        return e;
    note_name(p, e->name);
    if (!namespaces || !parser_skip_operator(p, "."))
        return e;
    struct jinja_expr *attribute = binary(p, EXPR_ATTRIBUTE, 0, e, NULL);
    attribute->name = parser_any_name(p);
    return attribute;
}

struct jinja_expr *parse_primary(struct jinja_parser *p, bool namespaces)
{
    const struct jinja_token *t = parser_token(p);
    struct jinja_expr *e;
    switch (t->kind) {
    case TOKEN_NAME: return parse_name(p, namespaces);
    case TOKEN_STRING: return parse_strings(p);
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
        e = constant(p, t->kind == TOKEN_INTEGER ? value_int(t->integer) : value_float(t->real));
        parser_next(p);
        return e;
    default: break;
    }
    if (parser_at_operator(p, "("))
        return parse_brackets(p);
    if (parser_at_operator(p, "["))
        return parse_list(p);
    if (parser_at_operator(p, "{"))
        return parse_dict(p);
    parser_unexpected(p);
    return parser_expr(p, EXPR_TUPLE);
}

static struct jinja_expr *parse_unary(struct jinja_parser *p, bool filters)
{
    struct jinja_expr *e;
    if (!run_enter(p->run))
        return parser_expr(p, EXPR_TUPLE);
    if (parser_skip_operator(p, "-"))
        e = binary(p, EXPR_NEGATE, 0, parse_unary(p, false), NULL);
    else if (parser_skip_operator(p, "+"))
        e = binary(p, EXPR_PLUS, 0, parse_unary(p, false), NULL);
    else
        e = parse_primary(p, false);
    e = parse_postfix(p, e);
    if (filters)
        e = parse_filters_and_tests(p, e);
    run_leave(p->run);
    return e;
}

static struct jinja_expr *parse_power(struct jinja_parser *p)
{
    struct jinja_expr *e = parse_unary(p, true);
    while (parser_skip_operator(p, "**"))
        e = binary(p, EXPR_BINARY, OP_POWER, e, parse_unary(p, true));
    return e;
}

static struct jinja_expr *parse_product(struct jinja_parser *p)
{
    struct jinja_expr *e = parse_power(p);
    for (;;) {
        enum jinja_operator op;
        if (parser_skip_operator(p, "*"))
            op = OP_MULTIPLY;
        else if (parser_skip_operator(p, "/"))
            op = OP_DIVIDE;
        else if (parser_skip_operator(p, "//"))
            op = OP_FLOOR_DIVIDE;
        else if (parser_skip_operator(p, "%"))
            op = OP_MODULO;
        else
            return e;
        e = binary(p, EXPR_BINARY, op, e, parse_power(p));
    }
}

static struct jinja_expr *parse_concat(struct jinja_parser *p)
{
    struct jinja_expr *first = parse_product(p);
    if (!parser_at_operator(p, "~"))
        return first;
    struct jinja_expr *e = parser_expr(p, EXPR_CONCAT);
    parser_add(p, &e->items, first);
    while (parser_skip_operator(p, "~"))
        parser_add(p, &e->items, parse_product(p));
    return e;
}

static struct jinja_expr *parse_sum(struct jinja_parser *p)
{
    struct jinja_expr *e = parse_concat(p);
    for (;;) {
        if (parser_skip_operator(p, "+"))
            e = binary(p, EXPR_BINARY, OP_ADD, e, parse_concat(p));
        else if (parser_skip_operator(p, "-"))
            e = binary(p, EXPR_BINARY, OP_SUBTRACT, e, parse_concat(p));
        else
            return e;
    }
}

static bool skip_comparison(struct jinja_parser *p, enum jinja_operator *op)
{
    static const struct {
        const char *sign;
        enum jinja_operator op;
    } signs[] = {{"==", OP_EQUAL},      {"!=", OP_NOT_EQUAL}, {"<", OP_LESS},
                 {"<=", OP_LESS_EQUAL}, {">", OP_GREATER},    {">=", OP_GREATER_EQUAL}};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (parser_skip_operator(p, signs[i].sign)) {
            *op = signs[i].op;
            return true;
        }
    const struct jinja_token *after = parser_look(p);
    if (parser_skip_name(p, "in")) {
        *op = OP_IN;
        return true;
    }
    if (!parser_at_name(p, "not") || after->kind != TOKEN_NAME || !text_is(after->text, "in"))
        return false;
    parser_next(p);
    parser_next(p);
    *op = OP_NOT_IN;
    return true;
}

static struct jinja_expr *parse_comparison(struct jinja_parser *p)
{
    struct jinja_expr *first = parse_sum(p), *e = NULL;
    enum jinja_operator op;
    while (skip_comparison(p, &op)) {
        if (!e) {
            e = parser_expr(p, EXPR_COMPARE);
            e->a = first;
        }
        parser_add(p, &e->items, binary(p, EXPR_OPERAND, op, parse_sum(p), NULL));
    }
    return e ? e : first;
}

static struct jinja_expr *parse_not(struct jinja_parser *p)
{
    if (!parser_at_name(p, "not"))
        return parse_comparison(p);
    if (!run_enter(p->run))
        return parser_expr(p, EXPR_TUPLE);
    parser_next(p);
    struct jinja_expr *e = binary(p, EXPR_NOT, 0, parse_not(p), NULL);
    run_leave(p->run);
    return e;
}

static struct jinja_expr *parse_and(struct jinja_parser *p)
{
    struct jinja_expr *e = parse_not(p);
    while (parser_skip_name(p, "and"))
        e = binary(p, EXPR_AND, 0, e, parse_not(p));
    return e;
}

struct jinja_expr *parse_without_condition(struct jinja_parser *p)
{
    struct jinja_expr *e = parse_and(p);
    while (parser_skip_name(p, "or"))
        e = binary(p, EXPR_OR, 0, e, parse_and(p));
    return e;
}

struct jinja_expr *parse_expression(struct jinja_parser *p)
{
    if (!run_enter(p->run))
        return parser_expr(p, EXPR_TUPLE);
    struct jinja_expr *e = parse_without_condition(p);
    while (parser_skip_name(p, "if")) {
        struct jinja_expr *condition = parse_without_condition(p);
        e = binary(p, EXPR_CONDITION, 0, condition, e);
        if (parser_skip_name(p, "else"))
            e->c = parse_expression(p);
    }
    run_leave(p->run);
    return e;
}

static bool at_tuple_end(const struct jinja_parser *p, const char *end_name)
{
    return parser_at(p, TOKEN_VARIABLE_END, NULL) || parser_at(p, TOKEN_BLOCK_END, NULL) ||
           parser_at_operator(p, ")") || (end_name && parser_at_name(p, end_name));
}

struct jinja_expr *parse_tuple(struct jinja_parser *p, bool conditions, const char *end_name)
{
    if (at_tuple_end(p, end_name)) {
        parser_fail(p, "an expression is missing");
        return parser_expr(p, EXPR_TUPLE);
    }
    struct jinja_expr *first = conditions ? parse_expression(p) : parse_without_condition(p);
    if (!parser_at_operator(p, ","))
        return first;
    struct jinja_expr *e = parser_expr(p, EXPR_TUPLE);
    parser_add(p, &e->items, first);
    while (parser_skip_operator(p, ",") && !at_tuple_end(p, end_name))
        parser_add(p, &e->items, conditions ? parse_expression(p) : parse_without_condition(p));
    return e;
}
