#include "engine/text/jinja_parse.h"

#include "engine/text/jinja_parser.h"

#include <string.h>

const struct jinja_token *parser_token(const struct jinja_parser *p)
{
    return p->run->failed ? &p->tokens.at[p->tokens.count - 1] : &p->tokens.at[p->at];
}

const struct jinja_token *parser_look(const struct jinja_parser *p)
{
    return p->run->failed || p->at + 1 >= p->tokens.count ? &p->tokens.at[p->tokens.count - 1]
                                                          : &p->tokens.at[p->at + 1];
}

void parser_next(struct jinja_parser *p)
{
    if (p->at + 1 < p->tokens.count)
        p->at++;
    run_work(p->run, 1);
}

bool parser_at(const struct jinja_parser *p, enum jinja_token_kind kind, const char *text)
{
    const struct jinja_token *t = parser_token(p);
    return t->kind == kind && (!text || text_is(t->text, text));
}

bool parser_at_operator(const struct jinja_parser *p, const char *op)
{
    return parser_at(p, TOKEN_OPERATOR, op);
}

bool parser_at_name(const struct jinja_parser *p, const char *name)
{
    return parser_at(p, TOKEN_NAME, name);
}

bool parser_skip_operator(struct jinja_parser *p, const char *op)
{
    if (!parser_at_operator(p, op))
        return false;
    parser_next(p);
    return true;
}

bool parser_skip_name(struct jinja_parser *p, const char *name)
{
    if (!parser_at_name(p, name))
        return false;
    parser_next(p);
    return true;
}

void parser_fail(struct jinja_parser *p, const char *words)
{
    p->run->line = parser_token(p)->line;
    run_fail(p->run, "%s", words);
}

/* Says what stands there, and what should. */
static void fail_expected(struct jinja_parser *p, const char *expected)
{
    static const char *const names[] = {
        [TOKEN_END] = "the end of the template",
        [TOKEN_DATA] = "text",
        [TOKEN_BLOCK_BEGIN] = "'{%'",
        [TOKEN_BLOCK_END] = "'%}'",
        [TOKEN_VARIABLE_BEGIN] = "'{{'",
        [TOKEN_VARIABLE_END] = "'}}'",
        [TOKEN_NAME] = "",
        [TOKEN_STRING] = "a string",
        [TOKEN_INTEGER] = "a number",
        [TOKEN_FLOAT] = "a number",
        [TOKEN_OPERATOR] = "",
    };
    const struct jinja_token *t = parser_token(p);
    bool spelt = t->kind == TOKEN_NAME || t->kind == TOKEN_OPERATOR;
    p->run->line = t->line;
    run_fail(p->run, "unexpected %s%.*s%s%s%s", spelt ? "'" : names[t->kind],
             spelt ? (int)t->text->length : 0, spelt ? t->text->bytes : "", spelt ? "'" : "",
             *expected ? ", expected " : "", expected);
}

void parser_unexpected(struct jinja_parser *p)
{
    fail_expected(p, "");
}

void parser_expect_operator(struct jinja_parser *p, const char *op)
{
    if (!parser_skip_operator(p, op)) {
        char words[8] = {'\'', op[0], op[1] ? op[1] : '\'', op[1] ? '\'' : 0};
        fail_expected(p, words);
    }
}

void parser_expect_name(struct jinja_parser *p, const char *name)
{
    if (!parser_skip_name(p, name))
        fail_expected(p, name);
}

static void expect(struct jinja_parser *p, enum jinja_token_kind kind, const char *words)
{
    if (parser_at(p, kind, NULL))
        parser_next(p);
    else
        fail_expected(p, words);
}

const struct jinja_text *parser_intern(struct jinja_parser *p, const struct jinja_text *name)
{
    struct jinja_names *names = &p->template->names;
    if (!run_work(p->run, 1 + names->count / 8))
        return NULL;
    for (size_t i = 0; i < names->count; i++)
        if (text_equal(names->at[i], name))
            return names->at[i];
    if (names->count == names->capacity) {
        size_t capacity = names->capacity ? names->capacity * 2 : 32;
        const struct jinja_text **at = run_grow(p->run, names->at, names->count, capacity, sizeof *at);
        if (!at)
            return NULL;
        names->at = at;
        names->capacity = capacity;
    }
    return names->at[names->count++] = name;
}

