/* How much memory caches and working space get. */
#include "engine/engine_state.h"

#include "base/control_group.h"
#include "base/log.h"
#include "base/memory.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static size_t at_least(size_t value, size_t least)
{
    return value < least ? least : value;
}

static size_t at_most(size_t value, size_t most)
{
    return value > most ? most : value;
}

/* What the system could still give, caches it would drop included; 0 when it does not say. */
static size_t memory_available(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    }
    if (f)
        fclose(f);
    return (size_t)kib << 10;
}

static void find_available(struct engine *e)
{
    if (e->op->memory_left) {
        e->memory.available =
            e->op->memory_left(e->be) + e->model->weight_bytes; /* which are there already */
        e->memory.limit = "device";
        return;
    }
    size_t machine = memory_available(), group = control_group_memory("");
    bool by_group = group < machine || (machine == 0 && group < SIZE_MAX);
    e->memory.available = by_group ? group : machine;
    e->memory.limit = by_group ? "control group" : "machine";
}

/* Working memory: the largest step's, and an interlude's on top of it. */
static size_t step_bytes(const struct engine *e)
{
    size_t x = arena_bytes((size_t)e->step_rows * (size_t)e->model->config.llm.hidden);
    size_t steps[] = {text_step_arena(e, e->step_rows), x + draw_step_arena(e), encode_step_arena(e)},
           most = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        most = steps[i] > most ? steps[i] : most;
    return most + text_step_arena(e, e->max_sequences);
}

static size_t work_bytes(const struct engine *e)
{
    return step_bytes(e) + (engine_paints_aside(e) ? paint_arena(e) : 0);
}

/* Tables of the passes. */
static size_t table_bytes(const struct engine *e)
{
    int n = e->max_sequences;
    size_t pages = (size_t)n * (size_t)pages_for(e->context);
    int tables = (int)at_most(pages, INT_MAX);
    size_t bytes = 2 * ((size_t)e->step_rows + (size_t)n) * sizeof(int32_t) +
                   batch_bytes(e->step_rows, n, tables) + batch_bytes(n, n, tables);
    if (model_draws(e->model))
        bytes += batch_bytes(2 * e->step_rows, 2 * n, 2 * MOST_DRAWINGS * pages_for(e->model->n_positions));
    return bytes;
}

/* Of the machine's memory, which is others' too, half of what is left beside the weights; they count as if
 * all of them were mapped from a file and should stay. A device's own is there to be used, but for twice what
 * comes and goes with requests: pieces that come and go leave gaps between them. */
static size_t choose_budget(struct engine *e)
{
    size_t available = e->memory.available, taken = e->model->weight_bytes;
    if (e->op->memory_left)
        taken += work_bytes(e) + table_bytes(e) + 2 * coming_bytes(e);
    size_t left = available > taken ? available - taken : 0;
    e->memory.cache_rule = e->op->memory_left ? "at most what weights, work and pictures of requests leave"
                                              : "at most half of what the weights leave";
    return e->op->memory_left ? left : left / 2;
}

static enum status open_decoder_pool(struct engine *e, size_t *budget, struct error *err)
{
    const struct image_decoder *d = &e->model->decoder;
    size_t pages = 2 * (size_t)pages_for(e->model->n_positions); /* both branches of one picture */
    struct kv_shape shape = {e->cache_type, d->depth, d->heads, d->head_dim};
    size_t each = kv_pool_bytes_each(e->be, shape, pages);
    size_t drawings =
        at_least(at_most(*budget / 3 / each, at_most((size_t)e->max_sequences, MOST_DRAWINGS)), 1);
    e->max_drawings = (int)drawings;
    *budget -= at_most(*budget, drawings * each);
    e->memory.cache += drawings * each;
    return kv_pool_open(&e->decoder_pool, e->be, shape, (int)(drawings * pages), err);
}

static enum status open_llm_pool(struct engine *e, size_t budget, struct error *err)
{
    const struct llm_config *c = &e->model->config.llm;
    struct kv_shape shape = {e->cache_type, c->layers, c->kv_heads, c->head_dim};
    size_t page = kv_pool_bytes_each(e->be, shape, 64) / 64;
    size_t want = (size_t)e->max_sequences * (size_t)pages_for(e->context);
    size_t least = at_most((size_t)pages_for(e->model->n_positions + 256), want);
    size_t pages = at_least(at_most(budget / page, want), least);
    pages = at_most(pages, (1u << 30) / PAGE_TOKENS);
    if (pages * PAGE_TOKENS < (size_t)e->context) {
        log_info("the context is cut from %d to %zu positions: memory for its cache is short (see --cache)",
                 e->context, pages * PAGE_TOKENS);
        e->context = (int)pages * PAGE_TOKENS;
    }
    e->memory.cache += pages * page;
    e->memory.cache_page = page;
    e->memory.cache_pages = (int)pages;
    return kv_pool_open(&e->llm_pool, e->be, shape, (int)pages, err);
}

enum status engine_open_caches(struct engine *e, size_t cache_bytes, struct error *err)
{
    if (e->cache_type != DTYPE_F32 && !(e->op->cache_types >> e->cache_type & 1))
        return error_set(err, STATUS_BAD_REQUEST, "the %s device keeps no key/value cache of type %s",
                         e->op->name, dtype_name(e->cache_type));
    e->memory.cache_type = e->cache_type;
    e->memory.cache_rule = "by --cache";
    if (engine_reserve(e, err))
        return err->status;
    find_available(e);
    size_t budget = cache_bytes ? cache_bytes : choose_budget(e);
    if (model_draws(e->model) && open_decoder_pool(e, &budget, err))
        return err->status;
    return open_llm_pool(e, budget, err);
}

static enum status pass_open(struct engine *e, struct pass *pass, int rows, struct error *err)
{
    size_t n = (size_t)e->max_sequences;
    pass->max_rows = rows;
    pass->plan = xcalloc(n, sizeof *pass->plan);
    pass->chooser = xcalloc(n, sizeof *pass->chooser);
    pass->source_host = xcalloc(2 * (size_t)rows, sizeof *pass->source_host);
    pass->source = e->op->alloc(e->be, 2 * (size_t)rows * sizeof *pass->source);
    if (!pass->source)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the tables of a step");
    size_t tables = n * (size_t)pages_for(
                            e->context); /* sequences share pages: their tables may be longer than the pool */
    return batch_open(&pass->batch, e->be, rows, e->max_sequences, (int)at_most(tables, INT_MAX), err);
}

void pass_release(struct engine *e, struct pass *pass)
{
    batch_release(&pass->batch);
    e->op->free(e->be, pass->source);
    free(pass->source_host);
    free(pass->chooser);
    free(pass->plan);
}

enum status engine_open_work(struct engine *e, struct error *err)
{
    e->memory.work = work_bytes(e);
    if (arena_open(&e->arena, e->be, step_bytes(e), err))
        return err->status;
    if (engine_paints_aside(e) && arena_open(&e->paint_arena, e->aside, paint_arena(e), err))
        return err->status;
    if (pass_open(e, &e->pass, e->step_rows, err) || pass_open(e, &e->interlude, e->max_sequences, err))
        return err->status;
    if (e->decoder_pool && batch_open(&e->decoder_batch, e->be, 2 * e->step_rows, 2 * e->max_sequences,
                                      kv_pool_pages(e->decoder_pool), err))
        return err->status;
    return coming_check(e, err);
}
