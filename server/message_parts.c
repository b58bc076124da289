#include "server/message_parts.h"

#include "base/memory.h"
#include "engine/text/utf8.h"
#include "server/data_url.h"
#include "server/picture_fetch.h"
#include "server/picture_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct prompt_part *add_part(struct message_reader *r)
{
    struct http_error *error = r->list->error;
    if (error->problem != PROBLEM_NONE)
        return NULL;
    if (r->n_parts == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : 4;
        struct prompt_part *part = try_realloc(r->part, capacity, sizeof r->part[0]);
        if (!part) {
            http_error_set(error, PROBLEM_MEMORY, NULL, "no memory for the messages");
            return NULL;
        }
        r->part = part;
        r->capacity = capacity;
    }
    struct prompt_part *part = &r->part[r->n_parts++];
    *part = (struct prompt_part){.kind = PROMPT_TEXT};
    return part;
}

void message_add_text(struct message_reader *r, const char *text, size_t length)
{
    struct prompt_part *part = add_part(r);
    if (part) {
        part->text = text;
        part->length = length;
    }
}

/* A picture that came from here re-enters as its codes, if they are of this model's number. */
static void look_for_codes(struct message_picture *p, const struct buffer *file, int expected)
{
    uint64_t seed;
    uint32_t ordinal;
    if (!picture_read_origin(file->data, file->length, &p->picture, &p->codes, &p->n_codes, &seed, &ordinal))
        return;
    if (p->n_codes == (size_t)expected)
        return;
    free(p->codes);
    p->codes = NULL;
    p->n_codes = 0;
}

static enum status decode_file(struct message_list *c, struct message_picture *p, const struct buffer *file,
                               struct error *err)
{
    struct picture_limits limits = picture_default_limits;
    int64_t left = 2 * picture_default_limits.max_pixels - c->pixels;
    if (left < limits.max_pixels)
        limits.max_pixels = left;
    while (sem_wait(&c->server->decoders)) {
    } /* interrupted: once more */
    picture_decode(&p->picture, file->data, file->length, &limits, err);
    sem_post(&c->server->decoders);
    if (err->status)
        return err->status;
    int64_t pixels = (int64_t)p->picture.width * p->picture.height;
    if (!budget_take(&c->server->pixels, (size_t)pixels * 3)) {
        picture_release(&p->picture);
        return error_set(err, STATUS_BUSY, "too many pictures are being looked at");
    }
    p->budgeted = (size_t)pixels * 3;
    c->pixels += pixels;
    return STATUS_OK;
}

static void picture_failed(struct http_error *out, const struct error *err, const char *name)
{
    if (err->status == STATUS_BUSY || err->status == STATUS_NO_MEMORY)
        http_error_from(out, err, name);
    else
        http_error_set(out, PROBLEM_IMAGE, name, "the picture in '%s' cannot be used: %s", name,
                       err->message);
}

/* The file that a URL means: in it, kept here, or elsewhere. */
static enum status read_picture(struct server *server, const char *url, size_t length, struct buffer *file,
                                struct error *err)
{
    if (!picture_fetch_is_url(url, length))
        return data_url_decode(url, length, file, err);
    if (picture_link_read(server, url, length, file) && !buffer_failed(file))
        return STATUS_OK;
    buffer_clear(file);
    return picture_fetch(server, url, length, file, err);
}

void message_add_picture(struct message_reader *r, const char *url, size_t length, const char *name)
{
    struct message_list *c = r->list;
    struct error err = {0};
    struct buffer file;
    if (strcmp(r->role, "system") == 0) {
        http_error_set(c->error, PROBLEM_INVALID, name, "'%s': a system message takes text only", name);
        return;
    }
    if (c->n_pictures == c->server->options.max_pictures) {
        http_error_set(c->error, PROBLEM_INVALID, name, "more than %d pictures in one request",
                       c->n_pictures);
        return;
    }
    struct prompt_part *part = add_part(r);
    if (!part)
        return;
    struct message_picture *p = &c->picture[c->n_pictures];
    bool drawn = strcmp(r->role, "assistant") == 0;
    buffer_init(&file, picture_default_limits.max_bytes);
    if (read_picture(c->server, url, length, &file, &err) || decode_file(c, p, &file, &err)) {
        picture_failed(c->error, &err, name);
        goto out;
    }
    c->n_pictures++;
    if (drawn)
        look_for_codes(p, &file, engine_picture_tokens(server_engine(c->server)));
    *part = (struct prompt_part){.kind = drawn ? PROMPT_DRAWN : PROMPT_SEEN,
                                 .picture = p->codes ? NULL : &p->picture,
                                 .codes = p->codes,
                                 .n_codes = p->n_codes};
out:
    buffer_release(&file);
}

