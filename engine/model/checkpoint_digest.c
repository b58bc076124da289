#include "base/sha256.h"
#include "engine/model/checkpoint.h"

#include <string.h>

enum { SAMPLES = 4, SAMPLE_BYTES = 64 }; /* of a tensor, the first and the last bytes among them */

static void add_samples(struct sha256 *hash, const struct checkpoint_tensor *t)
{
    if (t->bytes <= SAMPLES * SAMPLE_BYTES) {
        sha256_add(hash, t->data, t->bytes);
        return;
    }
    size_t stride = (t->bytes - SAMPLE_BYTES) / (SAMPLES - 1);
    for (size_t i = 0; i < SAMPLES; i++) {
        size_t at = i == SAMPLES - 1 ? t->bytes - SAMPLE_BYTES : i * stride;
        sha256_add(hash, (const char *)t->data + at, SAMPLE_BYTES);
    }
}

void checkpoint_digest(const struct checkpoint *ck, uint8_t digest[SHA256_BYTES])
{
    struct sha256 hash;
    sha256_init(&hash);
    for (size_t i = 0; i < checkpoint_count(ck); i++) {
        const struct checkpoint_tensor *t = checkpoint_at(ck, i);
        int64_t form[2 + TENSOR_MAX_DIMS] = {(int64_t)t->type, t->n_dims};
        memcpy(form + 2, t->shape, (size_t)t->n_dims * sizeof t->shape[0]);
        sha256_add(&hash, t->name, strlen(t->name) + 1);
        sha256_add(&hash, form, sizeof form);
        add_samples(&hash, t);
    }
    sha256_finish(&hash, digest);
}
