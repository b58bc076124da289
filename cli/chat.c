/* vargpt chat: one reply to a prompt, or a conversation line by line. */
#include "cli/chat.h"

#include "cli/asked.h"
#include "cli/interrupt.h"
#include "cli/picture_file.h"
#include "cli/terminal.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char commands_text[] =
    "/image FILE     show the model a picture with your next line\n"
    "/draw [PROMPT]  have a picture drawn: of the prompt, or as an answer to your last line\n"
    "/save FILE      save the last picture (.png, .jpg, .webp)\n"
    "/reset          forget the conversation\n"
    "/help           this list\n"
    "/quit           leave (also Ctrl-D)\n"
    "//...           a line that begins with a slash\n"
    "Ctrl-C stops a reply.\n";

static void say(struct chat *c, const char *text, size_t length)
{
    said_add_text(conversation_turn(&c->talk, "user"), text, length);
}

static void begin(struct chat *c)
{
    conversation_release(&c->talk);
    if (c->config->system)
        said_add_text(conversation_turn(&c->talk, "system"), c->config->system, strlen(c->config->system));
}

static enum status show_model(struct chat *c, const char *path, struct error *err)
{
    struct picture picture = {0};
    if (engine_config(c->engine)->kind == MODEL_LLAMA)
        return error_set(err, STATUS_BAD_REQUEST, "%s does not look at pictures", c->config->model);
    enum status status = picture_file_read(path, &picture, err);
    if (status == STATUS_OK)
        said_add_seen(conversation_turn(&c->talk, "user"), &picture);
    return status;
}

/* ---- commands ---- */

/* A file name as people type or drop it into a terminal: quotes around it, ~/ in front (malloc'ed). */
static char *typed_path(const char *text)
{
    size_t length = strlen(text);
    const char *home = getenv("HOME");
    if (length >= 2 && (*text == '"' || *text == '\'') && text[length - 1] == *text)
        return xstrndup(text + 1, length - 2);
    if (text[0] == '~' && text[1] == '/' && home)
        return xasprintf("%s%s", home, text + 1);
    return xstrdup(text);
}

static enum status save_last(struct chat *c, const char *path, struct error *err)
{
    struct picture_origin origin = {c->codes, c->n_codes, c->picture_seed, c->ordinal};
    if (!c->picture.rgb)
        return error_set(err, STATUS_BAD_REQUEST, "no picture was drawn yet: /draw PROMPT draws one");
    enum status status = picture_file_write(path, &c->picture, c->config->quality, &origin, err);
    if (status == STATUS_OK)
        printf("[picture: %s]\n", path);
    return status;
}

static bool anything_said(const struct chat *c)
{
    return c->talk.count > 0 && strcmp(c->talk.message[c->talk.count - 1].role, "system") != 0;
}

/* Answers the user's message; after a failure, and after a stop before the first word, the message is
 * dropped, as if it had not been said. */
static enum chat_end answer(struct chat *c, bool draw, struct error *err)
{
    enum chat_end end = chat_reply(c, draw, err);
    if (c->talk.count && strcmp(c->talk.message[c->talk.count - 1].role, "user") == 0)
        conversation_cut(&c->talk, c->talk.count - 1);
    if (end == CHAT_FAILED)
        cli_fail(err);
    else if (end == CHAT_STOPPED)
        fputs("[stopped]\n", stderr);
    return end;
}

static enum status draw(struct chat *c, const char *prompt, struct error *err)
{
    struct error told = {0};
    if (engine_picture_tokens(c->engine) == 0)
        return error_set(err, STATUS_BAD_REQUEST, "%s does not draw: use a VARGPT checkpoint",
                         c->config->model);
    if (*prompt)
        say(c, prompt, strlen(prompt));
    else if (!anything_said(c))
        return error_set(err, STATUS_BAD_REQUEST, "say what to draw: /draw a red circle");
    answer(c, true, &told);
    return STATUS_OK;
}

