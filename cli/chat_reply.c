#include "cli/chat.h"

#include "cli/asked.h"
#include "cli/interrupt.h"
#include "cli/picture_file.h"
#include "cli/progress.h"
#include "cli/reply_queue.h"
#include "cli/terminal.h"
#include "engine/text/text_stream.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* One reply while it comes in. */
struct incoming {
    struct chat *chat;
    struct said said;        /* what is kept of it */
    struct text_stream *ids; /* of the text since the last picture */
    struct buffer text;      /* the same, as it will be kept */
    bool line_open;          /* something stands on the last line printed */
    struct progress bar;     /* of a picture asked for outright */
    struct error failure;    /* of showing or saving a picture: the reply goes on */
};

static void print_text(struct incoming *in, const char *text, size_t length)
{
    if (length == 0)
        return;
    if (in->chat->terminal) {
        struct buffer safe;
        buffer_init(&safe, BUFFER_NO_LIMIT);
        terminal_make_safe(text, length, &safe);
        fwrite(safe.data, 1, safe.length, stdout);
        buffer_release(&safe);
    } else {
        fwrite(text, 1, length, stdout);
    }
    fflush(stdout);
    in->line_open = text[length - 1] != '\n';
}

static void take_token(struct incoming *in, int32_t id)
{
    size_t before = in->text.length;
    text_stream_push(in->ids, id, &in->text);
    if (in->text.length > before)
        print_text(in, in->text.data + before, in->text.length - before);
}

/* The text so far is whole: a picture or the end follows. */
static void finish_text(struct incoming *in)
{
    size_t before = in->text.length;
    text_stream_finish(in->ids, &in->text);
    text_stream_close(in->ids);
    in->ids = text_stream_open(engine_tokenizer(in->chat->engine), true);
    if (in->text.length > before)
        print_text(in, in->text.data + before, in->text.length - before);
    if (in->text.length > 0)
        said_add_text(&in->said, in->text.data, in->text.length);
    buffer_clear(&in->text);
    if (in->line_open)
        putchar('\n');
    in->line_open = false;
    fflush(stdout);
}

static char *name_picture(struct chat *c)
{
    c->saved++;
    if (!c->config->output)
        return picture_file_unused();
    return c->saved == 1 ? xstrdup(c->config->output) : picture_file_numbered(c->config->output, c->saved);
}

static void save_picture(struct incoming *in, const struct reply_event *e)
{
    struct picture_origin origin = {e->codes, e->n_codes, e->seed, e->ordinal};
    char *path = name_picture(in->chat);
    if (picture_file_write(path, &e->picture, in->chat->config->quality, &origin, &in->failure) == STATUS_OK)
        printf("[picture: %s]\n", path);
    free(path);
}

static void show_picture(struct incoming *in, const struct reply_event *e)
{
    struct buffer out;
    buffer_init(&out, BUFFER_NO_LIMIT);
    if (terminal_picture(&e->picture, in->chat->show, terminal_columns(), &out, &in->failure) == STATUS_OK)
        fwrite(out.data, 1, out.length, stdout);
    buffer_release(&out);
}

/* Keeps the picture as the last one, for /save. */
static void remember_picture(struct chat *c, const struct reply_event *e)
{
    size_t bytes = (size_t)e->picture.width * (size_t)e->picture.height * 3;
    picture_release(&c->picture);
    free(c->codes);
    c->picture = e->picture;
    c->picture.rgb = xmalloc(bytes);
    memcpy(c->picture.rgb, e->picture.rgb, bytes);
    c->codes = xmalloc(e->n_codes * sizeof *c->codes);
    if (e->n_codes)
        memcpy(c->codes, e->codes, e->n_codes * sizeof *c->codes);
    c->n_codes = e->n_codes;
    c->picture_seed = e->seed;
    c->ordinal = e->ordinal;
}

