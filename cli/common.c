#include "cli/cli.h"

#include "base/log.h"
#include "base/memory.h"
#include "config/help.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int print_help(enum command command)
{
    struct buffer text;
    buffer_init(&text, BUFFER_NO_LIMIT);
    help_command(command, &text);
    fwrite(text.data, 1, text.length, stdout);
    buffer_release(&text);
    return EXIT_DONE;
}

/* The demo model, in the folder we are in, or where it lies beside the program: built in place, or installed.
 */
static char *find_demo(void)
{
    static const char *const from_program[] = {"../models/demo", "../share/vargpt/models/demo"};
    char program[PATH_MAX], path[PATH_MAX + 64];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = 0;
    char *slash = strrchr(program, '/');
    if (access("models/demo", F_OK) == 0 || !slash)
        return xstrdup("models/demo");
    *slash = 0;
    for (size_t i = 0; i < sizeof from_program / sizeof *from_program; i++) {
        snprintf(path, sizeof path, "%s/%s", program, from_program[i]);
        if (access(path, F_OK) == 0)
            return xstrdup(path);
    }
    return xstrdup("models/demo");
}

bool cli_begin(struct config *config, enum command command, int argc, char **argv, int *code)
{
    struct error err = {0};
    if (config_read(config, command, argc, argv, &err) != STATUS_OK) {
        *code = cli_usage(command, &err);
        return false;
    }
    if (config->help) {
        *code = print_help(command);
        config_release(config);
        return false;
    }
    if (!config->model)
        config->model = find_demo();
    bool quiet = command != COMMAND_SERVE && !config_given(config, "log_level");
    log_set_level(quiet ? LOG_WARNING : (enum log_level)config->log_level);
    return true;
}

/* Messages quote files and arguments; they stay on one line all the same. */
static void complain(const struct error *err, const char *hint)
{
    char line[sizeof err->message];
    memcpy(line, err->message, sizeof line);
    for (char *p = line; *p; p++)
        *p = (unsigned char)*p < 0x20 || *p == 0x7F ? '?' : *p;
    fflush(stdout);
    fprintf(stderr, "vargpt: %s%s\n", line, hint);
}

int cli_fail(const struct error *err)
{
    complain(err, "");
    return EXIT_FAILED;
}

int cli_usage(enum command command, const struct error *err)
{
    char hint[64];
    snprintf(hint, sizeof hint, " (see vargpt %s --help)", help_command_name(command));
    complain(err, hint);
    return EXIT_USAGE;
}

static char *read_stream(FILE *file, const char *name, size_t maximum, size_t *length, struct error *err)
{
    struct buffer text;
    char *room, *bytes = NULL;
    buffer_init(&text, maximum);
    while ((room = buffer_reserve(&text, 1 << 14)) != NULL) {
        size_t n = fread(room, 1, 1 << 14, file);
        text.length += n;
        if (n == 0)
            break;
    }
    if (ferror(file))
        error_set(err, STATUS_BAD_REQUEST, "%s: %s", name, strerror(errno));
    else if (!(bytes = buffer_take(&text, length)))
        error_set(err, STATUS_TOO_LARGE, "%s: over %zu MB", name, maximum / 1000000);
    buffer_release(&text);
    return bytes;
}

char *cli_read_input(size_t *length, struct error *err)
{
    return read_stream(stdin, "standard input", 64 * 1000 * 1000, length, err);
}

char *cli_read_file(const char *path, size_t maximum, size_t *length, struct error *err)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        error_set(err, STATUS_BAD_REQUEST, "%s: %s", path, strerror(errno));
        return NULL;
    }
    char *bytes = read_stream(file, path, maximum, length, err);
    fclose(file);
    return bytes;
}
