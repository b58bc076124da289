/* Filters, tests, methods and global functions: how they are found, and how they get their arguments. */
#ifndef VARGPT_ENGINE_TEXT_JINJA_BUILTIN_H
#define VARGPT_ENGINE_TEXT_JINJA_BUILTIN_H

#include "engine/text/jinja_eval.h"

enum { BUILTIN_MAX_PARAMS = 6 };

/* What a builtin is given. */
struct jinja_given {
    struct jinja_value self; /* what is filtered or tested, or whose method it is; functions: missing */
    struct jinja_value arg[BUILTIN_MAX_PARAMS]; /* by parameter; missing where none was given */
    const struct jinja_call *call;              /* as written, for those that take any arguments */
};

typedef struct jinja_value (*jinja_apply)(struct jinja_run *, const struct jinja_given *);

/* params: the parameters' names, parted by spaces; a ? behind the name: may be left out; "*": takes any
 * arguments. */
struct jinja_builtin {
    const char *name, *params;
    jinja_apply apply;
};

/* NULL when there is none of this name. */
const struct jinja_builtin *builtin_filter(const struct jinja_text *name);
const struct jinja_builtin *builtin_test(const struct jinja_text *name);
const struct jinja_builtin *builtin_global(const struct jinja_text *name);
const struct jinja_builtin *builtin_method(struct jinja_value self, const struct jinja_text *name);

/* Fails the run when the arguments do not fit the parameters. */
struct jinja_value builtin_call(struct jinja_run *, const struct jinja_builtin *, struct jinja_value self,
                                const struct jinja_call *);

/* A method of self, ready to be called. */
struct jinja_value builtin_bind(struct jinja_run *, struct jinja_value self, const struct jinja_builtin *);

/* Arguments as the types that builtins want: the default when missing, a failed run when of another type. */
bool arg_bool(struct jinja_value, bool otherwise);
int64_t arg_int(struct jinja_run *, struct jinja_value, int64_t otherwise);
const struct jinja_text *arg_text(struct jinja_run *, struct jinja_value); /* missing: the empty text */

/* The tables, one a file; each ends with a NULL name. */
extern const struct jinja_builtin jinja_text_filters[], jinja_number_filters[], jinja_list_filters[],
    jinja_sort_filters[], jinja_select_filters[], jinja_tests[], jinja_globals[], jinja_text_methods[],
    jinja_list_methods[], jinja_dict_methods[], jinja_loop_methods[];

/* What filters and methods share (jinja_text_ops.c). */
struct jinja_value text_map_case(struct jinja_run *, const struct jinja_text *, int unicode_case);
const struct jinja_text *text_strip(struct jinja_run *, const struct jinja_text *, struct jinja_value chars,
                                    bool left, bool right);
const struct jinja_text *text_replace(struct jinja_run *, const struct jinja_text *,
                                      const struct jinja_text *old, const struct jinja_text *new,
                                      int64_t count);
struct jinja_value text_capitalize(struct jinja_run *, const struct jinja_text *);
const struct jinja_list *text_lines(struct jinja_run *, const struct jinja_text *, bool keep_ends);

struct jinja_value text_split(struct jinja_run *, const struct jinja_given *);
struct jinja_value text_rsplit(struct jinja_run *, const struct jinja_given *);
struct jinja_value text_partition(struct jinja_run *, const struct jinja_given *);
struct jinja_value text_rpartition(struct jinja_run *, const struct jinja_given *);

/* str % value and str.format (jinja_format.c). */
struct jinja_value format_percent(struct jinja_run *, const struct jinja_text *, struct jinja_value);
struct jinja_value format_braces(struct jinja_run *, const struct jinja_text *, const struct jinja_call *);

#endif
