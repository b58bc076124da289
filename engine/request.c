#include "engine/request.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

struct request *request_new(void)
{
    struct request *r = xcalloc(1, sizeof *r);
    r->text.filter = (struct choice_filter){.temperature = 1, .top_p = 1};
    r->text.repetition_penalty = 1;
    r->text.max_tokens = -1;
    r->draw.filter = (struct choice_filter){.temperature = 1, .top_k = 900, .top_p = 0.96f};
    r->draw.guidance = 1.5f;
    r->draw.max_pictures = 4;
    return r;
}

void request_close(struct request *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n_pictures; i++) {
        free(r->picture[i].pixels);
        free(r->picture[i].codes);
    }
    free(r->picture);
    free(r->ids);
    free(r->text.bias);
    free(r->draw.given);
    free(r);
}

/* *to = a copy of count items of from (NULL stays NULL); false for lack of memory. */
static bool copy_array(void *to, const void *from, size_t count, size_t size)
{
    void *copy = NULL;
    if (from && !(copy = try_malloc(count, size)))
        return false;
    if (from && count)
        memcpy(copy, from, count * size);
    memcpy(to, &copy, sizeof copy);
    return true;
}

static bool copy_picture(struct prompt_picture *to, const struct prompt_picture *from)
{
    *to = *from;
    to->pixels = NULL;
    to->codes = NULL;
    return copy_array(&to->pixels, from->pixels, from->n_pixels, sizeof *from->pixels) &&
           copy_array(&to->codes, from->codes, from->n_codes, sizeof *from->codes);
}

struct request *request_copy(const struct request *from)
{
    struct request *to = xcalloc(1, sizeof *to);
    *to = *from;
    to->ids = NULL;
    to->picture = NULL;
    to->n_pictures = 0;
    to->text.bias = NULL;
    to->draw.given = NULL;
    if (!copy_array(&to->ids, from->ids, from->n_ids, sizeof *from->ids) ||
        !copy_array(&to->text.bias, from->text.bias, from->text.n_bias, sizeof *from->text.bias) ||
        !copy_array(&to->draw.given, from->draw.given, from->draw.n_given, sizeof *from->draw.given))
        goto fail;
    if (from->n_pictures && !(to->picture = try_calloc(from->n_pictures, sizeof *to->picture)))
        goto fail;
    for (; to->n_pictures < from->n_pictures; to->n_pictures++) {
        if (!copy_picture(&to->picture[to->n_pictures], &from->picture[to->n_pictures])) {
            to->n_pictures++;
            goto fail;
        }
    }
    return to;
fail:
    request_close(to);
    return NULL;
}
