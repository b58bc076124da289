/* check_ops [--device cpu|cuda] [--precision exact|fast] [--batch-invariant on|off] [--level
 * scalar|avx2|avx512]
 * [--op NAME] [--seed N] [--bench]
 *
 * Every operation on every CPU level this machine has, or on a graphics card, against the reference of
 * reference.c. With --bench: speeds, at the level given or the best. On an emulated card three backends run
 * the threads of each block in different orders, and must get the same bytes. */
#include "check.h"

#include "cpu/cpu_backend.h"
#include "cuda/cuda_backend.h"
#include "on_device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    void (*run)(struct check *);
} operations[] = {
    {"memory", case_memory},           {"embed", case_embed},           {"gather", case_gather},
    {"scatter", case_scatter},         {"linear", case_linear},         {"rms_norm", case_rms_norm},
    {"layer_norm", case_layer_norm},   {"silu_mul", case_silu_mul},     {"add", case_add},
    {"kv_write", case_kv_write},       {"rope_write", case_rope_write}, {"norm_write", case_norm_write},
    {"attention", case_attention},     {"conv2d", case_conv2d},         {"group_norm", case_group_norm},
    {"resize", case_resize},           {"guide", case_guide},           {"noise", case_noise},
    {"edit_logits", case_edit_logits}, {"sample", case_sample},         {"nearest", case_nearest},
};

struct options {
    int level; /* -1: all */
    bool cuda, fast, rows_vary;
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
        } else if (value && !strcmp(argv[i], "--device")) {
            o->cuda = !strcmp(argv[++i], "cuda");
            if (!o->cuda && strcmp(argv[i], "cpu"))
                return false;
        } else if (value && !strcmp(argv[i], "--precision")) {
            o->fast = !strcmp(argv[++i], "fast");
            if (!o->fast && strcmp(argv[i], "exact"))
                return false;
        } else if (value && !strcmp(argv[i], "--batch-invariant")) {
            o->rows_vary = !strcmp(argv[++i], "off");
            if (!o->rows_vary && strcmp(argv[i], "on"))
                return false;
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

static int run_operations(struct check *c)
{
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        if (c->only && strcmp(c->only, operations[i].name))
            continue;
        int cases = c->cases, failures = c->failures;
        c->worst = 0;
        operations[i].run(c);
        printf("%-8s %-10s %4d cases  %s  largest error %4.0f %% of its bound\n", c->level,
               operations[i].name, c->cases - cases, c->failures == failures ? "ok    " : "FAILED",
               100 * c->worst);
        fflush(stdout);
    }
    if (c->cases == 0) {
        fprintf(stderr, "check_ops: there is no operation \"%s\"\n", c->only);
        return 1;
    }
    return c->failures;
}

static int check_level(const struct options *o, enum cpu_level level)
{
    struct check c = {
        .level = cpu_level_name(level), .only = o->only, .random = o->seed, .rounds_blocks = true};
    for (int i = 0; i < CHECK_BACKENDS; i++)
        c.backend[i] = open_backend(i + 1, level);
    c.plain = open_backend(1, CPU_SCALAR);
    int failures = run_operations(&c);
    for (int i = 0; i < CHECK_BACKENDS; i++)
        cpu_backend_close(c.backend[i]);
    cpu_backend_close(c.plain);
    return failures;
}

/* The emulator's (cuda/emulator/emulator.h), where it is the card. */
extern void emulator_set_order(int order) __attribute__((weak));
extern unsigned long emulator_library_calls(void) __attribute__((weak));

static void set_order(int order)
{
    if (emulator_set_order)
        emulator_set_order(order);
}

static int check_cuda(const struct options *o)
{
    struct check c = {.level = emulator_set_order ? "emulated" : "cuda",
                      .only = o->only,
                      .random = o->seed,
                      .fast = o->fast,
                      .rounds_blocks = o->fast};
    for (int i = 0; i < CHECK_BACKENDS; i++) {
        struct backend *device = NULL;
        struct error err = {0};
        if (cuda_backend_open(&device, 0, 0, &err)) {
            fprintf(stderr, "check_ops: %s\n", err.message);
            exit(2);
        }
        cuda_backend_set_fast(device, o->fast);
        if (o->rows_vary)
            cuda_backend_use_libraries(device);
        c.rows_vary |= device->rows_vary;
        char text[400];
        cuda_backend_describe(device, text, sizeof text);
        if (i == 0)
            printf("%s\n", text);
        c.backend[i] = on_device_open(device, set_order, i);
    }
    c.plain = open_backend(1, CPU_SCALAR);
    int failures = run_operations(&c);
    for (int i = 0; i < CHECK_BACKENDS; i++)
        cuda_backend_close(on_device_close(c.backend[i]));
    cpu_backend_close(c.plain);
    if (c.rows_vary && emulator_library_calls)
        printf("%lu products and convolutions by libraries\n", emulator_library_calls());
    return failures;
}

int main(int argc, char **argv)
{
    struct options o;
    if (!options_read(&o, argc, argv)) {
        fprintf(stderr,
                "usage: check_ops [--device cpu|cuda] [--precision exact|fast] [--batch-invariant on|off] "
                "[--level scalar|avx2|avx512] [--op NAME] [--seed N] [--bench]\n");
        return 2;
    }
    if (o.cuda)
        return check_cuda(&o) ? 1 : 0;
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
