#include "engine/sequence.h"
#include "engine/prefix.h"

#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void add_prompt_pictures(struct sequence *s, const struct model *m, const struct request *r)
{
    s->n_pictures = (int)r->n_pictures;
    s->picture = xcalloc(r->n_pictures + 1, sizeof *s->picture);
    for (size_t i = 0; i < r->n_pictures; i++) {
        const struct prompt_picture *from = &r->picture[i];
        struct picture_rows *to = &s->picture[i];
        bool seen = from->kind == PICTURE_SEEN;
        *to = (struct picture_rows){.kind = from->kind, .first = (int)from->first_id, .prompt = from};
        to->n = seen ? model_seen_rows(m) : m->n_positions;
        if (!seen && from->codes) {
            to->codes = xmalloc(from->n_codes * sizeof *to->codes);
            memcpy(to->codes, from->codes, from->n_codes * sizeof *to->codes);
        }
        prefix_digest_picture(to);
        s->usage.prompt_picture_tokens += to->n;
    }
}

struct sequence *sequence_open(const struct model *m, uint64_t id, struct request *r, struct event_sink sink)
{
    struct sequence *s = xcalloc(1, sizeof *s);
    s->id = id;
    s->request = r;
    s->sink = sink;
    s->n_prompt = (int)r->n_ids;
    s->n_scored = r->text.prompt_logprobs ? 1 : s->n_prompt;
    add_prompt_pictures(s, m, r);
    for (size_t i = 0; i < r->n_ids; i++)
        sequence_append(s, r->ids[i]);
    s->usage.prompt_tokens = s->n_prompt;
    if (r->draw.mode == DRAW_NOW) {
        sequence_append(s, m->config.drawing.start_id);
        s->draws_next = true;
    }
    prefix_extend(s);
    return s;
}

void sequence_close(struct sequence *s)
{
    if (!s)
        return;
    assert(!s->drawing && s->pages.n == 0);
    for (int i = 0; i < s->n_pictures; i++)
        free(s->picture[i].codes);
    free(s->picture);
    free(s->page_key);
    free(s->ids);
    request_close(s->request);
    free(s);
}

void sequence_append(struct sequence *s, int32_t id)
{
    if (s->n_ids == s->ids_capacity) {
        s->ids_capacity = s->ids_capacity ? 2 * s->ids_capacity : 256;
        s->ids = xrealloc(s->ids, (size_t)s->ids_capacity * sizeof *s->ids);
    }
    s->ids[s->n_ids++] = id;
}

void sequence_append_picture(struct sequence *s, const struct model *m, int32_t *codes)
{
    s->picture = xrealloc(s->picture, (size_t)(s->n_pictures + 1) * sizeof *s->picture);
    s->picture[s->n_pictures++] =
        (struct picture_rows){.kind = PICTURE_DRAWN, .first = s->n_ids, .n = m->n_positions, .codes = codes};
    prefix_digest_picture(&s->picture[s->n_pictures - 1]);
    for (int i = 0; i < m->n_positions; i++)
        sequence_append(s, m->config.drawing.pad_id);
}

struct picture_rows *sequence_picture_at(const struct sequence *s, int position)
{
    for (int i = 0; i < s->n_pictures; i++) {
        struct picture_rows *p = &s->picture[i];
        if (position >= p->first && position < p->first + p->n)
            return p;
    }
    return NULL;
}
