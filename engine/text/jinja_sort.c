#include "engine/text/jinja_sort.h"

#include <string.h>

struct sorter {
    struct jinja_run *run;
    const struct jinja_value *key;
    bool reverse;
};

/* Whether b must come before a: equal ones stay as they were. */
static bool comes_first(struct sorter *s, size_t b, size_t a)
{
    return s->reverse ? value_less(s->run, s->key[a], s->key[b]) : value_less(s->run, s->key[b], s->key[a]);
}

/* Merges order[begin..middle) and [middle..end), both sorted, by way of `room`. */
static void merge(struct sorter *s, size_t *order, size_t *room, size_t begin, size_t middle, size_t end)
{
    size_t i = begin, j = middle, out = begin;
    while (i < middle && j < end && run_work(s->run, 1))
        room[out++] = comes_first(s, order[j], order[i]) ? order[j++] : order[i++];
    while (i < middle)
        room[out++] = order[i++];
    while (j < end)
        room[out++] = order[j++];
    memcpy(order + begin, room + begin, (end - begin) * sizeof *order);
}

const struct jinja_list *sort_items(struct jinja_run *run, const struct jinja_list *items,
                                    const struct jinja_list *keys, bool reverse)
{
    size_t n = items->count;
    size_t *order = run_alloc(run, n + 1, sizeof *order), *room = run_alloc(run, n + 1, sizeof *room);
    struct jinja_list *sorted = list_new(run, n);
    if (!order || !room || !sorted || !keys)
        return NULL;
    struct sorter s = {run, keys->at, reverse};
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t width = 1; width < n; width *= 2)
        for (size_t begin = 0; begin + width < n && !run->failed; begin += 2 * width)
            merge(&s, order, room, begin, begin + width, begin + 2 * width < n ? begin + 2 * width : n);
    for (size_t i = 0; i < n && run_work(run, 1); i++)
        list_add(run, sorted, items->at[order[i]]);
    return run->failed ? NULL : sorted;
}