const struct jinja_text *jinja_find_name(const struct jinja_template *template, const char *name)
{
    for (size_t i = 0; i < template->names.count; i++)
        if (text_is(template->names.at[i], name))
            return template->names.at[i];
    return NULL;
}

const struct jinja_text *parser_any_name(struct jinja_parser *p)
{
    const struct jinja_token *t = parser_token(p);
    if (t->kind != TOKEN_NAME) {
        fail_expected(p, "a name");
        return NULL;
    }
    parser_next(p);
    return parser_intern(p, t->text);
}

struct jinja_expr *parser_expr(struct jinja_parser *p, enum jinja_expr_kind kind)
{
    static _Thread_local struct jinja_expr dummy;
    struct jinja_expr *e = run_alloc(p->run, 1, sizeof *e);
    if (!e)
        e = &dummy; /* the run has failed: nobody will walk this tree */
    memset(e, 0, sizeof *e);
    e->kind = kind;
    e->line = parser_token(p)->line;
    return e;
}

void parser_add(struct jinja_parser *p, struct jinja_exprs *list, struct jinja_expr *e)
{
    if (p->run->failed)
        return;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 2;
        struct jinja_expr **at = run_grow(p->run, list->at, list->count, capacity, sizeof *at);
        if (!at)
            return;
        list->at = at;
        list->capacity = capacity;
    }
    list->at[list->count++] = e;
}

static struct jinja_stmt *new_stmt(struct jinja_parser *p, enum jinja_stmt_kind kind)
{
    struct jinja_stmt *s = run_alloc(p->run, 1, sizeof *s);
    if (s)
        *s = (struct jinja_stmt){.kind = kind, .line = parser_token(p)->line};
    return s;
}

/* Whether `word` is one of the words in `list`, which single spaces part. */
static bool is_one_of(const struct jinja_text *word, const char *list)
{
    for (;;) {
        size_t n = strcspn(list, " ");
        if (word->length == n && memcmp(word->bytes, list, n) == 0)
            return true;
        if (!list[n])
            return false;
        list += n + 1;
    }
}

static struct jinja_stmt *parse_statement(struct jinja_parser *p);

/* Statements up to a tag whose name is one of `ends` (that name is then the token at hand), or, without ends,
 * up to the end of the template. */
static struct jinja_stmt *parse_statements(struct jinja_parser *p, const char *ends)
{
    struct jinja_stmt *first = NULL, **next = &first;
    while (!p->run->failed && !parser_at(p, TOKEN_END, NULL)) {
        struct jinja_stmt *s = NULL;
        if (parser_at(p, TOKEN_DATA, NULL)) {
            if ((s = new_stmt(p, STMT_TEXT)))
                s->text = parser_token(p)->text;
            parser_next(p);
        } else if (parser_at(p, TOKEN_VARIABLE_BEGIN, NULL)) {
            s = new_stmt(p, STMT_OUTPUT);
            parser_next(p);
            struct jinja_expr *e = parse_tuple(p, true, NULL);
            if (s)
                s->expr = e;
            expect(p, TOKEN_VARIABLE_END, "'}}'");
        } else {
            parser_next(p); /* {% */
            if (ends && parser_at(p, TOKEN_NAME, NULL) && is_one_of(parser_token(p)->text, ends))
                return first;
            s = parse_statement(p);
            expect(p, TOKEN_BLOCK_END, "'%}'");
        }
        if (s) {
            *next = s;
            next = &s->next;
        }
    }
    if (ends)
        fail_expected(p, ends);
    return first;
}

/* The rest of an opening tag and what it holds. The end's name is the token at hand afterwards. */
static struct jinja_stmt *parse_body(struct jinja_parser *p, const char *ends)
{
    parser_skip_operator(p, ":");
    expect(p, TOKEN_BLOCK_END, "'%}'");
    return parse_statements(p, ends);
}

