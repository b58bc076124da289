#include "engine/prompt.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "engine/picture/vision_input.h"

#include <stdlib.h>
#include <string.h>

/* --- the template's view of a conversation --- */

/* What a drawn picture is to the template: text that spells the token it starts with. It stands for
 * start + codes + end, which replace it after tokenizing. */
static char *spell_id(const struct engine *e, int32_t id)
{
    struct buffer b;
    buffer_init(&b, 4096);
    tokenizer_decode(engine_tokenizer(e), &id, 1, false, &b);
    buffer_append(&b, "", 0);
    return buffer_take(&b, NULL);
}

struct conversation {
    struct chat_message *message; /* [n] */
    struct chat_part *part;       /* of all messages, end to end */
    char *drawn;                  /* the spelling of a drawn picture */
};

static void conversation_release(struct conversation *c)
{
    free(c->message);
    free(c->part);
    free(c->drawn);
}

static void conversation_init(struct conversation *c, const struct engine *e,
                              const struct prompt_message *message, size_t n)
{
    size_t parts = 0, at = 0;
    for (size_t i = 0; i < n; i++)
        parts += message[i].n_parts;
    c->message = xcalloc(n + 1, sizeof *c->message);
    c->part = xcalloc(parts + 1, sizeof *c->part);
    c->drawn = engine_picture_tokens(e) ? spell_id(e, engine_config(e)->drawing.start_id) : NULL;
    for (size_t i = 0; i < n; i++) {
        c->message[i] = (struct chat_message){message[i].role, c->part + at, message[i].n_parts};
        for (size_t j = 0; j < message[i].n_parts; j++) {
            const struct prompt_part *from = &message[i].part[j];
            struct chat_part *to = &c->part[at++];
            *to = from->kind == PROMPT_TEXT ? (struct chat_part){CHAT_TEXT, from->text, from->length}
                  : from->kind == PROMPT_SEEN
                      ? (struct chat_part){CHAT_IMAGE, NULL, 0}
                      : (struct chat_part){CHAT_MARKER, c->drawn, c->drawn ? strlen(c->drawn) : 0};
        }
    }
}

enum status prompt_render(const struct engine *e, const struct prompt_message *message, size_t n,
                          bool generation, struct chat_rendering *out, struct error *err)
{
    struct conversation c;
    struct chat_options options = {
        .add_generation_prompt = generation,
        .bos_token = engine_bos(e),
        .eos_token = engine_eos(e),
        .image_token = engine_image_token(e),
        .now = clock_unix(),
    };
    conversation_init(&c, e, message, n);
    enum status status = chat_template_render(engine_template(e), c.message, n, &options, out, err);
    conversation_release(&c);
    return status;
}

/* --- pictures --- */

static enum status add_seen(const struct engine *e, struct prompt_picture *to, const struct prompt_part *part,
                            struct error *err)
{
    size_t side = (size_t)engine_config(e)->vision.image_size;
    to->kind = PICTURE_SEEN;
    to->n_pixels = 3 * side * side;
    to->pixels = try_malloc(to->n_pixels, sizeof *to->pixels);
    if (!to->pixels)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a picture");
    return vision_input_make(part->picture, &engine_config(e)->vision.preprocess, to->pixels, err);
}

/* To -1..1, planes of the size that the model draws. */
static enum status add_pixels(const struct engine *e, struct prompt_picture *to,
                              const struct picture *picture, struct error *err)
{
    int side = engine_picture_side(e);
    struct picture resized = {0};
    const struct picture *from = picture;
    if (picture->width != side || picture->height != side) {
        if (picture_resize(picture, side, side, &resized, err))
            return err->status;
        from = &resized;
    }
    size_t n = (size_t)side * (size_t)side;
    to->n_pixels = 3 * n;
    to->pixels = try_malloc(to->n_pixels, sizeof *to->pixels);
    for (size_t i = 0; to->pixels && i < 3 * n; i++)
        to->pixels[i % 3 * n + i / 3] = (float)from->rgb[i] / 127.5f - 1;
    picture_release(&resized);
    return to->pixels ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "no memory for a picture");
}

static enum status add_drawn(const struct engine *e, struct prompt_picture *to,
                             const struct prompt_part *part, struct error *err)
{
    to->kind = PICTURE_DRAWN;
    if (!part->codes)
        return add_pixels(e, to, part->picture, err);
    if (part->n_codes != (size_t)engine_picture_tokens(e))
        return error_set(err, STATUS_BAD_REQUEST, "a drawn picture has %zu codes, this model's have %d",
                         part->n_codes, engine_picture_tokens(e));
    to->n_codes = part->n_codes;
    to->codes = try_malloc(to->n_codes, sizeof *to->codes);
    if (!to->codes)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a picture");
    memcpy(to->codes, part->codes, to->n_codes * sizeof *to->codes);
    return STATUS_OK; /* engine_submit checks their range */
}

