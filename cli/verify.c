/* vargpt verify: compares this program with golden sets, case by case. */
#include "cli/verify.h"

#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_folder(const struct golden *g, const char *name)
{
    struct stat st;
    char *path = golden_path(g, name);
    bool is = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    free(path);
    return is;
}

/* A set that is a tokenizer only. */
static void verify_tokenizer_set(struct golden *g)
{
    size_t length;
    struct error err = {0};
    struct tokenizer *tokenizer = NULL;
    char *json = golden_read(g, "tokenizer.json", &length, &err);
    if (!json || tokenizer_open_json(&tokenizer, json, length, &err))
        golden_tell_failure(g, "tokenizer.json", "%s", err.message);
    else
        verify_tokenizer(g, tokenizer);
    tokenizer_close(tokenizer);
    free(json);
}

/* Expected tensors that no case asked for. */
static void list_unseen(const struct golden *g)
{
    for (size_t i = 0; g->expected && i < checkpoint_count(g->expected); i++) {
        const char *name = checkpoint_at(g->expected, i)->name;
        if (!json_object_get(g->seen, name))
            printf("%-46s was not compared\n", name);
    }
}

static void verify_model_set(struct golden *g, struct config *c)
{
    struct cli_engine opened = {0};
    struct error err = {0};
    free(c->model);
    c->model = golden_path(g, "checkpoint");
    if (cli_open_engine(&opened, c, NULL, NULL, &err)) {
        golden_tell_failure(g, "checkpoint", "%s", err.message);
        return;
    }
    g->engine = opened.engine;
    verify_tokenizer(g, engine_tokenizer(g->engine));
    verify_chat(g);
    verify_preprocess(g);
    verify_vision(g);
    verify_llm(g);
    verify_generate(g);
    verify_adaln(g);
    verify_encode(g);
    verify_rng(g);
    list_unseen(g);
    cli_close_engine(&opened);
}

static void verify_set(const char *folder, struct config *c, int *passed, int *failed)
{
    struct golden g;
    struct error err = {0};
    printf("%s\n", folder);
    if (golden_open(&g, folder, &err)) {
        printf("%-46s FAIL\n", err.message);
        *failed += 1;
        return;
    }
    if (is_folder(&g, "checkpoint"))
        verify_model_set(&g, c);
    else
        verify_tokenizer_set(&g);
    printf("%s: %d passed, %d failed\n\n", folder, g.passed, g.failed);
    *passed += g.passed;
    *failed += g.failed;
    golden_release(&g);
}

int verify_main(int argc, char **argv)
{
    struct config config;
    struct error err = {0};
    int passed = 0, failed = 0, code;
    if (!cli_begin(&config, COMMAND_VERIFY, argc, argv, &code))
        return code;
    if (config.precision == PRECISION_AUTO)
        config.precision = PRECISION_EXACT; /* golden sets' tolerances are for float32 */
    if (config.args.count == 0) {
        error_set(&err, STATUS_BAD_REQUEST, "which golden folder?");
        code = cli_usage(COMMAND_VERIFY, &err);
        goto out;
    }
    for (size_t i = 0; i < config.args.count; i++)
        verify_set(config.args.item[i], &config, &passed, &failed);
    printf("%d passed, %d failed\n", passed, failed);
    code = failed ? EXIT_FAILED : EXIT_DONE;
out:
    config_release(&config);
    return code;
}
