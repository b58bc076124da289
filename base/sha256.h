/* SHA-256 (FIPS 180-4), for digests of pictures and of keys. */
#ifndef VARGPT_BASE_SHA256_H
#define VARGPT_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SHA256_BYTES = 32 };

struct sha256 {
    uint32_t state[8];
    uint64_t length;   /* bytes hashed so far */
    uint8_t block[64]; /* the bytes of the block begun: length % 64 */
};

void sha256_init(struct sha256 *);
void sha256_add(struct sha256 *, const void *bytes, size_t n);
void sha256_finish(struct sha256 *,
                   uint8_t digest[SHA256_BYTES]); /* the structure must be initialised again after */

#endif
