#include "config/help.h"

#include "config/settings.h"

#include <string.h>

enum { WIDTH = 96, FLAG_COLUMN = 30 };

static const char *const group_titles[GROUP_COUNT] = {
    [GROUP_MODEL] = "Model and machine", [GROUP_SERVER] = "Server", [GROUP_TEXT] = "Text",
    [GROUP_DRAWING] = "Drawing",         [GROUP_OTHER] = "Other",
};

const char *help_command_name(enum command command)
{
    return command_texts[command].name;
}

int help_command_find(const char *name)
{
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(command_texts[i].name, name) == 0)
            return i;
    }
    return -1;
}

/* Words of text, lines of at most WIDTH columns; the first begins at column `used`, the others at `indent`.
 */
static void append_wrapped(struct buffer *out, const char *text, size_t used, size_t indent)
{
    size_t column = used;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column > indent && column + 1 + word > WIDTH) {
            buffer_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            buffer_append_char(out, ' ');
            column++;
        }
        buffer_append(out, text, word);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    buffer_append_char(out, '\n');
}

static void append_dashed(struct buffer *out, const char *name)
{
    buffer_append_text(out, "--");
    for (; *name; name++)
        buffer_append_char(out, *name == '_' ? '-' : *name);
}

/* "-m, --model DIR"; for draw, the short spelling first. */
static void append_flag(struct buffer *out, const struct setting *s, enum command command)
{
    if (s->letter)
        buffer_printf(out, "-%c, ", s->letter);
    if (command == COMMAND_DRAW && s->draw_alias) {
        append_dashed(out, s->draw_alias);
        buffer_append_text(out, ", ");
    }
    append_dashed(out, s->name);
    if (s->alias) {
        buffer_append_text(out, ", ");
        append_dashed(out, s->alias);
    }
    if (s->value)
        buffer_printf(out, " %s", s->value);
}

/* "; one of auto, scalar (auto)". */
static void append_facts(struct buffer *out, const struct setting *s)
{
    for (int i = 0; s->words && s->words[i]; i++)
        buffer_printf(out, "%s%s", i ? ", " : ": ", s->words[i]);
    if (s->initial)
        buffer_printf(out, " (default %s)", s->initial);
}

static void append_setting(struct buffer *out, const struct setting *s, enum command command)
{
    struct buffer text;
    buffer_init(&text, BUFFER_NO_LIMIT);
    size_t start = out->length;
    buffer_append_text(out, s->letter ? "  " : "      ");
    append_flag(out, s, command);
    size_t used = out->length - start;
    if (used + 2 > FLAG_COLUMN) {
        buffer_append_char(out, '\n');
        used = 0;
    }
    buffer_printf(out, "%*s", (int)(FLAG_COLUMN - used), "");
    buffer_append_text(&text, s->help);
    append_facts(&text, s);
    append_wrapped(out, text.data, FLAG_COLUMN, FLAG_COLUMN);
    buffer_release(&text);
}

static void append_group(struct buffer *out, enum setting_group group, enum command command)
{
    bool titled = false;
    for (size_t i = 0; i < n_settings; i++) {
        if (settings[i].group != group || !setting_serves(&settings[i], command))
            continue;
        if (!titled)
            buffer_printf(out, "\n%s:\n", group_titles[group]);
        titled = true;
        append_setting(out, &settings[i], command);
    }
}

static void append_examples(struct buffer *out, const char *examples)
{
    buffer_append_text(out, "\nExamples:\n");
    while (*examples) {
        size_t line = strcspn(examples, "\n");
        buffer_printf(out, "  %.*s\n", (int)line, examples);
        examples += line + 1;
    }
}

static void append_synopsis(struct buffer *out, const struct command_text *t)
{
    buffer_printf(out, "vargpt %s [options]%s%s", t->name, *t->synopsis ? " " : "", t->synopsis);
}

void help_command(enum command command, struct buffer *out)
{
    const struct command_text *t = &command_texts[command];
    buffer_append_text(out, "Usage: ");
    append_synopsis(out, t);
    buffer_append_text(out, "\n\n");
    append_wrapped(out, t->text, 0, 0);
    for (int group = 0; group < GROUP_COUNT; group++)
        append_group(out, (enum setting_group)group, command);
    append_examples(out, t->examples);
}

static const char sources_text[] =
    "Settings come from flags (--name value or --name=value), then from environment variables (VARGPT_NAME), "
    "then "
    "from a JSON file (--config FILE; vargpt config --example prints one), then from defaults.";