static struct jinja_stmt *parse_whole_body(struct jinja_parser *p, const char *end)
{
    struct jinja_stmt *body = parse_body(p, end);
    parser_next(p);
    return body;
}

static void check_target(struct jinja_parser *p, const struct jinja_expr *target)
{
    if (target->kind == EXPR_TUPLE) {
        for (size_t i = 0; i < target->items.count; i++)
            if (target->items.at[i]->kind == EXPR_TUPLE)
                check_target(
                    p, target->items.at[i]); /* brackets: their depth was bounded when they were parsed */
            else if (target->items.at[i]->kind != EXPR_NAME && target->items.at[i]->kind != EXPR_ATTRIBUTE)
                parser_fail(p, "cannot assign to this");
    } else if (target->kind != EXPR_NAME && target->kind != EXPR_ATTRIBUTE) {
        parser_fail(p, "cannot assign to this");
    }
}

/* A name, names with commas between them, and with `namespaces` also name.attribute. */
static struct jinja_expr *parse_target(struct jinja_parser *p, bool namespaces, const char *end_name)
{
    struct jinja_expr *first = parse_primary(p, namespaces);
    if (parser_at_operator(p, ",")) {
        struct jinja_expr *tuple = parser_expr(p, EXPR_TUPLE);
        parser_add(p, &tuple->items, first);
        while (parser_skip_operator(p, ",") && !parser_at(p, TOKEN_BLOCK_END, NULL) &&
               !parser_at_operator(p, "=") && !(end_name && parser_at_name(p, end_name)))
            parser_add(p, &tuple->items, parse_primary(p, namespaces));
        first = tuple;
    }
    check_target(p, first);
    return first;
}

static struct jinja_stmt *parse_set(struct jinja_parser *p)
{
    struct jinja_stmt *s = new_stmt(p, STMT_SET);
    struct jinja_expr *target = parse_target(p, true, NULL), *expr = NULL;
    if (!s)
        return NULL;
    s->target = target;
    if (parser_skip_operator(p, "=")) {
        s->expr = parse_tuple(p, true, NULL);
        return s;
    }
    s->kind = STMT_SET_BLOCK;
    if (parser_at_operator(p, "|"))
        expr = parse_filters(p, parser_expr(p, EXPR_INPUT), false);
    s->expr = expr;
    s->body = parse_whole_body(p, "endset");
    return s;
}

static struct jinja_stmt *parse_for(struct jinja_parser *p)
{
    struct jinja_stmt *s = new_stmt(p, STMT_FOR);
    if (!s)
        return NULL;
    s->text = parser_intern(p, text_of(p->run, "loop"));
    s->target = parse_target(p, false, "in");
    parser_expect_name(p, "in");
    s->expr = parse_tuple(p, false, "recursive");
    if (parser_skip_name(p, "if"))
        s->test = parse_expression(p);
    s->recursive = parser_skip_name(p, "recursive");
    bool may_lack = p->may_lack;
    p->may_lack = false;
    p->loops++;
    s->body = parse_body(p, "endfor else");
    p->loops--;
    if (parser_skip_name(p, "else"))
        s->otherwise = parse_whole_body(p, "endfor");
    else
        parser_next(p);
    p->may_lack = may_lack;
    return s;
}

/* elif branches are taken in turn, not by recursion: there may be many. */
static struct jinja_stmt *parse_if(struct jinja_parser *p)
{
    struct jinja_stmt *first = NULL, **place = &first;
    bool may_lack = p->may_lack;
    p->may_lack = true;
    for (;;) {
        struct jinja_stmt *s = new_stmt(p, STMT_IF);
        if (!s)
            break;
        *place = s;
        place = &s->otherwise;
        s->expr = parse_tuple(p, false, NULL);
        s->body = parse_body(p, "elif else endif");
        s->elif = parser_skip_name(p, "elif");
        if (s->elif)
            continue;
        if (parser_skip_name(p, "else"))
            s->otherwise = parse_whole_body(p, "endif");
        else
            parser_next(p);
        break;
    }
    p->may_lack = may_lack;
    return first;
}