static void take_picture(struct incoming *in, struct reply_event *e)
{
    struct chat *c = in->chat;
    progress_end(&in->bar);
    finish_text(in);
    if (c->show != SHOW_OFF)
        show_picture(in, e);
    if (c->show == SHOW_OFF || c->show == SHOW_BLOCKS || c->config->output)
        save_picture(in, e);
    fflush(stdout);
    remember_picture(c, e);
    said_add_drawn(&in->said, &e->picture, &e->codes, e->n_codes);
}

/* Until DONE or FAILED; Ctrl-C asks the engine to give up, which ends in FAILED too. */
static enum chat_end receive(struct incoming *in, struct reply_queue *queue, uint64_t id, struct error *err)
{
    enum chat_end end = CHAT_DONE;
    bool cut = false;
    for (bool going = true; going;) {
        struct reply_event e;
        if (interrupt_take()) {
            end = CHAT_STOPPED;
            engine_cancel(in->chat->engine, id);
        }
        if (!reply_queue_take(queue, 100, &e))
            continue;
        if (e.kind == REPLY_TOKEN && end == CHAT_DONE)
            take_token(in, e.id);
        else if (e.kind == REPLY_SCALE)
            progress_set(&in->bar, asked_fraction(in->chat->engine, e.scale));
        else if (e.kind == REPLY_PICTURE)
            take_picture(in, &e);
        else if (e.kind == REPLY_FAILED && end == CHAT_DONE) {
            *err = e.error;
            end = CHAT_FAILED;
        }
        if (e.kind == REPLY_DONE && e.finish == FINISH_LENGTH)
            cut = true;
        going = e.kind != REPLY_DONE && e.kind != REPLY_FAILED;
        reply_event_release(&e);
    }
    progress_end(&in->bar);
    finish_text(in);
    if (cut && in->chat->terminal)
        fputs("[stopped at the limit of tokens]\n", stderr);
    return end;
}

static enum status ask(struct chat *c, bool draw, struct reply_queue *queue, uint64_t *id, struct error *err)
{
    struct request *r = asked_request(c->config, c->engine, c->seed);
    struct conversation until = c->talk; /* up to the user's last message */
    if (draw && until.count && strcmp(until.message[until.count - 1].role, "assistant") == 0)
        until.count--;
    enum status status = conversation_build(&until, c->engine, r, err);
    r->choice = c->turn++;
    if (draw) {
        r->draw.mode = DRAW_NOW;
        r->draw.max_pictures = 1;
    }
    if (status == STATUS_OK)
        status = engine_submit(c->engine, r, reply_queue_sink(queue, 0), id, err);
    if (status != STATUS_OK)
        request_close(r);
    return status;
}

/* Moves what came in to the conversation. */
static void keep(struct chat *c, struct said *from)
{
    struct said *to = conversation_turn(&c->talk, "assistant");
    to->part = xrealloc(to->part, (to->n_parts + from->n_parts) * sizeof *to->part);
    memcpy(to->part + to->n_parts, from->part, from->n_parts * sizeof *to->part);
    to->n_parts += from->n_parts;
    from->n_parts = 0;
}

enum chat_end chat_reply(struct chat *c, bool draw, struct error *err)
{
    uint64_t id = 0;
    struct incoming in = {.chat = c};
    struct reply_queue *queue = reply_queue_open(1);
    enum chat_end end = CHAT_FAILED;
    in.ids = text_stream_open(engine_tokenizer(c->engine), true);
    buffer_init(&in.text, BUFFER_NO_LIMIT);
    progress_init(&in.bar, "drawing", 0);
    interrupt_take();
    if (ask(c, draw, queue, &id, err) == STATUS_OK)
        end = receive(&in, queue, id, err);
    if (end != CHAT_FAILED && in.said.n_parts)
        keep(c, &in.said);
    if (end != CHAT_FAILED && in.failure.status != STATUS_OK) {
        *err = in.failure;
        end = CHAT_FAILED;
    }
    said_release(&in.said);
    buffer_release(&in.text);
    text_stream_close(in.ids);
    reply_queue_close(queue);
    return end;
}
