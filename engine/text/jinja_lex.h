/* A template's source cut into tokens, with white space control done: trim_blocks and lstrip_blocks are on, -
 * and + markers obeyed, comments gone, raw blocks turned into data. Everything lies in the run's arena. */
#ifndef VARGPT_ENGINE_TEXT_JINJA_LEX_H
#define VARGPT_ENGINE_TEXT_JINJA_LEX_H

#include "engine/text/jinja_text.h"

enum jinja_token_kind {
    TOKEN_END,
    TOKEN_DATA,           /* template text to be written as it is */
    TOKEN_BLOCK_BEGIN,    /* {% */
    TOKEN_BLOCK_END,      /* %} */
    TOKEN_VARIABLE_BEGIN, /* {{ */
    TOKEN_VARIABLE_END,   /* }} */
    TOKEN_NAME,
    TOKEN_STRING,
    TOKEN_INTEGER,
    TOKEN_FLOAT,
    TOKEN_OPERATOR,
};

struct jinja_token {
    enum jinja_token_kind kind;
    int line;
    const struct jinja_text *text; /* data, names, operators; strings with their escapes resolved */
    int64_t integer;
    double real;
};

struct jinja_tokens {
    struct jinja_token *at; /* [count]; the last is TOKEN_END */
    size_t count, capacity;
};

/* Fails the run at what Jinja cannot read; tokens then has what came before. */
void jinja_lex(struct jinja_run *, const char *source, size_t length, struct jinja_tokens *tokens);

#endif
