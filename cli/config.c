/* vargpt config: an example of a settings file. */
#include "cli/cli.h"

#include "config/help.h"

#include <stdio.h>

int config_main(int argc, char **argv)
{
    struct config config;
    int code;
    if (!cli_begin(&config, COMMAND_CONFIG, argc, argv, &code))
        return code;
    struct error err = {0};
    if (config.example) {
        struct buffer text;
        buffer_init(&text, BUFFER_NO_LIMIT);
        help_example(&text);
        fwrite(text.data, 1, text.length, stdout);
        buffer_release(&text);
        code = EXIT_DONE;
    } else {
        error_set(&err, STATUS_BAD_REQUEST, "say --example");
        code = cli_usage(COMMAND_CONFIG, &err);
    }
    config_release(&config);
    return code;
}
