#include "engine/text/chat_template_scan.h"

enum { MAX_DEPTH = 400, MAX_ALIASES = 32 };

struct scan {
    struct content_use use;
    const struct jinja_text *alias[MAX_ALIASES]; /* variables that content was assigned to */
    int n_aliases;
};

static bool is_word(const struct jinja_expr *e, const char *word)
{
    return e && e->kind == EXPR_CONSTANT && e->constant.kind == JINJA_STRING &&
           text_is(e->constant.text, word);
}

static bool is_one_of(const struct jinja_text *name, const char *const *words)
{
    for (; *words; words++)
        if (text_is(name, *words))
            return true;
    return false;
}

static bool is_alias(const struct scan *s, const struct jinja_text *name)
{
    for (int i = 0; i < s->n_aliases; i++)
        if (s->alias[i] == name)
            return true;
    return text_is(name, "content");
}

/* Whether an expression is a message's content, whole or what a filter left of it. */
static bool is_content(const struct scan *s, const struct jinja_expr *e, int depth)
{
    static const char *const sifting[] = {"selectattr", "rejectattr", "select", "reject",
                                          "list",       "default",    "d",      NULL};
    if (!e || depth > MAX_DEPTH)
        return false;
    switch (e->kind) {
    case EXPR_NAME: return is_alias(s, e->name);
    case EXPR_ATTRIBUTE: return text_is(e->name, "content");
    case EXPR_ITEM: return is_word(e->b, "content");
    case EXPR_CALL:
        return e->a->kind == EXPR_ATTRIBUTE && text_is(e->a->name, "get") && e->arguments->positional.count &&
               is_word(e->arguments->positional.at[0], "content");
    case EXPR_FILTER: return is_one_of(e->name, sifting) && is_content(s, e->a, depth + 1);
    case EXPR_SLICE: return is_content(s, e->a, depth + 1);
    case EXPR_CONDITION: return is_content(s, e->b, depth + 1) || is_content(s, e->c, depth + 1);
    case EXPR_OR: return is_content(s, e->a, depth + 1) || is_content(s, e->b, depth + 1);
    default: return false;
    }
}

/* content[0]['type'], content[0].text */
static bool reads_part(const struct scan *s, const struct jinja_expr *e)
{
    bool field = e->kind == EXPR_ITEM        ? is_word(e->b, "type") || is_word(e->b, "text")
                 : e->kind == EXPR_ATTRIBUTE ? text_is(e->name, "type") || text_is(e->name, "text")
                                             : false;
    const struct jinja_expr *item = e->a;
    return field && item->kind == EXPR_ITEM && item->b->kind == EXPR_CONSTANT &&
           item->b->constant.kind == JINJA_INT && is_content(s, item->a, 0);
}

static void scan_expr(struct scan *s, const struct jinja_expr *e, int depth);

static void scan_list(struct scan *s, const struct jinja_exprs *list, int depth)
{
    for (size_t i = 0; i < list->count; i++)
        scan_expr(s, list->at[i], depth);
}

static void scan_expr(struct scan *s, const struct jinja_expr *e, int depth)
{
    static const char *const by_part[] = {"selectattr", "rejectattr", "map", NULL};
    if (!e || depth > MAX_DEPTH)
        return;
    if (e->kind == EXPR_TEST && text_is(e->name, "string"))
        s->use.string |= is_content(s, e->a, 0);
    if (e->kind == EXPR_FILTER && is_one_of(e->name, by_part))
        s->use.parts |= is_content(s, e->a, 0);
    s->use.parts |= reads_part(s, e);
    scan_expr(s, e->a, depth + 1);
    scan_expr(s, e->b, depth + 1);
    scan_expr(s, e->c, depth + 1);
    scan_expr(s, e->d, depth + 1);
    scan_list(s, &e->items, depth + 1);
    if (!e->arguments)
        return;
    scan_list(s, &e->arguments->positional, depth + 1);
    scan_list(s, &e->arguments->named, depth + 1);
    scan_expr(s, e->arguments->star, depth + 1);
    scan_expr(s, e->arguments->star_star, depth + 1);
}

static void note_assignment(struct scan *s, const struct jinja_stmt *stmt)
{
    if (stmt->target->kind == EXPR_NAME && is_content(s, stmt->expr, 0) && !is_alias(s, stmt->target->name) &&
        s->n_aliases < MAX_ALIASES)
        s->alias[s->n_aliases++] = stmt->target->name;
}

static void scan_statements(struct scan *s, const struct jinja_stmt *stmt, int depth)
{
    if (depth > MAX_DEPTH)
        return;
    for (; stmt; stmt = stmt->next) {
        const struct jinja_stmt *branch = stmt;
        for (; branch->kind == STMT_IF && branch->elif; branch = branch->otherwise) {
            scan_expr(s, branch->expr, depth);
            scan_statements(s, branch->body, depth + 1);
        }
        scan_expr(s, branch->expr, depth);
        scan_expr(s, branch->test, depth);
        if (branch->kind == STMT_SET)
            note_assignment(s, branch);
        if (branch->kind == STMT_FOR)
            s->use.parts |= is_content(s, branch->expr, 0);
        if (branch->macro) {
            scan_list(s, &branch->macro->defaults, depth + 1);
            scan_statements(s, branch->macro->body, depth + 1);
        }
        scan_statements(s, branch->body, depth + 1);
        scan_statements(s, branch->otherwise, depth + 1);
    }
}

struct content_use chat_template_scan(const struct jinja_template *template)
{
    struct scan s = {.n_aliases = 0};
    scan_statements(&s, template->body, 0);
    return s.use;
}