/* image_url: {"url", "detail"}, or the URL itself. */
static void read_image_url(struct message_reader *r, const struct params *f)
{
    char name[128];
    const char *url = NULL;
    size_t length = 0;
    json_t *value = param_find(f, "image_url");
    struct params inner = {value, name, f->error};
    snprintf(name, sizeof name, "%simage_url", f->prefix);
    if (json_is_object(value)) {
        static const char *const details[] = {"auto", "low", "high", "original", NULL};
        int detail;
        snprintf(name, sizeof name, "%simage_url.", f->prefix);
        param_choice(&inner, "detail", details, &detail);
        param_string(&inner, "url", &url, &length);
        snprintf(name, sizeof name, "%simage_url.url", f->prefix);
    } else {
        param_string(f, "image_url", &url, &length);
    }
    if (url)
        message_add_picture(r, url, length, name);
    else
        http_error_set(f->error, PROBLEM_INVALID, name, "'%s' must be the picture's data: URL", name);
}

static void read_part(struct message_reader *r, json_t *json, const char *prefix)
{
    struct params f = {json, prefix, r->list->error};
    const char *type = "", *text = NULL;
    size_t length = 0;
    if (!json_is_object(json)) {
        param_fail(&f, PROBLEM_INVALID, "type", "is missing: each part of a message must be an object");
        return;
    }
    param_string(&f, "type", &type, NULL);
    if (strcmp(type, "image_url") == 0 || strcmp(type, "input_image") == 0) {
        read_image_url(r, &f);
        return;
    }
    bool refusal = strcmp(type, "refusal") == 0;
    if (refusal || strcmp(type, "text") == 0 || strcmp(type, "input_text") == 0 ||
        strcmp(type, "output_text") == 0) {
        param_string(&f, refusal ? "refusal" : "text", &text, &length);
        if (text)
            message_add_text(r, text, length);
        else
            param_fail(&f, PROBLEM_INVALID, refusal ? "refusal" : "text", "must be a string");
        return;
    }
    param_fail(&f, PROBLEM_INVALID, "type", "must be 'text' or 'image_url'");
}

void message_read_parts(struct message_reader *r, json_t *parts)
{
    size_t i;
    json_t *part;
    json_array_foreach(parts, i, part)
    {
        char prefix[96];
        snprintf(prefix, sizeof prefix, "%scontent[%zu].", r->prefix, i);
        if (r->list->error->problem != PROBLEM_NONE)
            return;
        read_part(r, part, prefix);
    }
}

/* images[i]: {"type": "image_url", "image_url": {"url"}}, or a URL. */
static void read_own_picture(struct message_reader *r, json_t *images, size_t i)
{
    char name[96];
    json_t *image = json_array_get(images, i);
    snprintf(name, sizeof name, "%simages[%zu].", r->prefix, i);
    struct params f = {image, name, r->list->error};
    if (json_is_object(image)) {
        read_image_url(r, &f);
    } else if (json_is_string(image)) {
        name[strlen(name) - 1] = 0;
        message_add_picture(r, json_string_value(image), json_string_length(image), name);
    } else {
        param_fail(&f, PROBLEM_INVALID, "image_url", "is missing: each of 'images' must be an object");
    }
}

/* A place in a text, in characters and bytes. */
struct cursor {
    const char *text;
    size_t length, byte;
    int64_t character;
};