static enum status add_picture(const struct engine *e, struct request *r, const struct prompt_part *part,
                               size_t first_id, struct error *err)
{
    struct prompt_picture *to = &r->picture[r->n_pictures++];
    *to = (struct prompt_picture){.first_id = first_id};
    return part->kind == PROMPT_SEEN ? add_seen(e, to, part, err) : add_drawn(e, to, part, err);
}

/* --- ids --- */

/* The next picture part of its kind, in the order that the template put them in: by message, seen ones in
 * order. */
struct picture_walk {
    const struct prompt_message *message;
    size_t n, at_message, at_part;
};

static const struct prompt_part *next_picture(struct picture_walk *w, enum prompt_part_kind kind)
{
    for (; w->at_message < w->n; w->at_message++, w->at_part = 0) {
        const struct prompt_message *m = &w->message[w->at_message];
        while (w->at_part < m->n_parts) {
            const struct prompt_part *part = &m->part[w->at_part++];
            if (part->kind == kind)
                return part;
        }
    }
    return NULL;
}

static void append_times(struct token_list *list, int32_t id, int times)
{
    for (int i = 0; i < times; i++)
        token_list_append(list, id);
}

/* Replaces placeholders by as many ids as their pictures have rows. */
static enum status expand(const struct engine *e, const struct token_list *ids,
                          const struct prompt_message *message, size_t n, struct request *r,
                          struct token_list *out, struct error *err)
{
    const struct model_config *c = engine_config(e);
    struct picture_walk seen = {message, n, 0, 0}, drawn = {message, n, 0, 0};
    int32_t start = engine_picture_tokens(e) ? c->drawing.start_id : -1,
            image = engine_seen_rows(e) ? c->image_id : -1;
    size_t limit = (size_t)engine_context(e);
    for (size_t i = 0; i < ids->count; i++) {
        int32_t id = ids->ids[i];
        const struct prompt_part *part = NULL;
        if (id >= 0 && (id == image || id == start))
            part = next_picture(id == image ? &seen : &drawn, id == image ? PROMPT_SEEN : PROMPT_DRAWN);
        if (part && id == start)
            token_list_append(out, id);
        if (part && add_picture(e, r, part, out->count, err))
            return err->status;
        if (part && id == image)
            append_times(out, id, engine_seen_rows(e));
        else if (part)
            append_times(out, c->drawing.pad_id, engine_picture_tokens(e));
        else
            token_list_append(out, id);
        if (part && id == start)
            token_list_append(out, c->drawing.end_id);
        if (out->count > limit)
            return error_set(err, STATUS_TOO_LARGE,
                             "the prompt has over %zu tokens, the context holds %zu: shorten it",
                             out->count - 1, limit);
    }
    if (next_picture(&seen, PROMPT_SEEN) || next_picture(&drawn, PROMPT_DRAWN))
        return error_set(err, STATUS_BAD_REQUEST, "the chat template has no place for one of the pictures");
    return STATUS_OK;
}

static enum status check_parts(const struct engine *e, const struct prompt_message *message, size_t n,
                               size_t *pictures, struct error *err)
{
    *pictures = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < message[i].n_parts; j++) {
            enum prompt_part_kind kind = message[i].part[j].kind;
            *pictures += kind != PROMPT_TEXT;
            if (kind == PROMPT_SEEN && !engine_seen_rows(e))
                return error_set(err, STATUS_BAD_REQUEST,
                                 "this model does not look at pictures: send text only");
            if (kind == PROMPT_DRAWN && !engine_picture_tokens(e))
                return error_set(
                    err, STATUS_BAD_REQUEST,
                    "this model does not draw: a picture in an assistant's message cannot be its own");
        }
    }
    return STATUS_OK;
}

static void forget_pictures(struct request *r)
{
    for (size_t i = 0; i < r->n_pictures; i++) {
        free(r->picture[i].pixels);
        free(r->picture[i].codes);
    }
    free(r->picture);
    r->picture = NULL;
    r->n_pictures = 0;
}

enum status prompt_build(const struct engine *e, const struct prompt_message *message, size_t n,
                         bool generation, struct request *r, struct error *err)
{
    struct chat_rendering rendering = {0};
    struct token_list ids = {0}, expanded = {0};
    size_t pictures;
    struct error own;
    if (!err)
        err = &own;
    enum status status = check_parts(e, message, n, &pictures, err);
    if (status || (status = prompt_render(e, message, n, generation, &rendering, err)))
        goto out;
    if ((status = tokenizer_encode(engine_tokenizer(e), rendering.text, rendering.length, rendering.plain,
                                   rendering.n_plain, TOKENIZER_ADD_ONCE, &ids, err)))
        goto out;
    r->picture = xcalloc(pictures + 1, sizeof *r->picture);
    status = expand(e, &ids, message, n, r, &expanded, err);
out:
    if (status) {
        forget_pictures(r);
        token_list_release(&expanded);
    } else {
        r->ids = expanded.ids;
        r->n_ids = expanded.count;
    }
    token_list_release(&ids);
    chat_rendering_release(&rendering);
    return status;
}
