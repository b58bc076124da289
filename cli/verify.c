/* vargpt verify: compares this program with golden sets, case by case. */
#include "cli/verify.h"

#include "base/memory.h"
#include "cpu/cpu_backend.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char usage[] =
    "usage: vargpt verify [--threads N] [--level scalar|avx2|avx512] GOLDEN_DIR...\n"
    "Runs every case of golden sets (tests/golden/README.md) and tells how far off each is.\n";

struct verify_options {
    int threads;
    enum cpu_level level;
    char **folder;
    int n_folders;
};

static bool read_threads(const char *text, int *out)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < 0 || n > 4096)
        return false;
    *out = (int)n;
    return true;
}

static bool read_level(const char *text, enum cpu_level *out)
{
    for (int level = CPU_SCALAR; level <= CPU_AVX512; level++) {
        if (!strcmp(text, cpu_level_name((enum cpu_level)level))) {
            *out = (enum cpu_level)level;
            return true;
        }
    }
    return false;
}

static bool options_read(struct verify_options *o, int argc, char **argv)
{
    *o = (struct verify_options){.level = CPU_AVX512};
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!(!strcmp(argv[i], "--threads") && read_threads(value, &o->threads)) &&
            !(!strcmp(argv[i], "--level") && read_level(value, &o->level)))
            return false;
        i++;
    }
    o->folder = argv + i;
    o->n_folders = argc - i;
    return o->n_folders > 0;
}

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

static void verify_model_set(struct golden *g, struct backend *backend)
{
    struct error err = {0};
    char *path = golden_path(g, "checkpoint");
    struct engine_options options = {.model_path = path};
    if (engine_open(&g->engine, backend, &options, &err)) {
        golden_tell_failure(g, "checkpoint", "%s", err.message);
    } else {
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
    }
    engine_close(g->engine);
    free(path);
}

static void verify_set(const char *folder, struct backend *backend, int *passed, int *failed)
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
        verify_model_set(&g, backend);
    else
        verify_tokenizer_set(&g);
    printf("%s: %d passed, %d failed\n\n", folder, g.passed, g.failed);
    *passed += g.passed;
    *failed += g.failed;
    golden_release(&g);
}

int verify_main(int argc, char **argv)
{
    struct verify_options o;
    struct backend *backend = NULL;
    struct error err = {0};
    int passed = 0, failed = 0;
    if (!options_read(&o, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    if (cpu_backend_open(&backend, o.threads, o.level, &err)) {
        fprintf(stderr, "vargpt verify: %s\n", err.message);
        return 1;
    }
    for (int i = 0; i < o.n_folders; i++)
        verify_set(o.folder[i], backend, &passed, &failed);
    cpu_backend_close(backend);
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
