/* What the two halves of the parser share: tokens, the name table, and where in the template we are. */
#ifndef VARGPT_ENGINE_TEXT_JINJA_PARSER_H
#define VARGPT_ENGINE_TEXT_JINJA_PARSER_H

#include "engine/text/jinja_ast.h"
#include "engine/text/jinja_lex.h"

struct jinja_parser {
    struct jinja_run *run;
    struct jinja_tokens tokens;
    size_t at;
    struct jinja_template *template;
    int loops;     /* for loops around us within this macro: break and continue need one */
    bool may_lack; /* in a branch that may never run: an unknown filter or test is no mistake yet (as in
                      Jinja) */
    const struct jinja_text *caller, *varargs,
        *kwargs; /* where the macro being parsed has named them so far */
};

/* The token at hand (TOKEN_END once the run has failed), and the one after it. */
const struct jinja_token *parser_token(const struct jinja_parser *);
const struct jinja_token *parser_look(const struct jinja_parser *);
void parser_next(struct jinja_parser *);
bool parser_at(const struct jinja_parser *, enum jinja_token_kind, const char *text); /* text may be NULL */
bool parser_at_operator(const struct jinja_parser *, const char *op);
bool parser_at_name(const struct jinja_parser *, const char *name);
/* Steps over what is expected; skip: if it is there, expect: or fails. */
bool parser_skip_operator(struct jinja_parser *, const char *op);
bool parser_skip_name(struct jinja_parser *, const char *name);
void parser_expect_operator(struct jinja_parser *, const char *op);
void parser_expect_name(struct jinja_parser *, const char *name);
const struct jinja_text *parser_any_name(struct jinja_parser *); /* interned; NULL on failure */
const struct jinja_text *parser_intern(struct jinja_parser *, const struct jinja_text *name);
void parser_fail(struct jinja_parser *, const char *words);
void parser_unexpected(struct jinja_parser *);

/* New nodes at the current line; never NULL for callers' sake: a shared dummy once the run has failed. */
struct jinja_expr *parser_expr(struct jinja_parser *, enum jinja_expr_kind);
void parser_add(struct jinja_parser *, struct jinja_exprs *, struct jinja_expr *);

/* Expressions (jinja_parse_expr.c). */
struct jinja_expr *parse_expression(struct jinja_parser *);
struct jinja_expr *parse_without_condition(struct jinja_parser *);
struct jinja_expr *parse_primary(struct jinja_parser *, bool namespaces);
/* Expressions with commas between them are a tuple. end_name: a name that ends the tuple, or NULL. */
struct jinja_expr *parse_tuple(struct jinja_parser *, bool conditions, const char *end_name);
/* `| name(arguments)`, as often as it stands there; `first` when the | of the first is left out. */
struct jinja_expr *parse_filters(struct jinja_parser *, struct jinja_expr *input, bool first);

#endif
