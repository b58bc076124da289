#include "cli/bench.h"

#include "base/memory.h"
#include "cli/bench_ops.h"
#include "cpu/cpu_backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: vargpt bench [-m MODEL] [--threads N] [--op KIND|none] [--tokens N] [--clients N] [--json]\n"
    "Measures what this machine can do, how near the operations come to it (--op linear, conv2d, attention, "
    "...; 'all';\n"
    "default: linear, conv2d and attention without -m, none with it) and, with -m, every stage of a "
    "checkpoint.\n";

struct bench_options {
    struct bench_model_options model;
    const char *op;
    int threads;
    bool json;
};

/* ---- the report ---- */

static void print_line(const char *name, const struct bench_figure *figure, size_t n)
{
    printf("  %-50s", name);
    for (size_t i = 0; i < n; i++)
        printf("  %10.*f %s", figure[i].value < 10 ? 3 : 1, figure[i].value, figure[i].unit);
    printf("\n");
    fflush(stdout);
}

void bench_tell(struct bench_report *report, const char *section, const char *name,
                const struct bench_figure *figure, size_t n)
{
    json_t *list = json_object_get(report->root, section);
    if (!list) {
        list = json_array();
        json_object_set_new(report->root, section, list);
        if (!report->as_json)
            printf("%s\n", section);
    }
    json_t *entry = json_pack("{s:s}", "name", name);
    for (size_t i = 0; i < n; i++)
        json_object_set_new(entry, figure[i].key, json_real(figure[i].value));
    json_array_append_new(list, entry);
    if (!report->as_json)
        print_line(name, figure, n);
}

/* ---- the machine and its operations ---- */

static void tell_machine(struct bench_report *report, struct backend *backend)
{
    const char *level = cpu_level_name(cpu_backend_level(backend));
    report->limit.flops = cpu_measure_flops(backend, 0.4);
    report->limit.bandwidth = cpu_measure_bandwidth(backend, 0.4);
    const struct bench_figure figure[] = {
        {"threads", "threads", cpu_backend_threads(backend)},
        {"gflops", "GFLOP/s", report->limit.flops * 1e-9},
        {"gbytes_per_second", "GB/s", report->limit.bandwidth * 1e-9},
    };
    bench_tell(report, "machine", level, figure, 3);
}

static void on_speed(void *context, const struct op_speed *speed)
{
    struct bench_report *report = context;
    struct bench_figure figure[3] = {{"time_ms", "ms", speed->seconds * 1e3}};
    size_t n = 1;
    if (speed->operations > 0)
        figure[n++] = (struct bench_figure){"percent_of_flops", "% of FLOP/s",
                                            100 * speed->operations / speed->seconds / speed->flops};
    if (speed->bytes > 0)
        figure[n++] = (struct bench_figure){"percent_of_bandwidth", "% of GB/s",
                                            100 * speed->bytes / speed->seconds / speed->bandwidth};
    bench_tell(report, "operations", speed->name, figure, n);
}

static void tell_operations(struct bench_report *report, struct backend *backend,
                            const struct bench_options *o)
{
    static const char *const usual[] = {"linear", "conv2d", "attention"};
    struct bench_ops_options options = {.seconds_each = 0.2, .on_speed = on_speed, .context = report};
    if (o->op) {
        options.only = strcmp(o->op, "all") ? o->op : NULL;
        if (strcmp(o->op, "none") != 0)
            bench_ops(backend, &options);
        return;
    }
    for (size_t i = 0; !o->model.path && i < sizeof usual / sizeof *usual; i++) {
        options.only = usual[i];
        bench_ops(backend, &options);
    }
}

/* ---- the command ---- */

static bool read_count(const char *text, int *out)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < 1 || n > 100000)
        return false;
    *out = (int)n;
    return true;
}

static bool options_read(struct bench_options *o, int argc, char **argv)
{
    *o = (struct bench_options){.model = {.tokens = 64, .max_clients = 8}};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (!strcmp(name, "--json")) {
            o->json = true;
            continue;
        }
        const char *value = ++i < argc ? argv[i] : NULL;
        if (!value)
            return false;
        if (!strcmp(name, "-m") || !strcmp(name, "--model"))
            o->model.path = value;
        else if (!strcmp(name, "--op"))
            o->op = value;
        else if (!(!strcmp(name, "--threads") && read_count(value, &o->threads)) &&
                 !(!strcmp(name, "--tokens") && read_count(value, &o->model.tokens)) &&
                 !(!strcmp(name, "--clients") && read_count(value, &o->model.max_clients)))
            return false;
    }
    return true;
}

int bench_main(int argc, char **argv)
{
    struct bench_options o;
    struct backend *backend = NULL;
    struct error err = {0};
    if (!options_read(&o, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    struct bench_report report = {.as_json = o.json, .root = json_object()};
    int code = 1;
    if (cpu_backend_open(&backend, o.threads, CPU_AVX512, &err))
        goto out;
    tell_machine(&report, backend);
    tell_operations(&report, backend, &o);
    if (o.model.path && bench_model(&report, backend, &o.model, &err))
        goto out;
    if (o.json) {
        json_dumpf(report.root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        printf("\n");
    }
    code = 0;
out:
    if (code)
        fprintf(stderr, "vargpt bench: %s\n", err.message);
    cpu_backend_close(backend);
    json_decref(report.root);
    return code;
}
