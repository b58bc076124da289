#include "config/settings.h"

#include <limits.h>
#include <string.h>

#define ON(command) (1u << COMMAND_##command)
#define ENGINE      (ON(SERVE) | ON(CHAT) | ON(DRAW) | ON(VERIFY) | ON(COMPARE) | ON(BENCH))
#define MODEL       ((ENGINE & ~ON(VERIFY)) | ON(TOKENIZE) | ON(INSPECT))
#define DRAWS       (ON(CHAT) | ON(DRAW))
#define ALL         ((1u << COMMAND_COUNT) - 1)
#define FIELD(name) #name, .offset = offsetof(struct config, name)

static const char *const cpu_levels[] = {"auto", "scalar", "avx2", "avx512", NULL};
static const char *const precisions[] = {"auto", "exact", "fast", NULL};
static const char *const on_off[] = {"on", "off", NULL};
static const char *const cache_types[] = {"auto", "f32", "bf16", "int8", NULL};
static const char *const weight_words[] = {"file", "int8", "int4", NULL};
static const char *const log_levels[] = {"debug", "info", "warning", "error", "off", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const shows[] = {"auto", "kitty", "iterm2", "sixel", "blocks", "off", NULL};

/* clang-format off */
const struct setting settings[] = {
    {FIELD(model), .letter = 'm', .type = SETTING_TEXT, .group = GROUP_MODEL, .commands = MODEL,
     .value = "DIR",
     .help = "checkpoint: a Hugging Face directory or a .gguf file; without it, the demo model that comes with the program"},
    {FIELD(device), .type = SETTING_TEXT, .group = GROUP_MODEL, .commands = ENGINE & ~ON(BENCH), .initial = "auto",
     .value = "DEVICE", .help = "cpu; cuda or cuda:N, an NVIDIA card; cuda:0,1 or cuda:all, several cards that share the model "
                                "out (needs NCCL); auto: a card if there is one that works"},
    {FIELD(precision), .type = SETTING_CHOICE, .group = GROUP_MODEL, .commands = ENGINE & ~ON(BENCH), .initial = "auto",
     .words = precisions, .value = "HOW",
     .help = "of a card's products: exact is float32, fast rounds to 16 bits; auto is fast, but exact for verify"},
    {FIELD(batch_invariant), .type = SETTING_CHOICE, .group = GROUP_MODEL, .commands = ENGINE & ~ON(BENCH), .initial = "on",
     .words = on_off, .value = "HOW",
     .help = "the same bytes for a request and a seed whatever else runs; off lets a fast card use cuBLASLt and cuDNN"},
    {FIELD(cuda_graphs), .type = SETTING_CHOICE, .group = GROUP_MODEL, .commands = ENGINE & ~ON(BENCH), .initial = "on",
     .words = on_off, .value = "HOW",
     .help = "steps of nothing but chats' next tokens are started as one on a card; the bytes are the same with off"},
    {FIELD(threads), .type = SETTING_INT, .group = GROUP_MODEL, .commands = ENGINE, .initial = "0", .most = 1024,
     .value = "N", .help = "processor threads; 0 is as many as the process may use"},
    {FIELD(cpu_level), .type = SETTING_CHOICE, .group = GROUP_MODEL, .commands = ENGINE, .initial = "auto",
     .words = cpu_levels, .value = "LEVEL", .help = "most advanced processor instructions to use"},
    {FIELD(context), .type = SETTING_INT, .group = GROUP_MODEL, .commands = ENGINE, .initial = "0",
     .most = 1 << 24, .value = "N", .help = "most positions of one request; 0 is the model's own"},
    {FIELD(max_sequences), .type = SETTING_INT, .group = GROUP_MODEL, .commands = ENGINE, .initial = "0",
     .most = 4096, .value = "N", .help = "requests computed at once; 0 is 16"},
    {FIELD(max_queue), .type = SETTING_INT, .group = GROUP_MODEL, .commands = ENGINE, .initial = "0",
     .most = 1 << 20, .value = "N", .help = "requests waiting beside them, more are refused; 0 is 256"},
    {FIELD(step_rows), .type = SETTING_INT, .group = GROUP_MODEL, .commands = ENGINE, .initial = "0",
     .most = 1 << 16, .value = "N", .help = "rows of one forward pass; 0 is 512"},
    {FIELD(token_wait_steps), .type = SETTING_INT, .group = GROUP_MODEL, .commands = ENGINE, .initial = "0",
     .most = 1000, .value = "N",
     .help = "a chat's next token may take N times a step of chats alone while others do long work; 0 is 4"},
    {FIELD(token_wait_ms), .type = SETTING_INT, .group = GROUP_MODEL, .commands = ENGINE, .initial = "0",
     .most = 60000, .value = "N", .help = "or N milliseconds, where that is more; 0 is 250"},
    {FIELD(cache), .type = SETTING_SIZE, .group = GROUP_MODEL, .commands = ENGINE, .initial = "0", .most = 1e15,
     .value = "SIZE", .help = "key/value memory; K, M, G, T are powers of 1024; 0 is chosen from the memory at hand"},
    {FIELD(device_memory), .type = SETTING_SIZE, .group = GROUP_MODEL, .commands = ENGINE & ~ON(BENCH), .initial = "0",
     .most = 1e15, .value = "SIZE",
     .help = "of a card's memory, taken once at start for weights, caches and all else; 0 is nine tenths of what is free"},
    {FIELD(cache_type), .type = SETTING_CHOICE, .group = GROUP_MODEL, .commands = ENGINE, .initial = "auto",
     .words = cache_types, .value = "TYPE",
     .help = "what keys and values are kept as: bf16 and int8 take half and about a quarter of f32's memory for a little "
             "accuracy; auto is f32, but bf16 on a card with --precision fast"},
    {FIELD(weights), .type = SETTING_CHOICE, .group = GROUP_MODEL, .commands = ENGINE & ~ON(VERIFY), .initial = "file",
     .words = weight_words, .value = "TYPE",
     .help = "what the matrices of layers become while loading: file, nothing else; int8, int4: blocks of 32 with a scale, "
             "a half or a quarter of a card's memory and time for some accuracy"},
    {FIELD(log_level), .type = SETTING_CHOICE, .group = GROUP_MODEL, .commands = ENGINE, .initial = "info",
     .words = log_levels, .value = "LEVEL", .help = "least serious lines to log on standard error"},

    {FIELD(host), .type = SETTING_TEXT, .group = GROUP_SERVER, .commands = ON(SERVE) | ON(HEALTH),
     .initial = "127.0.0.1", .value = "ADDRESS", .help = "address to listen on, or to ask; unix:/path is a socket file"},
    {FIELD(port), .type = SETTING_INT, .group = GROUP_SERVER, .commands = ON(SERVE) | ON(HEALTH),
     .initial = "8000", .most = 65535, .value = "N", .help = "TCP port; 0 is any free one, and is printed"},
    {FIELD(model_name), .alias = "alias", .type = SETTING_TEXT, .group = GROUP_SERVER, .commands = ON(SERVE),
     .value = "NAME", .help = "the model's name for clients; without it, the checkpoint's own"},
    {FIELD(max_connections), .type = SETTING_INT, .group = GROUP_SERVER, .commands = ON(SERVE),
     .initial = "1200", .least = 1, .most = 65535, .value = "N", .help = "connections open at once"},
    {FIELD(max_body), .type = SETTING_SIZE, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "64M",
     .least = 1024, .most = 4294967296.0, .value = "SIZE", .help = "largest request body"},
    {FIELD(max_pictures), .type = SETTING_INT, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "16",
     .least = 1, .most = 1024, .value = "N", .help = "pictures in one request"},
    {FIELD(max_choices), .type = SETTING_INT, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "10",
     .least = 1, .most = 128, .value = "N", .help = "most choices or pictures asked for at once (`n`)"},
    {FIELD(drain_seconds), .type = SETTING_INT, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "30",
     .least = 1, .most = 86400, .value = "N", .help = "how long replies may go on after a signal to stop"},
    {FIELD(drain_delay), .type = SETTING_INT, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "0",
     .most = 3600, .value = "N",
     .help = "seconds before that in which /health says no and requests are still taken, for load balancers to notice"},
    {FIELD(request_timeout), .type = SETTING_INT, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "0",
     .most = 86400, .value = "N", .help = "seconds that a request may take; 0 is no limit"},
    {FIELD(stuck_seconds), .type = SETTING_INT, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "60",
     .least = 1, .most = 86400, .value = "N", .help = "without a step of the engine until /health says so"},
    {FIELD(api_key_file), .type = SETTING_TEXT, .group = GROUP_SERVER, .commands = ON(SERVE), .value = "FILE",
     .help = "API keys, one a line: KEY [NAME] [requests=N] [tokens=N]; SIGHUP reads it again"},
    {FIELD(api_keys), .alias = "api_key", .type = SETTING_TEXT, .group = GROUP_SERVER, .commands = ON(SERVE),
     .value = "KEYS", .help = "API keys with commas between; a flag can be seen by others, so prefer VARGPT_API_KEYS"},
    {FIELD(key_requests), .type = SETTING_INT, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "0",
     .most = 1e9, .value = "N", .help = "requests of an API key a minute; 0 is no limit"},
    {FIELD(key_tokens), .type = SETTING_INT, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "0",
     .most = 1e9, .value = "N", .help = "tokens read and written for an API key a minute; 0 is no limit"},
    {FIELD(metrics_open), .type = SETTING_FLAG, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "false",
     .help = "/metrics needs no API key"},
    {FIELD(cors_origins), .type = SETTING_TEXT, .group = GROUP_SERVER, .commands = ON(SERVE), .value = "ORIGINS",
     .help = "web pages that may call from a browser: origins with commas between, or *"},
    {FIELD(tls_cert), .type = SETTING_TEXT, .group = GROUP_SERVER, .commands = ON(SERVE) | ON(HEALTH),
     .value = "FILE", .help = "certificate chain in PEM: the server speaks HTTPS; SIGHUP reads both again"},
    {FIELD(tls_key), .type = SETTING_TEXT, .group = GROUP_SERVER, .commands = ON(SERVE), .value = "FILE",
     .help = "the certificate's private key in PEM"},
    {FIELD(log_format), .type = SETTING_CHOICE, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "text",
     .words = log_formats, .value = "FORMAT", .help = "lines of the log"},
    {FIELD(log_prompts), .type = SETTING_FLAG, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "false",
     .help = "log what is asked too"},
    {FIELD(public_url), .type = SETTING_TEXT, .group = GROUP_SERVER, .commands = ON(SERVE), .value = "URL",
     .help = "how links to pictures begin; without it, as the client calls the server"},
    {FIELD(kept_pictures), .type = SETTING_INT, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "256",
     .least = 1, .most = 1 << 20, .value = "N", .help = "drawn pictures kept for links to them"},
    {FIELD(kept_bytes), .type = SETTING_SIZE, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "256M",
     .least = 1024, .most = 1e12, .value = "SIZE", .help = "memory for them; the oldest go first"},
    {FIELD(kept_seconds), .type = SETTING_INT, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "3600",
     .least = 1, .most = 1 << 30, .value = "N", .help = "how long they are kept"},
    {FIELD(fetch_hosts), .type = SETTING_TEXT, .group = GROUP_SERVER, .commands = ON(SERVE), .value = "HOSTS",
     .help = "hosts that pictures in requests may be fetched from: names, *.domain or *, with commas; without it, none"},
    {FIELD(fetch_seconds), .type = SETTING_INT, .group = GROUP_SERVER, .commands = ON(SERVE), .initial = "10",
     .least = 1, .most = 600, .value = "N", .help = "how long fetching a picture may take"},

    {FIELD(system), .type = SETTING_TEXT, .group = GROUP_TEXT, .commands = DRAWS, .value = "TEXT",
     .help = "system message in front of the conversation"},
    {FIELD(max_tokens), .type = SETTING_INT, .group = GROUP_TEXT, .commands = ON(CHAT) | ON(BENCH), .initial = "-1",
     .least = -1, .most = INT_MAX, .value = "N", .help = "text tokens of a reply; -1 is to the end of the context"},
    {FIELD(temperature), .type = SETTING_REAL, .group = GROUP_TEXT, .commands = ON(SERVE) | ON(CHAT), .most = 2, .value = "X",
     .help = "0 takes the likeliest token; without it, the checkpoint's own or 1"},
    {FIELD(top_p), .type = SETTING_REAL, .group = GROUP_TEXT, .commands = ON(SERVE) | ON(CHAT), .most = 1, .above = true,
     .value = "X", .help = "nucleus of probability; 1 is off; without it, the checkpoint's own or 1"},
    {FIELD(top_k), .type = SETTING_INT, .group = GROUP_TEXT, .commands = ON(SERVE) | ON(CHAT), .most = INT_MAX, .value = "N",
     .help = "likeliest tokens to choose from; 0 is off; without it, the checkpoint's own or 0"},
    {FIELD(min_p), .type = SETTING_REAL, .group = GROUP_TEXT, .commands = ON(CHAT), .initial = "0", .most = 1,
     .value = "X", .help = "drop tokens of less than X times the largest probability"},
    {FIELD(repetition_penalty), .type = SETTING_REAL, .group = GROUP_TEXT, .commands = ON(CHAT), .initial = "1",
     .most = 100, .above = true, .value = "X", .help = "above 1 makes all tokens seen so far less likely"},
    {FIELD(frequency_penalty), .type = SETTING_REAL, .group = GROUP_TEXT, .commands = ON(CHAT), .initial = "0",
     .least = -2, .most = 2, .value = "X", .help = "lowers a token's logit by X for each time it is in the reply"},
    {FIELD(presence_penalty), .type = SETTING_REAL, .group = GROUP_TEXT, .commands = ON(CHAT), .initial = "0",
     .least = -2, .most = 2, .value = "X", .help = "lowers the logit of tokens that are in the reply by X"},
    {FIELD(seed), .type = SETTING_SEED, .group = GROUP_TEXT, .commands = DRAWS, .value = "N",
     .help = "makes text and pictures repeatable; without it, one is chosen"},

    {FIELD(guidance_scale), .alias = "cfg", .type = SETTING_REAL, .group = GROUP_DRAWING, .commands = DRAWS,
     .most = 20, .value = "X", .help = "how closely a picture follows the prompt; without it, the checkpoint's own or 1.5"},
    {FIELD(image_temperature), .draw_alias = "temperature", .type = SETTING_REAL, .group = GROUP_DRAWING,
     .commands = DRAWS, .most = 2, .value = "X",
     .help = "temperature of image tokens; 0 is argmax; without it, the checkpoint's own or 1"},
    {FIELD(image_top_k), .draw_alias = "top_k", .type = SETTING_INT, .group = GROUP_DRAWING, .commands = DRAWS,
     .most = INT_MAX, .value = "N",
     .help = "likeliest image tokens to choose from; 0 is off; without it, the checkpoint's own or 900"},
    {FIELD(image_top_p), .draw_alias = "top_p", .type = SETTING_REAL, .group = GROUP_DRAWING, .commands = DRAWS,
     .most = 1, .above = true, .value = "X",
     .help = "nucleus of image tokens; 1 is off; without it, the checkpoint's own or 0.96"},
    {FIELD(max_images), .type = SETTING_INT, .group = GROUP_DRAWING, .commands = ON(CHAT), .initial = "4",
     .most = 64, .value = "N", .help = "pictures in one reply; 0 keeps the model from drawing"},
    {FIELD(n), .letter = 'n', .type = SETTING_INT, .group = GROUP_DRAWING, .commands = ON(DRAW), .flag_only = true,
     .initial = "1", .least = 1, .most = 64, .value = "N", .help = "pictures to draw: NAME-1.png, NAME-2.png, ..."},
    {FIELD(output), .letter = 'o', .type = SETTING_TEXT, .group = GROUP_DRAWING, .commands = DRAWS,
     .flag_only = true, .value = "FILE", .help = "where to save pictures; .png, .jpg, .jpeg or .webp"},
    {FIELD(quality), .type = SETTING_INT, .group = GROUP_DRAWING, .commands = DRAWS, .initial = "90", .most = 100,
     .value = "N", .help = "of JPEG and WebP files"},
    {FIELD(previews), .type = SETTING_TEXT, .group = GROUP_DRAWING, .commands = ON(DRAW), .flag_only = true,
     .value = "DIR", .help = "save the picture after each scale into this directory"},
    {FIELD(image), .letter = 'i', .type = SETTING_LIST, .group = GROUP_OTHER, .commands = DRAWS, .flag_only = true,
     .value = "FILE", .help = "picture to show the model; may be repeated"},
    {FIELD(show), .type = SETTING_CHOICE, .group = GROUP_OTHER, .commands = ON(CHAT), .initial = "auto",
     .words = shows, .value = "HOW", .help = "how pictures are shown in the terminal"},

    {FIELD(ids), .type = SETTING_FLAG, .group = GROUP_OTHER, .commands = ON(TOKENIZE), .flag_only = true,
     .help = "print the ids alone, on one line"},
    {FIELD(decode), .type = SETTING_FLAG, .group = GROUP_OTHER, .commands = ON(TOKENIZE), .flag_only = true,
     .help = "take ids and print their text"},
    {FIELD(plain), .type = SETTING_FLAG, .group = GROUP_OTHER, .commands = ON(TOKENIZE), .flag_only = true,
     .help = "match no special tokens in the text, as in a person's message"},
    {FIELD(skip_special), .type = SETTING_FLAG, .group = GROUP_OTHER, .commands = ON(TOKENIZE), .flag_only = true,
     .help = "with --decode, leave special tokens out"},
    {FIELD(json), .type = SETTING_FLAG, .group = GROUP_OTHER, .commands = ON(INSPECT) | ON(COMPARE) | ON(BENCH), .flag_only = true,
     .help = "print JSON"},
    {FIELD(example), .type = SETTING_FLAG, .group = GROUP_OTHER, .commands = ON(CONFIG), .flag_only = true,
     .help = "print a file with every setting at its default"},
    {"config", .offset = offsetof(struct config, config_file), .type = SETTING_TEXT, .group = GROUP_OTHER,
     .commands = ALL & ~(ON(CONFIG) | ON(MAN)), .value = "FILE", .help = "JSON file of settings"},
    {FIELD(help), .letter = 'h', .type = SETTING_FLAG, .group = GROUP_OTHER, .commands = ALL, .flag_only = true,
     .help = "print this help"},
};
/* clang-format on */

const size_t n_settings = sizeof settings / sizeof *settings;
_Static_assert(sizeof settings / sizeof *settings <= CONFIG_MAX_SETTINGS, "raise CONFIG_MAX_SETTINGS");

const struct setting *setting_find(const char *name)
{
    for (size_t i = 0; i < n_settings; i++) {
        if (strcmp(settings[i].name, name) == 0)
            return &settings[i];
    }
    return NULL;
}
