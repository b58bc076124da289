/* vargpt inspect: what a checkpoint is made of, from its headers: no weights are read. */
#include "cli/cli.h"
#include "cli/inspection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* "14.1 GiB" */
static const char *show_bytes(char text[32], long long bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1024 && unit < 4) {
        value /= 1024;
        unit++;
    }
    snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

/* "  llm       hidden 4096, layers 32, ..." */
static void print_sizes(const json_t *root, const char *part)
{
    const char *key;
    json_t *value;
    const json_t *sizes = json_object_get(root, part);
    const char *comma = "";
    if (!sizes)
        return;
    printf("%-15s", part);
    json_object_foreach((json_t *)sizes, key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(7));
        printf("%s%s %s", comma, key, text);
        free(text);
        comma = ", ";
    }
    putchar('\n');
}

static void print_parts(const json_t *root)
{
    size_t i;
    json_t *part, *bytes;
    const char *type;
    char text[32];
    printf("\n%-18s %8s %15s %11s  types\n", "part", "tensors", "parameters", "bytes");
    json_array_foreach(json_object_get(root, "parts"), i, part)
    {
        printf("%-18s %8lld %15lld %11s ", text_of(part, "part"), number_of(part, "tensors"),
               number_of(part, "parameters"), show_bytes(text, number_of(part, "bytes")));
        json_object_foreach(json_object_get(part, "types"), type, bytes)
        {
            printf(" %s", type);
        }
        putchar('\n');
    }
}

static void print_tokens(const json_t *root)
{
    const char *name;
    json_t *token;
    size_t i;
    printf("\nspecial tokens\n");
    json_array_foreach(json_object_get(root, "special_tokens"), i, token)
    {
        name = text_of(token, "name");
        printf("  %-16s %7lld  %s\n", name, number_of(token, "id"), text_of(token, "text"));
    }
    if (json_object_get(root, "tokenizer_problem"))
        printf("  tokenizer: %s\n", text_of(root, "tokenizer_problem"));
}

static void print_memory(const json_t *root)
{
    char text[32];
    const json_t *memory = json_object_get(root, "memory");
    printf("\nmemory\n  weights          %s\n", show_bytes(text, number_of(memory, "weights")));
    printf("  cache a token    %s\n", show_bytes(text, number_of(memory, "cache_per_token")));
    printf("  cache a context  %s\n", show_bytes(text, number_of(memory, "cache_of_context")));
    if (json_object_get(memory, "picture"))
        printf("  a picture        %s\n", show_bytes(text, number_of(memory, "picture")));
}

static void print_text(const json_t *root)
{
    printf("%s: %s, %s\n\n", text_of(root, "name"), text_of(root, "kind"), text_of(root, "format"));
    print_sizes(root, "llm");
    print_sizes(root, "vision");
    print_sizes(root, "drawing");
    print_parts(root);
    print_tokens(root);
    print_memory(root);
}

int inspect_main(int argc, char **argv)
{
    struct config config;
    struct error err = {0};
    json_t *root = NULL;
    int code;
    if (!cli_begin(&config, COMMAND_INSPECT, argc, argv, &code))
        return code;
    const char *path = config.args.count ? config.args.item[0] : config.model;
    if (inspection_make(&root, path, &err) != STATUS_OK) {
        code = cli_fail(&err);
    } else {
        if (config.json && json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(7)) == 0)
            putchar('\n');
        else if (!config.json)
            print_text(root);
        code = EXIT_DONE;
    }
    json_decref(root);
    config_release(&config);
    return code;
}
