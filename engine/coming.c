/* Backend memory that comes and goes with requests: rows of pictures on their way into the cache, the maps of
 * drawings, and rows that are remembered of pictures looked at. Where the device's memory is its own, the
 * caches leave this much of it; a request that finds none waits for those that have some. */
#include "engine/engine_state.h"

/* Bytes: what places are multiples of, and what is lost at the edges of pieces. */
enum { PIECE = 256, SPARE = 1 << 20 };

static size_t piece_bytes(int rows, int cols)
{
    return ((size_t)rows * (size_t)cols * sizeof(float) + PIECE - 1) / PIECE * PIECE;
}

/* As many pictures as one prompt can hold, those remembered, and all drawings under way at once. */
size_t coming_bytes(const struct engine *e)
{
    const struct model *m = e->model;
    int hidden = m->config.llm.hidden;
    size_t bytes = SPARE;
    if (model_sees(m))
        bytes += piece_bytes(e->context, hidden) + SEEN_PICTURES * piece_bytes(model_seen_rows(m), hidden);
    if (model_draws(m)) {
        int drawings = e->max_sequences < 2 * MOST_DRAWINGS ? e->max_sequences : 2 * MOST_DRAWINGS;
        bytes += (size_t)drawings * (piece_bytes(m->vae.side * m->vae.side, m->decoder.code_width) +
                                     piece_bytes(model_largest_scale(m), m->decoder.width));
    }
    return bytes;
}

enum status coming_check(const struct engine *e, struct error *err)
{
    size_t left = e->op->memory_left ? e->op->memory_left(e->be) : SIZE_MAX, need = coming_bytes(e);
    if (left >= need)
        return STATUS_OK;
    return error_set(
        err, STATUS_NO_MEMORY,
        "the device has %zu MiB left for pictures of requests, which take up to %zu MiB: a smaller "
        "--cache, --context or --max-sequences leaves more, a larger --device-memory gives more",
        left >> 20, need >> 20);
}

void *coming_take(struct engine *e, size_t bytes)
{
    void *memory;
    do
        memory = e->op->alloc(e->be, bytes);
    while (!memory && seen_pictures_forget_oldest(e));
    return memory;
}

static bool has_some(const struct sequence *s)
{
    for (int i = 0; i < s->n_pictures; i++) {
        if (s->picture[i].rows)
            return true;
    }
    return s->drawing && s->drawing->map;
}

bool coming_may_wait(const struct engine *e, const struct sequence *s)
{
    for (int i = 0; i < e->n_running; i++) {
        if (e->running[i] != s && has_some(e->running[i]))
            return true;
    }
    return false;
}

bool coming_preempt(struct engine *e, const struct sequence *s)
{
    struct sequence *youngest = NULL;
    for (int i = 0; i < e->n_running; i++) {
        struct sequence *other = e->running[i];
        if (sequence_comes_before(s, other) && scheduler_may_preempt(other) && has_some(other) &&
            (!youngest || sequence_comes_before(youngest, other)))
            youngest = other;
    }
    if (youngest)
        scheduler_preempt(e, youngest);
    return youngest;
}