/* Goes on to a character, which must not lie behind; stops at the end. */
static void cursor_advance(struct cursor *c, int64_t character)
{
    for (; c->character < character && c->byte < c->length; c->character++) {
        c->byte++;
        while (c->byte < c->length && ((unsigned char)c->text[c->byte] & 0xC0) == 0x80)
            c->byte++;
    }
}

static void read_ordered_part(struct message_reader *r, json_t *json, const char *prefix, struct cursor *at,
                              json_t *images)
{
    struct params f = {json, prefix, r->list->error};
    const char *type = "";
    int64_t start = at->character, end = 0, image = 0, last_image = (int64_t)json_array_size(images) - 1;
    if (!json_is_object(json))
        param_fail(&f, PROBLEM_INVALID, "type", "is missing: each of 'content_parts' must be an object");
    param_string(&f, "type", &type, NULL);
    if (strcmp(type, "text") == 0) {
        param_integer(&f, "start", at->character, (int64_t)at->length, &start);
        param_integer(&f, "end", start, (int64_t)at->length, &end);
        cursor_advance(at, start);
        size_t from = at->byte;
        cursor_advance(at, end);
        message_add_text(r, at->text + from, at->byte - from);
    } else if (strcmp(type, "image_url") == 0 && last_image >= 0) {
        param_integer(&f, "image", 0, last_image, &image);
        if (f.error->problem == PROBLEM_NONE)
            read_own_picture(r, images, (size_t)image);
    } else {
        param_fail(&f, PROBLEM_INVALID, "type", "must be 'text', or 'image_url' with an entry in 'images'");
    }
}

/* Text and pictures in the order that content_parts gives. */
static void read_in_order(struct message_reader *r, json_t *order, const char *text, size_t length,
                          json_t *images)
{
    struct cursor at = {text, length, 0, 0};
    for (size_t i = 0; i < json_array_size(order) && r->list->error->problem == PROBLEM_NONE; i++) {
        char prefix[96];
        snprintf(prefix, sizeof prefix, "%scontent_parts[%zu].", r->prefix, i);
        read_ordered_part(r, json_array_get(order, i), prefix, &at, images);
    }
}

/* The next ![...](data:image/...) in s: where it begins, its URL and where it ends. */
static bool find_markdown(const char *s, size_t length, size_t *begin, const char **url, size_t *url_length,
                          size_t *end)
{
    enum { LONGEST_NAME = 256 };
    static const char middle[] = "](data:image/";
    const char *p = s, *stop = s + length;
    while ((p = memmem(p, (size_t)(stop - p), "![", 2)) != NULL) {
        const char *m = memchr(p, ']', (size_t)(stop - p < LONGEST_NAME ? stop - p : LONGEST_NAME));
        size_t n = sizeof middle - 1;
        if (m && (size_t)(stop - m) > n && memcmp(m, middle, n) == 0) {
            const char *close = memchr(m, ')', (size_t)(stop - m));
            if (!close)
                return false;
            *begin = (size_t)(p - s);
            *url = m + 2;
            *url_length = (size_t)(close - *url);
            *end = (size_t)(close - s) + 1;
            return true;
        }
        p += 2;
    }
    return false;
}

static void read_markdown(struct message_reader *r, const char *text, size_t length)
{
    char name[96];
    const char *url;
    size_t begin, url_length, end;
    snprintf(name, sizeof name, "%scontent", r->prefix);
    while (r->list->error->problem == PROBLEM_NONE &&
           find_markdown(text, length, &begin, &url, &url_length, &end)) {
        if (begin)
            message_add_text(r, text, begin);
        message_add_picture(r, url, url_length, name);
        text += end;
        length -= end;
    }
    if (length)
        message_add_text(r, text, length);
}

void message_read_reply(struct message_reader *r, const struct params *f, json_t *content)
{
    json_t *images = param_array(f, "images"), *order = param_array(f, "content_parts");
    const char *text = content ? json_string_value(content) : "";
    size_t length = json_string_length(content);
    if (json_array_size(order) > 0) {
        read_in_order(r, order, text, length, images);
        return;
    }
    read_markdown(r, text, length);
    for (size_t i = 0; i < json_array_size(images) && f->error->problem == PROBLEM_NONE; i++)
        read_own_picture(r, images, i);
}
