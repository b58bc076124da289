/* vargpt man: the manual page. */
#include "cli/cli.h"

#include "config/help.h"

#include <stdio.h>

int man_main(int argc, char **argv)
{
    struct config config;
    int code;
    if (!cli_begin(&config, COMMAND_MAN, argc, argv, &code))
        return code;
    struct buffer text;
    buffer_init(&text, BUFFER_NO_LIMIT);
    help_manual(&text);
    fwrite(text.data, 1, text.length, stdout);
    buffer_release(&text);
    config_release(&config);
    return EXIT_DONE;
}
