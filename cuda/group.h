/* Several cards as one backend: tensor parallelism, operation by operation.
 *
 * Activations are on every card, and every card computes all of them, but: a matrix that may be divided
 * (host_matrix.divides) has some of its rows on each card, which computes these columns of the product; a
 * cache has some of its heads on each card, which computes their attention. Each number is computed by one
 * card, in the order of summation that one card alone would take, so a group's bytes are one card's.
 *
 * Columns that the cards have computed one part each are *parted*. They stay so until an operation needs all
 * of them on every card: then they are gathered. Operations on single columns or heads take them as they are.
 *
 * A group's pointers are no memory: a piece that was taken on all cards at once has addresses of its own,
 * which no host has, and each operation translates them for each card. All calls come from one thread. */
#ifndef VARGPT_CUDA_GROUP_H
#define VARGPT_CUDA_GROUP_H

#include "cuda/backend_state.h"
#include "cuda/cuda_backend.h"
#include "cuda/nccl.h"

/* Memory of all cards. */
struct piece {
    uintptr_t at; /* its address in the group, `bytes` long */
    size_t bytes;
    int heads, heads_each; /* a cache's: each card has memory for heads_each of heads. Others: 1 of 1 */
    char *card[CUDA_MOST_CARDS];
};

/* Columns of which each card has computed `each`, the last ones perhaps fewer. */
struct parted {
    struct tensor t;
    int each;
};

enum { MOST_PARTED = 16 };

struct cuda_group {
    struct backend base;
    int n;
    struct cuda_backend *card[CUDA_MOST_CARDS];
    struct nccl *nccl;
    struct piece *piece; /* [n_pieces] by address */
    size_t n_pieces, capacity;
    uintptr_t next; /* address of the next piece */
    struct parted parted[MOST_PARTED];
    int n_parted;
};

/* Some of a number of rows, columns or heads. */
struct share {
    int first, n;
};

/* Card k's of `total`, of which each card has `each` while there are any; 0: each has all. */
static inline struct share share_of(int total, int each, int k)
{
    int first = k * each < total ? k * each : total;
    return (struct share){first, each == 0 || total - first < each ? total - first : each};
}

static inline int share_each(const struct cuda_group *g, int total)
{
    return (total + g->n - 1) / g->n;
}

static inline struct cuda_group *group_state(struct backend *be)
{
    return (struct cuda_group *)be;
}

extern const struct backend_ops cuda_group_ops; /* group_ops.c */

/* group.c */
void cuda_group_close(struct cuda_group *);
void cuda_group_describe(const struct cuda_group *, char *text, size_t size);
/* False after a failure of any card: nothing more may be started, lest the others wait for it. */
bool group_ready(const struct cuda_group *);
enum status group_finish(struct backend *, struct error *);

/* group_memory.c */
void *group_alloc(struct backend *, size_t bytes);
void *group_alloc_cache(struct backend *, size_t bytes, int heads);
int group_heads_each(struct backend *, int heads);
void group_free(struct backend *, void *memory);
size_t group_memory_left(struct backend *);
enum status group_reserve(struct backend *, const struct work_limits *, struct error *);
void group_upload(struct backend *, void *to, const void *from_host, size_t bytes);
void group_download(struct backend *, void *to_host, const void *from, size_t bytes);
/* The piece that an address lies in; there must be one. */
const struct piece *group_piece(const struct cuda_group *, const void *address);
/* The same place in card k's memory; NULL stays NULL. */
void *group_at(const struct cuda_group *, int k, const void *address);
struct tensor group_tensor(const struct cuda_group *, int k, struct tensor);
struct row_batch group_batch(const struct cuda_group *, int k, const struct row_batch *);
/* A cache layer of card k: its heads, which may be none. */
struct kv_layer group_cache(const struct cuda_group *, int k, struct kv_layer);

/* group_weight.c */
struct group_weight {
    int each; /* rows of a card; 0: all cards have all of them */
    int rows;
    struct weight *card[CUDA_MOST_CARDS]; /* NULL where a card has no rows */
};
static inline const struct group_weight *group_weight(const struct weight *w)
{
    return (const struct group_weight *)(const void *)w;
}
enum status group_weight_load(struct backend *, struct weight **, const struct host_matrix *, struct error *);
void group_weight_free(struct backend *, struct weight *);

/* group_parted.c. Every operation says first what it reads, then what it writes. */
/* Gathers what is parted of a view. */
void group_read(struct cuda_group *, struct tensor);
void group_read_all(struct cuda_group *);
/* The view is about to be written by every card: nothing of it is parted any more. */
void group_write(struct cuda_group *, struct tensor);
void group_write_bytes(struct cuda_group *, const void *memory, size_t bytes);
/* The view is about to be written, `each` columns by a card. */
void group_write_parted(struct cuda_group *, struct tensor, int each);
/* How many columns of the view each card has; 0: all. */
int group_parted(const struct cuda_group *, struct tensor);
/* Forgets what is parted in these bytes, whose memory goes; NULL: everywhere. */
void group_forget(struct cuda_group *, const void *memory, size_t bytes);

#endif