static void add_parameter(struct jinja_parser *p, struct jinja_macro_def *def)
{
    const struct jinja_text **grown =
        run_grow(p->run, def->param, def->n_params, def->n_params + 1, sizeof *grown);
    const struct jinja_text *name = parser_any_name(p);
    if (!grown || !name)
        return;
    for (size_t i = 0; i < def->n_params && run_work(p->run, 1); i++)
        if (def->param[i] == name)
            parser_fail(p, "two parameters of one name");
    def->param = grown;
    def->param[def->n_params++] = name;
    if (parser_skip_operator(p, "="))
        parser_add(p, &def->defaults, parse_expression(p));
    else if (def->defaults.count)
        parser_fail(p, "non-default argument follows default argument");
}

static void parse_parameters(struct jinja_parser *p, struct jinja_macro_def *def)
{
    parser_expect_operator(p, "(");
    while (!p->run->failed && !parser_at_operator(p, ")")) {
        if (def->n_params)
            parser_expect_operator(p, ",");
        add_parameter(p, def);
    }
    parser_expect_operator(p, ")");
}

static struct jinja_macro_def *new_macro(struct jinja_parser *p)
{
    struct jinja_macro_def *def = run_alloc(p->run, 1, sizeof *def);
    if (def)
        *def = (struct jinja_macro_def){0};
    return def;
}

/* The body of a macro, noting which of the special names it uses; loops around it are out of reach. */
static void parse_macro_body(struct jinja_parser *p, struct jinja_macro_def *def, const char *end)
{
    struct jinja_parser outer = *p;
    p->caller = p->varargs = p->kwargs = NULL;
    p->may_lack = false;
    p->loops = 0;
    def->body = parse_whole_body(p, end);
    def->caller = p->caller;
    def->varargs = p->varargs;
    def->kwargs = p->kwargs;
    p->caller = p->caller ? p->caller : outer.caller;
    p->varargs = p->varargs ? p->varargs : outer.varargs;
    p->kwargs = p->kwargs ? p->kwargs : outer.kwargs;
    p->may_lack = outer.may_lack;
    p->loops = outer.loops;
}

static struct jinja_stmt *parse_macro(struct jinja_parser *p)
{
    struct jinja_stmt *s = new_stmt(p, STMT_MACRO);
    struct jinja_macro_def *def = new_macro(p);
    if (!s || !def)
        return NULL;
    s->macro = def;
    def->name = parser_any_name(p);
    parse_parameters(p, def);
    parse_macro_body(p, def, "endmacro");
    return s;
}

static struct jinja_stmt *parse_call_block(struct jinja_parser *p)
{
    struct jinja_stmt *s = new_stmt(p, STMT_CALL);
    struct jinja_macro_def *def = new_macro(p);
    if (!s || !def)
        return NULL;
    s->macro = def;
    s->text = parser_intern(p, text_of(p->run, "caller"));
    if (parser_at_operator(p, "("))
        parse_parameters(p, def);
    s->expr = parse_expression(p);
    if (s->expr->kind != EXPR_CALL)
        parser_fail(p, "expected a call");
    parse_macro_body(p, def, "endcall");
    return s;
}

static struct jinja_stmt *parse_filter_block(struct jinja_parser *p)
{
    struct jinja_stmt *s = new_stmt(p, STMT_FILTER);
    if (!s)
        return NULL;
    s->expr = parse_filters(p, parser_expr(p, EXPR_INPUT), true);
    s->body = parse_whole_body(p, "endfilter");
    return s;
}

static struct jinja_stmt *parse_with(struct jinja_parser *p)
{
    struct jinja_stmt *s = new_stmt(p, STMT_WITH);
    if (!s)
        return NULL;
    s->expr = parser_expr(p, EXPR_TUPLE);
    while (!p->run->failed && !parser_at(p, TOKEN_BLOCK_END, NULL)) {
        if (s->expr->items.count)
            parser_expect_operator(p, ",");
        parser_add(p, &s->expr->items, parse_target(p, false, NULL));
        parser_expect_operator(p, "=");
        parser_add(p, &s->expr->items, parse_expression(p));
    }
    s->body = parse_whole_body(p, "endwith");
    return s;
}

