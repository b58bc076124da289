#include "config/config.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "config/settings.h"

#include <assert.h>
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Stores a value unless one from a stronger source is there already. */
static enum status take(struct config *c, const struct setting *s, const char *text,
                        enum config_source source, struct error *err)
{
    enum config_source before = c->source[s - settings];
    if (before > source) {
        struct config unused = {0}; /* still has to be right */
        enum status status = setting_store(s, &unused, text, err);
        config_release(&unused);
        return status;
    }
    enum status status = setting_store(s, c, text, err);
    if (status == STATUS_OK)
        c->source[s - settings] = source;
    return status;
}

static void set_defaults(struct config *c)
{
    for (size_t i = 0; i < n_settings; i++) {
        struct error err = {0};
        if (settings[i].initial) {
            enum status status = take(c, &settings[i], settings[i].initial, SOURCE_DEFAULT, &err);
            assert(status == STATUS_OK);
            (void)status;
        }
    }
}

/* ---- flags ---- */

/* "max-body" is "max_body". */
static bool same_name(const char *name, const char *flag, size_t length)
{
    if (!name || strlen(name) != length)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (name[i] != (flag[i] == '-' ? '_' : flag[i]))
            return false;
    }
    return true;
}

static const struct setting *find_long(const char *flag, size_t length, enum command command)
{
    for (size_t i = 0; i < n_settings; i++) {
        if (command == COMMAND_DRAW && same_name(settings[i].draw_alias, flag, length))
            return &settings[i];
    }
    for (size_t i = 0; i < n_settings; i++) {
        if (same_name(settings[i].name, flag, length) || same_name(settings[i].alias, flag, length))
            return &settings[i];
    }
    return NULL;
}

static const struct setting *find_letter(char letter)
{
    for (size_t i = 0; i < n_settings; i++) {
        if (settings[i].letter == letter)
            return &settings[i];
    }
    return NULL;
}

/* A flag cut into its parts. */
struct flag {
    const struct setting *setting;
    const char *shown; /* as given, for messages */
    int shown_length;
    const char *value; /* NULL: the next argument */
    bool negated;
};

static struct flag read_flag(const char *arg, enum command command)
{
    struct flag f = {.shown = arg, .shown_length = 2};
    if (arg[1] != '-') {
        f.setting = find_letter(arg[1]);
        f.value = arg[2] ? arg + 2 + (arg[2] == '=') : NULL;
        return f;
    }
    size_t length = strcspn(arg + 2, "=");
    f.shown_length = (int)length + 2;
    f.value = arg[2 + length] ? arg + 2 + length + 1 : NULL;
    f.setting = find_long(arg + 2, length, command);
    if (!f.setting && strncmp(arg, "--no-", 5) == 0) {
        f.setting = find_long(arg + 5, length - 3, command);
        f.negated = true;
        if (f.setting && (f.setting->type != SETTING_FLAG || f.value))
            f.setting = NULL;
    }
    return f;
}

static enum status take_flag(struct config *c, enum command command, int argc, char **argv, int *i,
                             struct error *err)
{
    struct flag f = read_flag(argv[*i], command);
    if (!f.setting)
        return error_set(err, STATUS_BAD_REQUEST, "no flag %.*s", f.shown_length, f.shown);
    if (!setting_serves(f.setting, command))
        return error_set(err, STATUS_BAD_REQUEST, "%s does not take %.*s", command_texts[command].name,
                         f.shown_length, f.shown);
    if (f.setting->type == SETTING_FLAG)
        f.value = f.negated ? "false" : f.value ? f.value : "true";
    if (!f.value && ++*i >= argc)
        return error_set(err, STATUS_BAD_REQUEST, "%.*s: needs a value: %s", f.shown_length, f.shown,
                         f.setting->value);
    enum status status = take(c, f.setting, f.value ? f.value : argv[*i], SOURCE_FLAG, err);
    return status == STATUS_OK ? status : error_prefix(err, "%.*s", f.shown_length, f.shown);
}

static enum status take_argument(struct config *c, enum command command, const char *text, struct error *err)
{
    const struct command_text *t = &command_texts[command];
    if (c->args.count >= t->max_args && t->max_args == 0)
        return error_set(err, STATUS_BAD_REQUEST, "%s takes no argument '%s'", t->name, text);
    if (c->args.count >= t->max_args)
        return error_set(err, STATUS_BAD_REQUEST, "%s takes %zu argument%s, not also '%s'%s", t->name,
                         t->max_args, t->max_args == 1 ? "" : "s", text,
                         t->max_args == 1 ? ": put text in quotes" : "");
    c->args.item = xrealloc(c->args.item, (c->args.count + 1) * sizeof *c->args.item);
    c->args.item[c->args.count++] = xstrdup(text);
    return STATUS_OK;
}

