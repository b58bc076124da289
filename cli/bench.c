#include "cli/bench.h"

#include "base/memory.h"
#include "cli/bench_ops.h"
#include "cli/cli.h"
#include "cpu/cpu_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void bench_measure_limits(struct bench_report *report, double seconds)
{
    report->limit.flops = cpu_measure_flops(report->meter, seconds);
    report->limit.bandwidth = cpu_measure_bandwidth(report->meter, seconds);
}

static void tell_machine(struct bench_report *report)
{
    bench_measure_limits(report, 0.4);
    const struct bench_figure figure[] = {
        {"threads", "threads", cpu_backend_threads(report->meter)},
        {"gflops", "GFLOP/s", report->limit.flops * 1e-9},
        {"gbytes_per_second", "GB/s", report->limit.bandwidth * 1e-9},
    };
    bench_tell(report, "machine", cpu_level_name(cpu_backend_level(report->meter)), figure, 3);
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

/* only: the kind asked for, "all", or NULL for the usual ones. */
static void tell_operations(struct bench_report *report, const char *only)
{
    static const char *const usual[] = {"linear", "conv2d", "attention"};
    struct bench_ops_options options = {
        .only = only, .seconds_each = 0.2, .on_speed = on_speed, .context = report};
    if (only) {
        options.only = strcmp(only, "all") ? only : NULL;
        bench_ops(report->meter, &options);
        return;
    }
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        options.only = usual[i];
        bench_ops(report->meter, &options);
    }
}

static enum status measure(struct bench_report *report, const struct config *c, struct error *err)
{
    const char *only = c->args.count ? c->args.item[0] : NULL;
    bool with_model = config_given(c, "model");
    if (cli_open_backend(&report->meter, c, err))
        return err->status;
    tell_machine(report);
    if (only || !with_model)
        tell_operations(report, only);
    if (only && !json_object_get(report->root, "operations"))
        return error_set(err, STATUS_BAD_REQUEST, "no operation '%s' to measure", only);
    return with_model ? bench_model(report, c, err) : STATUS_OK;
}

int bench_main(int argc, char **argv)
{
    struct config config;
    struct error err = {0};
    int code;
    if (!cli_begin(&config, COMMAND_BENCH, argc, argv, &code))
        return code;
    free(config.device);
    config.device = xstrdup("cpu"); /* what it measures against are the processor's limits */
    struct bench_report report = {.as_json = config.json, .root = json_object()};
    code = measure(&report, &config, &err) ? cli_fail(&err) : EXIT_DONE;
    if (code == EXIT_DONE && config.json &&
        json_dumpf(report.root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) == 0)
        printf("\n");
    cli_close_backend(report.meter);
    json_decref(report.root);
    config_release(&config);
    return code;
}