/* {% generation %} marks the assistant's own words for training: here only its body matters. */
static struct jinja_stmt *parse_generation(struct jinja_parser *p)
{
    struct jinja_stmt *s = new_stmt(p, STMT_SCOPE);
    struct jinja_macro_def *def = new_macro(p);
    if (!s || !def)
        return NULL;
    parse_macro_body(p, def, "endgeneration");
    s->body = def->body;
    return s;
}

static struct jinja_stmt *parse_block(struct jinja_parser *p)
{
    struct jinja_stmt *s = new_stmt(p, STMT_SCOPE);
    if (!s)
        return NULL;
    const struct jinja_text *name = parser_any_name(p);
    parser_skip_name(p, "scoped");
    parser_skip_name(p, "required");
    s->body = parse_whole_body(p, "endblock");
    if (name && parser_at(p, TOKEN_NAME, NULL) && text_equal(parser_token(p)->text, name))
        parser_next(p);
    return s;
}

static struct jinja_stmt *parse_jump(struct jinja_parser *p, enum jinja_stmt_kind kind)
{
    if (!p->loops)
        parser_fail(p, "break and continue need a loop around them");
    return new_stmt(p, kind);
}

static struct jinja_stmt *parse_print(struct jinja_parser *p)
{
    struct jinja_stmt *first = NULL, **next = &first;
    while (!p->run->failed && !parser_at(p, TOKEN_BLOCK_END, NULL)) {
        if (first)
            parser_expect_operator(p, ",");
        struct jinja_stmt *s = new_stmt(p, STMT_OUTPUT);
        if (!s)
            break;
        s->expr = parse_expression(p);
        *next = s;
        next = &s->next;
    }
    struct jinja_stmt *group = new_stmt(p, STMT_SCOPE);
    if (group)
        group->body = first;
    return group;
}

static struct jinja_stmt *parse_tag(struct jinja_parser *p)
{
    if (parser_skip_name(p, "if"))
        return parse_if(p);
    if (parser_skip_name(p, "for"))
        return parse_for(p);
    if (parser_skip_name(p, "set"))
        return parse_set(p);
    if (parser_skip_name(p, "macro"))
        return parse_macro(p);
    if (parser_skip_name(p, "call"))
        return parse_call_block(p);
    if (parser_skip_name(p, "filter"))
        return parse_filter_block(p);
    if (parser_skip_name(p, "with"))
        return parse_with(p);
    if (parser_skip_name(p, "generation"))
        return parse_generation(p);
    if (parser_skip_name(p, "block"))
        return parse_block(p);
    if (parser_skip_name(p, "print"))
        return parse_print(p);
    if (parser_skip_name(p, "break"))
        return parse_jump(p, STMT_BREAK);
    if (parser_skip_name(p, "continue"))
        return parse_jump(p, STMT_CONTINUE);
    const struct jinja_token *t = parser_token(p);
    p->run->line = t->line;
    if (t->kind == TOKEN_NAME)
        run_fail(p->run, "unknown tag '%.*s'", (int)t->text->length, t->text->bytes);
    else
        run_fail(p->run, "a tag without a name");
    return NULL;
}

static struct jinja_stmt *parse_statement(struct jinja_parser *p)
{
    if (!run_enter(p->run))
        return NULL;
    struct jinja_stmt *s = parse_tag(p);
    run_leave(p->run);
    return s;
}

void jinja_parse(struct jinja_run *run, const char *source, size_t length, struct jinja_template *out)
{
    struct jinja_parser parser = {.run = run, .template = out};
    *out = (struct jinja_template){0};
    jinja_lex(run, source, length, &parser.tokens);
    if (run->failed)
        return;
    out->body = parse_statements(&parser, NULL);
    run->line = 0;
}
