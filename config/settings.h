/* The tables behind config.h: every setting and every subcommand, as the help texts describe them. */
#ifndef VARGPT_CONFIG_SETTINGS_H
#define VARGPT_CONFIG_SETTINGS_H

#include "config/config.h"

enum setting_type {
    SETTING_TEXT,   /* char * */
    SETTING_LIST,   /* struct config_list; a flag may be repeated */
    SETTING_INT,    /* int */
    SETTING_REAL,   /* double */
    SETTING_SEED,   /* uint64_t; negative numbers are taken as their 64 bits */
    SETTING_SIZE,   /* uint64_t bytes; K, M, G, T are powers of 1024 */
    SETTING_CHOICE, /* int: place of the word in `words` */
    SETTING_FLAG,   /* bool; --name, --no-name */
};

enum setting_group { GROUP_MODEL, GROUP_SERVER, GROUP_TEXT, GROUP_DRAWING, GROUP_OTHER, GROUP_COUNT };

struct setting {
    const char *name;       /* as in the file; --name with dashes; VARGPT_NAME in capitals */
    const char *alias;      /* another spelling of the flag, or NULL */
    const char *draw_alias; /* another spelling that `vargpt draw` knows, or NULL */
    char letter;            /* -m; 0 = none */
    enum setting_type type;
    enum setting_group group;
    unsigned commands;        /* bits 1 << enum command */
    bool flag_only;           /* not in the file, not in the environment */
    size_t offset;            /* in struct config */
    const char *initial;      /* the default, spelt as a flag's value; NULL = none */
    double least, most;       /* of numbers; both inclusive */
    bool above;               /* least itself is not allowed */
    const char *const *words; /* of a choice; ends with NULL */
    const char *value;        /* what the help calls the value: "DIR" */
    const char *help;
};

extern const struct setting settings[];
extern const size_t n_settings;

struct command_text {
    const char *name;
    const char *summary;  /* one line */
    const char *synopsis; /* what stands after "vargpt NAME [options]" */
    const char *text;     /* a paragraph or more */
    const char *examples; /* lines, each ending in a newline */
    size_t max_args;
};
extern const struct command_text command_texts[COMMAND_COUNT];

/* True when `vargpt NAME` takes the setting. */
static inline bool setting_serves(const struct setting *s, enum command command)
{
    return s->commands >> command & 1;
}

/* Reads text as the setting's value and stores it in config (a list: adds it). Failure: STATUS_BAD_REQUEST
 * with what would be right, without the name; config is then unchanged. */
enum status setting_store(const struct setting *, struct config *, const char *text, struct error *err);

/* The setting of that name, or NULL. */
const struct setting *setting_find(const char *name);

#endif
