/* vargpt draw: pictures from a prompt, into files. */
#include "cli/asked.h"
#include "cli/cli.h"
#include "cli/conversation.h"
#include "cli/interrupt.h"
#include "cli/picture_file.h"
#include "cli/progress.h"
#include "cli/reply_queue.h"

#include "base/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct drawing {
    const struct config *config;
    struct engine *engine;
    uint64_t seed;
    const char *output;
    struct reply_queue *queue;
    uint64_t *id; /* [n] of the engine */
    double *done; /* [n] how much of each is drawn, 0..1 */
    int submitted, ended;
    bool cancelled;
    struct error failure; /* the first */
    struct progress progress;
};

/* ---- what is asked for ---- */

static enum status read_prompt(const struct config *c, struct conversation *talk, struct error *err)
{
    size_t length;
    char *text = NULL;
    for (size_t i = 0; i < c->image.count; i++) {
        struct picture picture = {0};
        if (picture_file_read(c->image.item[i], &picture, err) != STATUS_OK)
            return err->status;
        said_add_seen(conversation_turn(talk, "user"), &picture);
    }
    if (strcmp(c->args.item[0], "-") == 0) {
        text = cli_read_input(&length, err);
        if (!text)
            return err->status;
        while (length && text[length - 1] == '\n')
            length--;
        said_add_text(conversation_turn(talk, "user"), text, length);
    } else {
        said_add_text(conversation_turn(talk, "user"), c->args.item[0], strlen(c->args.item[0]));
    }
    free(text);
    return STATUS_OK;
}

/* The prompt as the first of n equal requests; the others differ in `choice` only. */
static enum status build_request(struct drawing *d, struct request **out, struct error *err)
{
    struct conversation talk = {0};
    struct request *r = asked_request(d->config, d->engine, d->seed);
    if (d->config->system)
        said_add_text(conversation_turn(&talk, "system"), d->config->system, strlen(d->config->system));
    enum status status = read_prompt(d->config, &talk, err);
    if (status == STATUS_OK)
        status = conversation_build(&talk, d->engine, r, err);
    conversation_release(&talk);
    r->draw.mode = DRAW_NOW;
    r->draw.max_pictures = 1;
    r->draw.previews = d->config->previews ? ~0u : 0;
    *out = r;
    return status;
}

static enum status submit_all(struct drawing *d, struct error *err)
{
    struct request *first = NULL;
    enum status status = build_request(d, &first, err);
    interrupt_catch(); /* until here, where a prompt may have been typed, a Ctrl-C has ended the program */
    for (int k = 0; status == STATUS_OK && k < d->config->n; k++) {
        struct request *r = k + 1 < d->config->n ? request_copy(first) : first;
        if (!r) {
            status = error_set(err, STATUS_NO_MEMORY, "no memory for %d requests", d->config->n);
            break;
        }
        r->choice = (uint32_t)k;
        status = engine_submit(d->engine, r, reply_queue_sink(d->queue, k), &d->id[k], err);
        if (status == STATUS_OK)
            d->submitted++;
        else if (r != first)
            request_close(r);
        if (status == STATUS_OK && r == first)
            first = NULL;
    }
    request_close(first);
    return status;
}

/* ---- what comes back ---- */

static char *output_name(const struct drawing *d, int k)
{
    return d->config->n > 1 ? picture_file_numbered(d->output, k + 1) : xstrdup(d->output);
}

static enum status save_picture(struct drawing *d, const struct reply_event *e, struct error *err)
{
    char *path = output_name(d, e->request);
    struct picture_origin origin = {e->codes, e->n_codes, e->seed, e->ordinal};
    enum status status = picture_file_write(path, &e->picture, d->config->quality, &origin, err);
    progress_end(&d->progress);
    if (status == STATUS_OK)
        printf("%s seed %" PRId64 " ordinal %" PRIu32 "\n", path, (int64_t)e->seed, e->ordinal);
    fflush(stdout);
    free(path);
    return status;
}

/* DIR/NAME-scale-3.png */
static enum status save_preview(struct drawing *d, const struct reply_event *e, struct error *err)
{
    char *name = output_name(d, e->request);
    const char *slash = strrchr(name, '/');
    char *base = xasprintf("%s/%s", d->config->previews, slash ? slash + 1 : name);
    char *dot = strrchr(base, '.'), *path;
    path = xasprintf("%.*s-scale-%d%s", (int)(dot - base), base, e->scale + 1, dot);
    enum status status = picture_file_write(path, &e->picture, d->config->quality, NULL, err);
    free(path);
    free(base);
    free(name);
    return status;
}