static enum status read_flags(struct config *c, enum command command, int argc, char **argv,
                              struct error *err)
{
    bool flags = true;
    for (int i = 1; i < argc && !c->help; i++) {
        enum status status = STATUS_OK;
        if (flags && strcmp(argv[i], "--") == 0)
            flags = false;
        else if (flags && argv[i][0] == '-' && argv[i][1])
            status = take_flag(c, command, argc, argv, &i, err);
        else
            status = take_argument(c, command, argv[i], err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* ---- environment ---- */

static enum status read_environment(struct config *c, struct error *err)
{
    for (size_t i = 0; i < n_settings; i++) {
        char name[64] = "VARGPT_";
        size_t length = strlen(name);
        for (const char *p = settings[i].name; *p && length + 1 < sizeof name; p++)
            name[length++] = (char)toupper((unsigned char)*p);
        name[length] = 0;
        const char *value = settings[i].flag_only ? NULL : getenv(name);
        if (value && *value && take(c, &settings[i], value, SOURCE_ENVIRONMENT, err) != STATUS_OK)
            return error_prefix(err, "%s", name);
    }
    return STATUS_OK;
}

/* ---- file ---- */

/* The value as a flag would spell it (malloc'ed), or NULL when it is of the wrong type. */
static char *json_text(const struct setting *s, const json_t *value)
{
    bool words = s->type == SETTING_TEXT || s->type == SETTING_CHOICE || s->type == SETTING_SIZE;
    if (json_is_string(value) && words && strlen(json_string_value(value)) == json_string_length(value))
        return xstrdup(json_string_value(value));
    if (json_is_integer(value) && s->type != SETTING_FLAG && s->type != SETTING_TEXT &&
        s->type != SETTING_CHOICE)
        return xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_boolean(value) && s->type == SETTING_FLAG)
        return xstrdup(json_is_true(value) ? "true" : "false");
    if (json_is_real(value) && s->type == SETTING_REAL)
        return xasprintf("%.17g", json_real_value(value));
    return NULL;
}

static const char *json_type_wanted(const struct setting *s)
{
    switch (s->type) {
    case SETTING_TEXT:
    case SETTING_CHOICE: return "a string";
    case SETTING_SIZE: return "a whole number of bytes, or a string such as \"512M\"";
    case SETTING_REAL: return "a number";
    case SETTING_FLAG: return "true or false";
    default: return "a whole number";
    }
}

static enum status take_member(struct config *c, const char *key, const json_t *value, struct error *err)
{
    const struct setting *s = setting_find(key);
    if (!s)
        return error_set(err, STATUS_BAD_REQUEST, "no setting \"%s\": see vargpt config --example", key);
    if (s->flag_only || strcmp(key, "config") == 0)
        return error_set(err, STATUS_BAD_REQUEST, "\"%s\" is for the command line only", key);
    if (json_is_null(value))
        return STATUS_OK;
    char *text = json_text(s, value);
    enum status status = text ? take(c, s, text, SOURCE_FILE, err)
                              : error_set(err, STATUS_BAD_REQUEST, "must be %s", json_type_wanted(s));
    free(text);
    return status == STATUS_OK ? status : error_prefix(err, "\"%s\"", key);
}

static enum status read_file(struct config *c, const char *path, struct error *err)
{
    json_error_t reason;
    struct stat about;
    if (stat(path, &about) == 0 && about.st_size > 1 << 20)
        return error_set(err, STATUS_BAD_REQUEST, "%s: over 1 MiB, not a file of settings", path);
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &reason);
    if (!root && reason.line < 0)
        return error_set(err, STATUS_BAD_REQUEST, "%s: cannot be read: name another file with --config",
                         path);
    if (!root)
        return error_set(err, STATUS_BAD_REQUEST, "%s: line %d: %s", path, reason.line, reason.text);
    const char *key;
    json_t *value;
    enum status status = STATUS_OK;
    if (!json_is_object(root))
        status = error_set(err, STATUS_BAD_REQUEST, "must be a JSON object");
    json_object_foreach(root, key, value)
    {
        if (status == STATUS_OK)
            status = take_member(c, key, value, err);
    }
    json_decref(root);
    return status == STATUS_OK ? status : error_prefix(err, "%s", path);
}

/* ---- all of it ---- */

enum status config_read(struct config *out, enum command command, int argc, char **argv, struct error *err)
{
    struct error unused;
    err = err ? err : &unused;
    *out = (struct config){0};
    set_defaults(out);
    enum status status = read_flags(out, command, argc, argv, err);
    if (status == STATUS_OK && !out->help)
        status = read_environment(out, err);
    if (status == STATUS_OK && !out->help && out->config_file && *out->config_file)
        status = read_file(out, out->config_file, err);
    if (status != STATUS_OK)
        config_release(out);
    return status;
}

static void release_list(struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->item[i]);
    free(list->item);
}

void config_release(struct config *c)
{
    for (size_t i = 0; i < n_settings; i++) {
        void *field = (char *)c + settings[i].offset;
        if (settings[i].type == SETTING_TEXT)
            free(*(char **)field);
        if (settings[i].type == SETTING_LIST)
            release_list(field);
    }
    release_list(&c->args);
    *c = (struct config){0};
}

bool config_given(const struct config *c, const char *name)
{
    const struct setting *s = setting_find(name);
    assert(s);
    return c->source[s - settings] != SOURCE_DEFAULT;
}
