/* Passes that repeat, as CUDA graphs: the launches of a pass are captured once and started together from then
 * on, for the cost of about one. A graph has all arguments of its launches in it, addresses among them; what
 * changes from pass to pass is in memory that is written before it starts.
 *
 * The first pass of a shape runs plainly: scratch memory grows, kernels are loaded, libraries choose. The
 * second is captured, those after it are replayed. */
#include "cuda/backend_state.h"

#include "base/memory.h"

#include <stdlib.h>

enum { GRAPHS = 64 };

/* A shape that came by, and its graph if it did so twice. */
struct graph {
    struct pass_shape shape; /* most_keys: splits; n_rows == 0: an empty place */
    cudaGraphExec_t ready;
    uint64_t last_use;
};

struct graphs {
    struct graph graph[GRAPHS]; /* the one that was not used for longest makes room */
    struct graph *recording;    /* NULL: nothing is captured */
    uint64_t uses;
};

void cuda_graphs_open(struct cuda_backend *c)
{
    c->graphs = xcalloc(1, sizeof *c->graphs);
}

void cuda_graphs_close(struct cuda_backend *c)
{
    cuda_graphs_forget(c);
    free(c->graphs);
    c->graphs = NULL;
}

static void empty(struct graph *g)
{
    if (g->ready)
        cudaGraphExecDestroy(g->ready);
    *g = (struct graph){0};
}

void cuda_graphs_forget(struct cuda_backend *c)
{
    for (int i = 0; c->graphs && i < GRAPHS; i++)
        empty(&c->graphs->graph[i]);
}

bool cuda_is_recording(const struct cuda_backend *c)
{
    return c->graphs && c->graphs->recording;
}

static bool is_same(const struct pass_shape *a, const struct pass_shape *b)
{
    return a->memory == b->memory && a->n_rows == b->n_rows && a->most_keys == b->most_keys;
}

/* The shape's place; a new one has just that in it. NULL with the failure noted. */
static struct graph *find(struct cuda_backend *c, const struct pass_shape *shape)
{
    struct graphs *all = c->graphs;
    struct graph *oldest = &all->graph[0];
    for (int i = 0; i < GRAPHS; i++) {
        struct graph *g = &all->graph[i];
        if (is_same(&g->shape, shape))
            return g;
        oldest = g->last_use < oldest->last_use ? g : oldest;
    }
    if (oldest->ready && !cuda_wait(c)) /* it may still run */
        return NULL;
    empty(oldest);
    oldest->shape = *shape;
    return oldest;
}

enum replay cuda_replay(struct backend *be, const struct pass_shape *shape)
{
    struct cuda_backend *c = cuda_state(be);
    struct pass_shape own = *shape;
    if (!c->graphs || !cuda_ready(c))
        return REPLAY_NOT;
    own.most_keys = cuda_splits(shape->most_keys);
    struct graph *g = find(c, &own);
    if (!g)
        return REPLAY_NOT;
    bool is_new = g->last_use == 0;
    g->last_use = ++c->graphs->uses;
    if (g->ready) {
        cuda_check(c, cudaGraphLaunch(g->ready, c->stream), "starting a graph");
        return REPLAY_DONE;
    }
    if (is_new ||
        !cuda_check(c, cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeThreadLocal), "capturing"))
        return REPLAY_NOT;
    c->graphs->recording = g;
    return REPLAY_RECORDS;
}

void cuda_replay_end(struct backend *be)
{
    struct cuda_backend *c = cuda_state(be);
    struct graph *g = c->graphs->recording;
    cudaGraph_t captured = NULL;
    c->graphs->recording = NULL;
    bool ended = cuda_check(c, cudaStreamEndCapture(c->stream, &captured), "capturing");
    if (ended && cuda_ready(c) && cuda_check(c, cudaGraphInstantiate(&g->ready, captured, 0), "a graph"))
        cuda_check(c, cudaGraphLaunch(g->ready, c->stream), "starting a graph");
    if (captured)
        cudaGraphDestroy(captured);
}