void help_overview(struct buffer *out)
{
    buffer_append_text(out, "vargpt " VARGPT_VERSION
                            ": a server and tools for VARGPT, a model that reads and draws\n\n"
                            "Usage: vargpt COMMAND [options]\n\nCommands:\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        buffer_printf(out, "  %-10s %s\n", command_texts[i].name, command_texts[i].summary);
    buffer_append_text(out, "\nvargpt COMMAND --help tells more; vargpt --version prints the version.\n\n");
    append_wrapped(out, sources_text, 0, 0);
    buffer_append_text(out, "\nExit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C.\n");
    append_examples(out, "vargpt serve\nvargpt chat -i cat.png \"What is this?\"\n"
                         "vargpt draw \"a butterfly on a flower\" -o butterfly.png\n");
}

/* ---- manual page ---- */

/* Text for troff: backslashes, dashes and leading dots mean what they look like. */
static void append_troff(struct buffer *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\\')
            buffer_append_text(out, "\\e");
        else if (text[i] == '-')
            buffer_append_text(out, "\\-");
        else if ((text[i] == '.' || text[i] == '\'') && (i == 0 || text[i - 1] == '\n'))
            buffer_printf(out, "\\&%c", text[i]);
        else
            buffer_append_char(out, text[i]);
    }
}

static void append_troff_text(struct buffer *out, const char *text)
{
    append_troff(out, text, strlen(text));
}

static void append_manual_command(struct buffer *out, const struct command_text *t)
{
    struct buffer line;
    buffer_init(&line, BUFFER_NO_LIMIT);
    append_synopsis(&line, t);
    buffer_append_text(out, ".SS ");
    append_troff_text(out, line.data);
    buffer_append_char(out, '\n');
    append_troff_text(out, t->text);
    buffer_append_text(out, "\n.PP\n.nf\n.RS\n");
    append_troff_text(out, t->examples);
    buffer_append_text(out, ".RE\n.fi\n");
    buffer_release(&line);
}

static void append_manual_setting(struct buffer *out, const struct setting *s)
{
    struct buffer line;
    buffer_init(&line, BUFFER_NO_LIMIT);
    append_flag(&line, s, COMMAND_DRAW);
    buffer_append_text(out, ".TP\n.B ");
    append_troff_text(out, line.data);
    buffer_append_char(out, '\n');
    buffer_clear(&line);
    buffer_append_text(&line, s->help);
    append_facts(&line, s);
    buffer_append_text(&line, ". For ");
    const char *comma = "";
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (setting_serves(s, (enum command)i)) {
            buffer_printf(&line, "%s%s", comma, command_texts[i].name);
            comma = ", ";
        }
    }
    buffer_append_text(&line, s->flag_only ? "; on the command line only.\n" : ".\n");
    append_troff_text(out, line.data);
    buffer_release(&line);
}

void help_manual(struct buffer *out)
{
    buffer_append_text(
        out, ".\\\" Made by `vargpt man`; edit config/settings.c and config/commands.c instead.\n"
             ".TH VARGPT 1 \"\" \"vargpt " VARGPT_VERSION "\" \"User Commands\"\n.SH NAME\n"
             "vargpt \\- a server and tools for VARGPT, a model that reads and draws\n.SH SYNOPSIS\n"
             ".B vargpt\n.I command\n[options]\n.SH COMMANDS\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        append_manual_command(out, &command_texts[i]);
    buffer_append_text(out, ".SH OPTIONS\n");
    append_troff_text(out, sources_text);
    buffer_append_text(
        out, "\nIn\n.BR draw ,\n\\-\\-temperature, \\-\\-top\\-k and \\-\\-top\\-p mean the picture's.\n");
    for (int group = 0; group < GROUP_COUNT; group++) {
        buffer_printf(out, ".SS %s\n", group_titles[group]);
        for (size_t i = 0; i < n_settings; i++) {
            if (settings[i].group == (enum setting_group)group)
                append_manual_setting(out, &settings[i]);
        }
    }
    buffer_append_text(out, ".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl\\-C.\n");
}

/* ---- example ---- */

void help_example(struct buffer *out)
{
    const char *comma = "";
    buffer_append_text(out, "{");
    for (size_t i = 0; i < n_settings; i++) {
        const struct setting *s = &settings[i];
        if (s->flag_only || strcmp(s->name, "config") == 0)
            continue;
        bool quoted = s->type == SETTING_TEXT || s->type == SETTING_CHOICE || s->type == SETTING_SIZE;
        const char *quote = quoted && s->initial ? "\"" : "";
        buffer_printf(out, "%s\n    \"%s\": %s%s%s", comma, s->name, quote, s->initial ? s->initial : "null",
                      quote);
        comma = ",";
    }
    buffer_append_text(out, "\n}\n");
}
