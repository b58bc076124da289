/* What a sequence's pages hold, as keys: a chain of digests over all that the model was fed up to each page's end, so that
 * equal keys mean equal keys and values. 128 bits of SHA-256; a salt keeps strangers' prompts apart. */
#ifndef VARGPT_ENGINE_PREFIX_H
#define VARGPT_ENGINE_PREFIX_H

#include "engine/sequence.h"

/* The digest of what stands for a picture's rows: its pixels, or its codes where it has them. */
void prefix_digest_picture(struct picture_rows *);

/* Brings s->page_key up to date with the pages that s->ids fills. */
void prefix_extend(struct sequence *);

/* Adopts what is published of the sequence's prefix (it must hold no pages); all but the last position at most, and none
 * whose row is yet to be seen by a trace or for the log-probabilities of the prompt. */
void prefix_adopt(struct sequence *, struct kv_pool *);
/* Publishes the full pages that lie in the cache. */
void prefix_publish(struct sequence *, struct kv_pool *);
/* Whether `older`, on its way through its prompt, will publish a page that s could adopt next. */
bool prefix_is_coming(const struct sequence *s, const struct sequence *older);

#endif
