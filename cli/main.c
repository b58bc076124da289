/* vargpt: which subcommand, and which device. The only file that names a backend. */
#include "cli/cli.h"

#include "base/log.h"
#include "config/help.h"
#include "cpu/cpu_backend.h"
#include "cuda/cuda_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int (*const command_main[COMMAND_COUNT])(int argc, char **argv) = {
    [COMMAND_SERVE] = serve_main,       [COMMAND_CHAT] = chat_main,       [COMMAND_DRAW] = draw_main,
    [COMMAND_TOKENIZE] = tokenize_main, [COMMAND_INSPECT] = inspect_main, [COMMAND_VERIFY] = verify_main,
    [COMMAND_COMPARE] = compare_main,   [COMMAND_BENCH] = bench_main,     [COMMAND_HEALTH] = health_main,
    [COMMAND_CONFIG] = config_main,     [COMMAND_MAN] = man_main,
};

static enum status open_cpu(struct backend **out, const struct config *c, struct error *err)
{
    enum cpu_level level = c->cpu_level == CPU_LEVEL_SCALAR ? CPU_SCALAR
                           : c->cpu_level == CPU_LEVEL_AVX2 ? CPU_AVX2
                                                            : CPU_AVX512;
    enum cpu_level have = cpu_level_detected();
    if (c->cpu_level != CPU_LEVEL_AUTO && level > have)
        return error_set(err, STATUS_BAD_REQUEST, "this processor has no %s: use --cpu-level %s or auto",
                         cpu_level_name(level), cpu_level_name(have));
    return cpu_backend_open(out, c->threads, level, err);
}

struct cards {
    int n, device[CUDA_MOST_CARDS];
};

/* "N,N,...", no two the same; false when it is not. */
static bool read_list(struct cards *cards, const char *text)
{
    char *end;
    for (cards->n = 0; cards->n < CUDA_MOST_CARDS; text = end + 1) {
        long n = *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : -1;
        if (n < 0 || n >= 1024)
            return false;
        for (int i = 0; i < cards->n; i++) {
            if (cards->device[i] == n)
                return false;
        }
        cards->device[cards->n++] = (int)n;
        if (*end != ',')
            return !*end;
    }
    return false;
}

/* What "cuda", "cuda:N", "cuda:N,N,..." or "cuda:all" means; false when it is none of these. */
static bool read_cards(struct cards *cards, const char *device)
{
    *cards = (struct cards){.n = 1};
    if (strncmp(device, "cuda", 4) != 0 || (device[4] && device[4] != ':'))
        return false;
    if (!device[4])
        return true;
    if (strcmp(device + 5, "all") != 0)
        return read_list(cards, device + 5);
    int count = cuda_device_count(NULL);
    while (cards->n < count && cards->n < CUDA_MOST_CARDS) {
        cards->device[cards->n] = cards->n;
        cards->n++;
    }
    return true;
}

static enum status open_cards(struct backend **out, const struct cards *cards, const struct config *c,
                              struct error *err)
{
    size_t memory = (size_t)c->device_memory;
    enum status status = cards->n > 1 ? cuda_group_open(out, cards->device, cards->n, memory, err)
                                      : cuda_backend_open(out, cards->device[0], memory, err);
    if (status != STATUS_OK)
        return status;
    cuda_backend_set_fast(*out, c->precision != PRECISION_EXACT);
    cuda_backend_set_graphs(*out, c->cuda_graphs == CUDA_GRAPHS_ON);
    if (c->batch_invariant == BATCH_INVARIANT_OFF)
        cuda_backend_use_libraries(*out);
    return STATUS_OK;
}

enum status cli_open_backend(struct backend **out, const struct config *c, struct error *err)
{
    bool automatic = strcmp(c->device, "auto") == 0;
    struct cards cards;
    if (strcmp(c->device, "cpu") == 0)
        return open_cpu(out, c, err);
    if (!read_cards(&cards, automatic ? "cuda" : c->device))
        return error_set(
            err, STATUS_BAD_REQUEST,
            "device: '%s' is none of auto, cpu, cuda, cuda:N, cuda:N,N (cards that differ), cuda:all",
            c->device);
    if (!automatic)
        return open_cards(out, &cards, c, err);
    struct error why;
    if (cuda_device_count(NULL) > 0) {
        if (open_cards(out, &cards, c, &why) == STATUS_OK)
            return STATUS_OK;
        log_warning("%s; using the processor instead", why.message);
    }
    return open_cpu(out, c, err);
}

static bool is_card(const struct backend *backend)
{
    return strcmp(backend->op->name, "cuda") == 0;
}

enum dtype cli_cache_type(const struct backend *backend, const struct config *c)
{
    switch (c->cache_type) {
    case CACHE_TYPE_F32: return DTYPE_F32;
    case CACHE_TYPE_BF16: return DTYPE_BF16;
    case CACHE_TYPE_INT8: return DTYPE_I8;
    default: return is_card(backend) && c->precision != PRECISION_EXACT ? DTYPE_BF16 : DTYPE_F32;
    }
}

void cli_close_backend(struct backend *backend)
{
    if (backend && is_card(backend))
        cuda_backend_close(backend);
    else
        cpu_backend_close(backend);
}

void cli_describe_backend(const struct backend *backend, char *text, size_t size)
{
    if (is_card(backend)) {
        cuda_backend_describe(backend, text, size);
        return;
    }
    int threads = cpu_backend_threads(backend);
    snprintf(text, size, "cpu (%s, %d thread%s)", cpu_level_name(cpu_backend_level(backend)), threads,
             threads == 1 ? "" : "s");
}

const char *cli_describe_threads(const struct config *c)
{
    const char *limit;
    cpu_count_usable(&limit);
    return c->threads ? "--threads" : limit;
}

static int print_overview(FILE *to)
{
    struct buffer text;
    buffer_init(&text, BUFFER_NO_LIMIT);
    help_overview(&text);
    fwrite(text.data, 1, text.length, to);
    buffer_release(&text);
    return to == stdout ? EXIT_DONE : EXIT_USAGE;
}

static int help_main(int argc, char **argv)
{
    char *help[] = {argc > 1 ? argv[1] : NULL, "--help", NULL};
    int command = argc > 1 ? help_command_find(argv[1]) : -1;
    return command < 0 ? print_overview(argc > 1 ? stderr : stdout) : command_main[command](2, help);
}

/* What was printed may still fail to be written: a full disk. */
static int close_output(int code)
{
    bool failed = ferror(stdout) != 0;
    if (fflush(stdout) == 0 && !failed)
        return code;
    fputs("vargpt: not all could be written to standard output\n", stderr);
    return code == EXIT_DONE ? EXIT_FAILED : code;
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (!*word)
        return print_overview(stderr);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return print_overview(stdout);
    if (strcmp(word, "help") == 0)
        return help_main(argc - 1, argv + 1);
    if (strcmp(word, "--version") == 0 || strcmp(word, "version") == 0) {
        puts("vargpt " VARGPT_VERSION);
        return EXIT_DONE;
    }
    int command = help_command_find(word);
    if (command < 0) {
        fprintf(stderr, "vargpt: no subcommand '%s': see vargpt --help\n", word);
        return EXIT_USAGE;
    }
    return close_output(command_main[command](argc - 1, argv + 1));
}
