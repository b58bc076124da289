/* check_ops [--level scalar|avx2|avx512] [--op NAME] [--seed N] [--bench]
 *
 * Every operation on every CPU level this machine has, against the reference of reference.c. With --bench:
 * speeds, at the level given or the best. */
#include "check.h"

#include "cpu/cpu_backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    void (*run)(struct check *);
} operations[] = {
    {"memory", case_memory},
    {"embed", case_embed},
    {"gather", case_gather},
    {"scatter", case_scatter},
    {"linear", case_linear},
    {"rms_norm", case_rms_norm},
    {"layer_norm", case_layer_norm},
    {"head_norm", case_head_norm},
    {"rope", case_rope},
    {"silu_mul", case_silu_mul},
    {"add", case_add},
    {"kv_write", case_kv_write},
    {"attention", case_attention},
    {"conv2d", case_conv2d},
    {"group_norm", case_group_norm},
    {"resize", case_resize},
    {"guide", case_guide},
    {"noise", case_noise},
    {"sample", case_sample},
    {"nearest", case_nearest},
};

struct options {
    int level; /* -1: all */
    const char *only;
    uint64_t seed;
    bool bench;
};

static bool options_read(struct options *o, int argc, char **argv)
{
    *o = (struct options){.level = -1, .seed = 1};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--bench")) {
            o->bench = true;
        } else if (value && !strcmp(argv[i], "--op")) {
            o->only = argv[++i];
        } else if (value && !strcmp(argv[i], "--seed")) {
            char *end;
            errno = 0;
            o->seed = strtoull(argv[++i], &end, 10);
            if (*end || errno)
                return false;
        } else if (value && !strcmp(argv[i], "--level")) {
            for (int level = CPU_SCALAR; level <= CPU_AVX512; level++) {
                if (!strcmp(value, cpu_level_name(level)))
                    o->level = level;
            }
            if (o->level < 0)
                return false;
            i++;
        } else {
            return false;
        }
    }
    return true;
}

static struct backend *open_backend(int threads, enum cpu_level level)
{
    struct backend *be = NULL;
    struct error err = {0};
    if (cpu_backend_open(&be, threads, level, &err) != STATUS_OK) {
        fprintf(stderr, "check_ops: %s\n", err.message);
        exit(2);
    }
    return be;
}

static int check_level(const struct options *o, enum cpu_level level)
{
    struct check c = {.level = cpu_level_name(level), .only = o->only, .random = o->seed};
    for (int i = 0; i < CHECK_BACKENDS; i++)
        c.backend[i] = open_backend(i + 1, level);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        if (o->only && strcmp(o->only, operations[i].name))
            continue;
        int cases = c.cases, failures = c.failures;
        c.worst = 0;
        operations[i].run(&c);
        printf("%-8s %-10s %4d cases  %s  largest error %4.0f %% of its bound\n", c.level, operations[i].name,
               c.cases - cases, c.failures == failures ? "ok    " : "FAILED", 100 * c.worst);
        fflush(stdout);
    }
    for (int i = 0; i < CHECK_BACKENDS; i++)
        cpu_backend_close(c.backend[i]);
    if (c.cases == 0) {
        fprintf(stderr, "check_ops: there is no operation \"%s\"\n", o->only);
        return 1;
    }
    return c.failures;
}

int main(int argc, char **argv)
{
    struct options o;
    if (!options_read(&o, argc, argv)) {
        fprintf(stderr, "usage: check_ops [--level scalar|avx2|avx512] [--op NAME] [--seed N] [--bench]\n");
        return 2;
    }
    enum cpu_level best = cpu_level_detected();
    if (o.level > (int)best) {
        fprintf(stderr, "check_ops: this processor has %s at most\n", cpu_level_name(best));
        return 2;
    }
    if (o.bench) {
        struct backend *be = open_backend(0, o.level < 0 ? best : (enum cpu_level)o.level);
        int code = bench_run(be, o.only);
        cpu_backend_close(be);
        return code;
    }
    int failures = 0;
    for (int level = CPU_SCALAR; level <= (int)best; level++) {
        if (o.level < 0 || o.level == level)
            failures += check_level(&o, (enum cpu_level)level);
    }
    return failures ? 1 : 0;
}
