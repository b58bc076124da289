/* The settings of vargpt: plain values, read from flags (--name value), the environment (VARGPT_NAME), a JSON
 * file
 * (--config FILE) and defaults, in this order of precedence. One table (settings.c) names them all; help
 * texts, the manual page and the example file come from it. Names are those of the HTTP interface wherever it
 * has the same thing. */
#ifndef VARGPT_CONFIG_CONFIG_H
#define VARGPT_CONFIG_CONFIG_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The subcommands; a setting says which of them use it. */
enum command {
    COMMAND_SERVE,
    COMMAND_CHAT,
    COMMAND_DRAW,
    COMMAND_TOKENIZE,
    COMMAND_INSPECT,
    COMMAND_VERIFY,
    COMMAND_COMPARE,
    COMMAND_BENCH,
    COMMAND_HEALTH,
    COMMAND_CONFIG,
    COMMAND_MAN,
    COMMAND_COUNT
};

/* Values of `cpu_level`, `precision`, `batch_invariant`, `cuda_graphs`, `cache_type`, `weights`, `log_level` and `show`: places in the lists of words that settings.c gives them. */
enum cpu_level_setting { CPU_LEVEL_AUTO, CPU_LEVEL_SCALAR, CPU_LEVEL_AVX2, CPU_LEVEL_AVX512 };
enum precision_setting { PRECISION_AUTO, PRECISION_EXACT, PRECISION_FAST };
enum batch_invariant_setting { BATCH_INVARIANT_ON, BATCH_INVARIANT_OFF };
enum cuda_graphs_setting { CUDA_GRAPHS_ON, CUDA_GRAPHS_OFF };
enum cache_type_setting { CACHE_TYPE_AUTO, CACHE_TYPE_F32, CACHE_TYPE_BF16, CACHE_TYPE_INT8 };
enum weights_setting { WEIGHTS_FILE, WEIGHTS_INT8, WEIGHTS_INT4 };
enum log_level_setting { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR, LOG_LEVEL_OFF };
enum log_format_setting { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
enum show_setting { SHOW_AUTO, SHOW_KITTY, SHOW_ITERM2, SHOW_SIXEL, SHOW_BLOCKS, SHOW_OFF };

/* Strings in the order in which they were given. */
struct config_list {
    char **item;
    size_t count;
};

enum { CONFIG_MAX_SETTINGS = 96 };

/* Where a setting's value came from; a later one wins. */
enum config_source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_FLAG };

struct config {
    /* model and machine */
    char *model, *device; /* device: "auto", "cpu", "cuda", "cuda:N", "cuda:N,N", "cuda:all" */
    int threads, cpu_level, precision, batch_invariant, cuda_graphs;
    int context, max_sequences, max_queue, step_rows; /* 0 = the engine's choice */
    int token_wait_steps, token_wait_ms;              /* likewise */
    uint64_t cache;                                   /* bytes; 0 = the engine's choice */
    uint64_t device_memory;                           /* bytes of a card; 0 = nine tenths of what is free */
    int cache_type, weights, log_level;
    /* server */
    char *host;
    int port;
    char *model_name; /* NULL = the checkpoint's own */
    int max_connections;
    uint64_t max_body; /* bytes */
    int max_pictures, max_choices;
    int drain_seconds, drain_delay, request_timeout, stuck_seconds;
    char *api_key_file, *api_keys; /* NULL = none */
    int key_requests, key_tokens;  /* a minute; 0 = no limit */
    bool metrics_open, log_prompts;
    char *cors_origins;       /* NULL = none */
    char *tls_cert, *tls_key; /* files; NULL = no TLS */
    int log_format;
    char *public_url; /* NULL = as the client calls the server */
    int kept_pictures, kept_seconds;
    uint64_t kept_bytes;
    char *fetch_hosts; /* NULL = none */
    int fetch_seconds;
    /* text; what was not given (config_given) is the checkpoint's own */
    double temperature, top_p, min_p;
    int top_k;
    double repetition_penalty, frequency_penalty, presence_penalty;
    uint64_t seed;  /* not given: chosen by the program */
    int max_tokens; /* -1 = to the end of the context */
    int max_images; /* drawn in one reply; 0 = none */
    char *system;   /* NULL = none */
    /* drawing */
    double guidance_scale, image_temperature, image_top_p;
    int image_top_k;
    int n;
    char *output, *previews; /* NULL = none */
    int quality;
    /* of single subcommands */
    struct config_list image;
    int show;
    bool ids, decode, plain, skip_special, json, example;

    char *config_file; /* NULL = none */
    bool help;
    struct config_list args;                   /* what is not a flag */
    unsigned char source[CONFIG_MAX_SETTINGS]; /* enum config_source, by place in the table */
};

/* Reads all sources. argv[0] is skipped; flags and other arguments may be mixed, "--" ends the flags, and "-"
 * is an argument. With -h or --help only config->help is set. Unknown flags, flags of other subcommands,
 * unknown keys of the file, wrong types, values out of range and too many arguments are STATUS_BAD_REQUEST;
 * the message says what would be right. On failure *config is released. */
enum status config_read(struct config *, enum command, int argc, char **argv, struct error *err);
void config_release(struct config *); /* accepts a zeroed config */

/* True when a flag, the environment or the file gave the setting of that name (which must exist). */
bool config_given(const struct config *, const char *name);

#endif