static void show_progress(struct drawing *d, int request, int scale)
{
    double sum = 0;
    d->done[request] = asked_fraction(d->engine, scale);
    for (int k = 0; k < d->submitted; k++)
        sum += d->done[k];
    progress_set(&d->progress, sum / d->submitted);
}

static void cancel_all(struct drawing *d)
{
    for (int k = 0; k < d->submitted; k++)
        engine_cancel(d->engine, d->id[k]);
}

static void fail(struct drawing *d, const struct error *err)
{
    if (d->failure.status == STATUS_OK && !d->cancelled)
        d->failure = *err;
    cancel_all(d);
}

static void take_event(struct drawing *d, struct reply_event *e)
{
    struct error err = {0};
    if (e->kind == REPLY_SCALE)
        show_progress(d, e->request, e->scale);
    if (e->kind == REPLY_PREVIEW && save_preview(d, e, &err) != STATUS_OK)
        fail(d, &err);
    if (e->kind == REPLY_PICTURE && save_picture(d, e, &err) != STATUS_OK)
        fail(d, &err);
    if (e->kind == REPLY_FAILED)
        fail(d, &e->error);
    d->ended += e->kind == REPLY_DONE || e->kind == REPLY_FAILED;
}

static void wait_for_all(struct drawing *d)
{
    while (d->ended < d->submitted) {
        struct reply_event e;
        if (interrupt_take()) {
            d->cancelled = true;
            cancel_all(d);
        }
        if (reply_queue_take(d->queue, 100, &e)) {
            take_event(d, &e);
            reply_event_release(&e);
        }
    }
}

static enum status draw(struct drawing *d, struct error *err)
{
    if (engine_picture_tokens(d->engine) == 0)
        return error_set(err, STATUS_BAD_REQUEST, "%s does not draw: use a VARGPT checkpoint",
                         d->config->model);
    d->queue = reply_queue_open(d->config->n);
    d->id = xcalloc((size_t)d->config->n, sizeof *d->id);
    d->done = xcalloc((size_t)d->config->n, sizeof *d->done);
    progress_init(&d->progress, "drawing", 0);
    enum status status = submit_all(d, err);
    if (status != STATUS_OK)
        cancel_all(d);
    wait_for_all(d);
    progress_end(&d->progress);
    reply_queue_close(d->queue);
    free(d->id);
    free(d->done);
    if (status == STATUS_OK && d->failure.status != STATUS_OK) {
        *err = d->failure;
        status = err->status;
    }
    return status;
}

/* ---- the subcommand ---- */

/* What can be found wrong before the model is loaded. */
static enum status check(const struct config *c, const char *output, struct error *err)
{
    enum picture_format format;
    if (c->args.count == 0)
        return error_set(err, STATUS_BAD_REQUEST,
                         "say what to draw: vargpt draw \"a red circle\" -o circle.png");
    if (c->previews && mkdir(c->previews, 0777) != 0 && errno != EEXIST)
        return error_set(err, STATUS_BAD_REQUEST, "%s: %s", c->previews, strerror(errno));
    return picture_file_format(output, &format, err);
}

int draw_main(int argc, char **argv)
{
    struct config config;
    struct error err = {0};
    struct cli_engine e = {0};
    int code;
    if (!cli_begin(&config, COMMAND_DRAW, argc, argv, &code))
        return code;
    char *output = config.output ? xstrdup(config.output) : picture_file_unused();
    if (check(&config, output, &err) != STATUS_OK) {
        code = cli_usage(COMMAND_DRAW, &err);
        goto out;
    }
    code = EXIT_FAILED;
    if (cli_open_engine(&e, &config, NULL, NULL, &err) == STATUS_OK) {
        struct drawing d = {
            .config = &config, .engine = e.engine, .output = output, .seed = asked_seed(&config)};
        if (draw(&d, &err) == STATUS_OK)
            code = d.cancelled ? EXIT_INTERRUPTED : EXIT_DONE;
    }
    if (code == EXIT_FAILED)
        cli_fail(&err);
out:
    cli_close_engine(&e);
    free(output);
    config_release(&config);
    return code;
}
