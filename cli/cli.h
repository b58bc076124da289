/* The command line: one file a subcommand, each `int NAME_main(int argc, char **argv)` with argv[0] its own
 * name, and what they share. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C. */
#ifndef VARGPT_CLI_CLI_H
#define VARGPT_CLI_CLI_H

#include "config/config.h"
#include "engine/engine.h"

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

int serve_main(int argc, char **argv);
int chat_main(int argc, char **argv);
int draw_main(int argc, char **argv);
int tokenize_main(int argc, char **argv);
int inspect_main(int argc, char **argv);
int verify_main(int argc, char **argv);
int compare_main(int argc, char **argv);
int bench_main(int argc, char **argv);
int health_main(int argc, char **argv);
int config_main(int argc, char **argv);
int man_main(int argc, char **argv);

/* The first line of a subcommand: reads the settings, finds the demo model where none is named, and answers
 * --help. True to go on (then config_release is owed); false with *code the exit code, everything said. */
bool cli_begin(struct config *, enum command, int argc, char **argv, int *code);
/* "vargpt: MESSAGE" on standard error; returns the exit code. */
int cli_fail(const struct error *);
/* The same for wrong usage, pointing at the subcommand's help; returns EXIT_USAGE. */
int cli_usage(enum command, const struct error *);

/* The device of the settings (main.c, the only file that knows which there are). */
enum status cli_open_backend(struct backend **out, const struct config *, struct error *);
void cli_close_backend(struct backend *); /* accepts NULL */
/* "cpu (avx2, 8 threads)", for start-up lines and benchmarks. */
void cli_describe_backend(const struct backend *, char *text, size_t size);
/* What keys and values are kept as: what was asked for, or what suits the device and its precision. */
enum dtype cli_cache_type(const struct backend *, const struct config *);
/* Why it has that many threads. */
const char *cli_describe_threads(const struct config *);

/* Backend and engine together. */
struct cli_engine {
    struct backend *backend;
    struct engine *engine;
};

/* Opens both as the settings say, with a progress bar on standard error where that is a terminal and loading
 * takes over a second. progress (may be NULL) hears of the fraction done instead. On failure nothing is left
 * open. */
enum status cli_open_engine(struct cli_engine *out, const struct config *,
                            void (*progress)(void *context, double fraction), void *context, struct error *);
void cli_close_engine(struct cli_engine *); /* accepts a zeroed one */

/* All of standard input, or of a file, NUL-terminated (malloc'ed); NULL with *err set. */
char *cli_read_input(size_t *length, struct error *err);
char *cli_read_file(const char *path, size_t maximum, size_t *length, struct error *err);

#endif
