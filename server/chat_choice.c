#include "server/chat_choice.h"

#include "engine/text/utf8.h"

#include <string.h>

enum { MAX_CONTENT_BYTES = 512 << 20 };

void chat_choice_init(struct chat_choice *h, const struct chat_request *request,
                      const struct tokenizer *tokenizer)
{
    *h = (struct chat_choice){.request = request, .images = json_array(), .parts = json_array()};
    choice_text_init(&h->text, tokenizer, &request->stops, request->logprobs);
    buffer_init(&h->content, MAX_CONTENT_BYTES);
}

void chat_choice_release(struct chat_choice *h)
{
    choice_text_release(&h->text);
    picture_frames_release(&h->frames);
    buffer_release(&h->content);
    json_decref(h->images);
    json_decref(h->parts);
}

/* {"type": "image_url", "index", "image_url": {"url"}, "seed", "ordinal"} */
static enum status picture_json(struct chat_choice *h, const struct event *e, json_t **out, struct error *err)
{
    struct buffer url;
    buffer_init(&url, MAX_CONTENT_BYTES);
    buffer_printf(&url, "data:image/%s;base64,", picture_output_type(&h->request->output));
    if (picture_output_base64(&h->request->output, e, &h->frames, &url, err))
        goto out;
    *out = json_pack("{s:s, s:i, s:{s:o}}", "type", "image_url", "index", e->picture_index, "image_url",
                     "url", json_stringn_nocheck(url.data, url.length));
    if (!*out) {
        error_set(err, STATUS_NO_MEMORY, "no memory for a picture");
        goto out;
    }
    if (e->type == EVENT_PREVIEW) {
        json_object_set_new(*out, "partial", json_true());
        json_object_set_new(*out, "scale", json_integer(e->scale));
        json_object_set_new(*out, "scales", json_integer(e->n_scales));
    }
    json_object_set_new(*out, "seed", json_integer((json_int_t)e->seed));
    json_object_set_new(*out, "ordinal", json_integer(e->ordinal));
out:
    if (e->type == EVENT_PICTURE)
        picture_frames_release(&h->frames);
    buffer_release(&url);
    return err->status;
}

enum status chat_choice_feed(struct chat_choice *h, const struct event *e, json_t **image, struct error *err)
{
    *image = NULL;
    switch (e->type) {
    case EVENT_TOKEN:
        h->usage.text_tokens++;
        choice_text_push(&h->text, e);
        h->ended = h->text.stopped;
        return STATUS_OK;
    case EVENT_PREVIEW:
        if (picture_output_keep(&h->request->output, e, &h->frames))
            return STATUS_OK;
        return picture_json(h, e, image, err);
    case EVENT_PICTURE:
        h->n_pictures++;
        h->usage.picture_tokens += (int)e->n_codes;
        choice_text_flush(&h->text, false);
        return picture_json(h, e, image, err);
    case EVENT_DONE:
        h->usage = (struct reply_usage){e->usage.text_tokens, e->usage.picture_tokens};
        choice_text_flush(&h->text, true);
        h->finish = h->text.stopped ? FINISH_STOP : e->finish;
        h->ended = true;
        return STATUS_OK;
    case EVENT_PROMPT:
    case EVENT_SCALE:
    case EVENT_FAILED: return STATUS_OK; /* the reply's, not the choice's */
    }
    return STATUS_OK;
}

const char *chat_choice_take_text(struct chat_choice *h, size_t *length)
{
    const char *text = h->text.text.data ? h->text.text.data + h->given : "";
    *length = h->text.shown - h->given;
    h->given = h->text.shown;
    return text;
}

/* Writes down the text since the last picture. */
static void end_text(struct chat_choice *h)
{
    const char *text = h->text.text.data + h->part_from;
    size_t length = h->text.shown - h->part_from;
    int64_t start = h->part_character;
    if (length == 0)
        return;
    h->part_character += (int64_t)utf8_count(text, length);
    h->part_from = h->text.shown;
    if (h->request->format == MIXED_IMAGES)
        json_array_append_new(h->parts, json_pack("{s:s, s:I, s:I}", "type", "text", "start",
                                                  (json_int_t)start, "end", (json_int_t)h->part_character));
    else if (h->request->format == MIXED_PARTS)
        json_array_append_new(h->parts,
                              json_pack("{s:s, s:o}", "type", "text", "text", json_stringn(text, length)));
    else
        buffer_append(&h->content, text, length);
}

void chat_choice_keep(struct chat_choice *h, json_t *image)
{
    end_text(h);
    if (h->request->format == MIXED_IMAGES) {
        json_array_append_new(
            h->parts, json_pack("{s:s, s:i}", "type", "image_url", "image", (int)json_array_size(h->images)));
        json_array_append_new(h->images, image);
    } else if (h->request->format == MIXED_PARTS) {
        json_array_append_new(h->parts, image);
    } else {
        buffer_printf(&h->content, "![image](");
        buffer_append_text(&h->content,
                           json_string_value(json_object_get(json_object_get(image, "image_url"), "url")));
        buffer_append_text(&h->content, ")");
        json_decref(image);
    }
}

json_t *chat_choice_message(struct chat_choice *h)
{
    json_t *message = json_pack("{s:s}", "role", "assistant");
    end_text(h);
    if (h->request->format == MIXED_PARTS)
        json_object_set(message, "content", h->parts);
    else if (h->request->format == MIXED_MARKDOWN)
        json_object_set_new(message, "content",
                            json_stringn(h->content.data ? h->content.data : "", h->content.length));
    else
        json_object_set_new(message, "content",
                            json_stringn(h->text.shown ? h->text.text.data : "", h->text.shown));
    json_object_set_new(message, "refusal", json_null());
    if (h->request->format == MIXED_IMAGES && json_array_size(h->images) > 0) {
        json_object_set(message, "images", h->images);
        json_object_set(message, "content_parts", h->parts);
    }
    return message;
}

const char *chat_choice_finish(const struct chat_choice *h)
{
    return h->finish == FINISH_LENGTH ? "length" : "stop";
}