/* False for /quit. */
static bool run_command(struct chat *c, const char *line)
{
    size_t word = strcspn(line, " \t");
    const char *rest = line + word + strspn(line + word, " \t");
    struct error err = {0};
    char *path = typed_path(rest);
    bool is_image = strncmp(line, "/image", word) == 0 && word == 6;
    bool is_save = strncmp(line, "/save", word) == 0 && word == 5;
    bool quit = strcmp(line, "/quit") == 0 || strcmp(line, "/exit") == 0;
    if ((is_image || is_save) && !*rest)
        error_set(&err, STATUS_BAD_REQUEST, "say which file: %.*s FILE", (int)word, line);
    else if (is_image)
        show_model(c, path, &err);
    else if (is_save)
        save_last(c, path, &err);
    else if (strncmp(line, "/draw", word) == 0 && word == 5)
        draw(c, rest, &err);
    else if (strcmp(line, "/reset") == 0)
        begin(c);
    else if (strcmp(line, "/help") == 0)
        fputs(commands_text, stdout);
    else if (!quit)
        error_set(&err, STATUS_BAD_REQUEST, "no command %.*s: /help lists them", (int)word, line);
    free(path);
    if (err.status != STATUS_OK)
        cli_fail(&err);
    return !quit;
}

/* ---- lines ---- */

static size_t trim(char *line, ssize_t length)
{
    size_t n = (size_t)length;
    while (n && (line[n - 1] == '\n' || line[n - 1] == '\r' || line[n - 1] == ' '))
        n--;
    line[n] = 0;
    return n;
}

static int converse(struct chat *c)
{
    char *line = NULL;
    size_t room = 0;
    bool prompts = c->terminal && isatty(STDIN_FILENO), going = true;
    int code = EXIT_DONE;
    interrupt_catch();
    if (prompts)
        printf("%s. /help lists commands, Ctrl-D leaves.\n", engine_config(c->engine)->name);
    while (going) {
        struct error err = {0};
        if (prompts)
            fputs("> ", stdout);
        fflush(stdout);
        if (prompts)
            interrupt_wait(
                STDIN_FILENO); /* a terminal gives a line at a time, so none is in stdin's buffer */
        bool interrupted = prompts && interrupt_take();
        ssize_t length = interrupted ? -1 : interrupt_getline(&line, &room, stdin);
        if (length < 0 && (interrupted || interrupt_take())) {
            clearerr(stdin);
            fputs(prompts ? "\n" : "", stdout);
            going = prompts;
            code = prompts ? code : EXIT_INTERRUPTED;
            continue;
        }
        if (length < 0)
            break;
        size_t n = trim(line, length);
        if (line[0] == '/' && line[1] != '/') {
            going = run_command(c, line);
        } else if (n) {
            bool escaped = line[0] == '/';
            say(c, line + escaped, n - escaped);
            answer(c, false, &err);
        }
    }
    if (going && prompts)
        putchar('\n');
    free(line);
    return code;
}

static int answer_once(struct chat *c, struct error *err)
{
    const char *prompt = c->config->args.item[0];
    size_t length = strlen(prompt);
    char *input = NULL;
    if (strcmp(prompt, "-") == 0) {
        input = cli_read_input(&length, err);
        if (!input)
            return cli_fail(err);
        length = trim(input, (ssize_t)length);
    }
    say(c, input ? input : prompt, length);
    free(input);
    interrupt_catch(); /* until here a Ctrl-C has ended the program */
    enum chat_end end = answer(c, false, err);
    return end == CHAT_FAILED ? EXIT_FAILED : end == CHAT_STOPPED ? EXIT_INTERRUPTED : EXIT_DONE;
}

/* ---- the subcommand ---- */

static int chat(const struct config *config, struct engine *engine)
{
    struct chat c = {.config = config, .engine = engine, .seed = asked_seed(config)};
    struct error err = {0};
    int code = EXIT_DONE;
    c.terminal = isatty(STDOUT_FILENO);
    c.show = terminal_show((enum show_setting)config->show);
    begin(&c);
    for (size_t i = 0; i < config->image.count && code == EXIT_DONE; i++) {
        if (show_model(&c, config->image.item[i], &err) != STATUS_OK)
            code = cli_fail(&err);
    }
    if (code == EXIT_DONE)
        code = config->args.count ? answer_once(&c, &err) : converse(&c);
    conversation_release(&c.talk);
    picture_release(&c.picture);
    free(c.codes);
    return code;
}

int chat_main(int argc, char **argv)
{
    struct config config;
    struct cli_engine e = {0};
    struct error err = {0};
    enum picture_format format;
    int code;
    if (!cli_begin(&config, COMMAND_CHAT, argc, argv, &code))
        return code;
    if (config.output && picture_file_format(config.output, &format, &err) != STATUS_OK)
        code = cli_usage(COMMAND_CHAT, &err);
    else if (cli_open_engine(&e, &config, NULL, NULL, &err) != STATUS_OK)
        code = cli_fail(&err);
    else
        code = chat(&config, e.engine);
    cli_close_engine(&e);
    config_release(&config);
    return code;
}
