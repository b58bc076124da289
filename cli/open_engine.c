#include "cli/cli.h"

#include "cli/progress.h"

static void show_progress(void *context, double fraction)
{
    progress_set(context, fraction);
}

enum status cli_open_engine(struct cli_engine *out, const struct config *c,
                            void (*progress)(void *context, double fraction), void *context,
                            struct error *err)
{
    static const enum dtype layers[] = {
        [WEIGHTS_FILE] = DTYPE_F32, [WEIGHTS_INT8] = DTYPE_Q8_0, [WEIGHTS_INT4] = DTYPE_Q4_0};
    struct progress bar;
    struct engine_options options = {
        .model_path = c->model,
        .context = c->context,
        .max_sequences = c->max_sequences,
        .max_queue = c->max_queue,
        .step_rows = c->step_rows,
        .token_wait_steps = c->token_wait_steps,
        .token_wait_ms = c->token_wait_ms,
        .layers = layers[c->weights],
        .cache_bytes = (size_t)c->cache,
        .temperature_given = config_given(c, "temperature"),
        .top_p_given = config_given(c, "top_p"),
        .top_k_given = config_given(c, "top_k"),
        .temperature = (float)c->temperature,
        .top_p = (float)c->top_p,
        .top_k = c->top_k,
        .on_progress = progress ? progress : show_progress,
        .progress_context = progress ? context : &bar,
    };
    *out = (struct cli_engine){0};
    enum status status = cli_open_backend(&out->backend, c, err);
    if (status != STATUS_OK)
        return status;
    options.cache_type = cli_cache_type(out->backend, c);
    progress_init(&bar, "loading", 1);
    status = engine_open(&out->engine, out->backend, &options, err);
    progress_end(&bar);
    if (status != STATUS_OK)
        cli_close_engine(out);
    return status;
}

void cli_close_engine(struct cli_engine *e)
{
    engine_close(e->engine);
    cli_close_backend(e->backend);
    *e = (struct cli_engine){0};
}
