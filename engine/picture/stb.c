#include "engine/picture/stb.h"

#include "base/memory.h"

#include <limits.h>
#include <stdlib.h>

/* What this decode may still allocate. Nothing stb frees is given back to the allowance: it frees only at the
 * end. */
static _Thread_local size_t allowance;

static void *allowed_malloc(size_t size)
{
    if (size > allowance)
        return NULL;
    allowance -= size;
    return try_calloc(size, 1); /* zeroed: damaged files make stb read coefficients that were never set */
}

static void *no_realloc(void *old, size_t size)
{
    (void)old;
    (void)size;
    return NULL; /* only growing output buffers would ask for it, and ours are fixed */
}

/* judged at the end of the file, so it cannot be popped */
#pragma GCC diagnostic ignored "-Wunused-function"
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_SUPPORT_ZLIB
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_NO_FAILURE_STRINGS
#define STBI_MAX_DIMENSIONS 65535
#define STBI_MALLOC(n)      allowed_malloc(n)
#define STBI_REALLOC(p, n)  no_realloc(p, n)
#define STBI_FREE(p)        free(p)
#define STBI_ASSERT(x)      ((void)0) /* a file can make one fail; what it guards stays within its arrays */
#include <stb_image.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

size_t stb_inflate(uint8_t *out, size_t capacity, const uint8_t *in, size_t length)
{
    stbi__zbuf z = {.zbuffer = (stbi_uc *)in, .zbuffer_end = (stbi_uc *)in + length};
    z.zout = z.zout_start = (char *)out;
    z.zout_end = (char *)out + capacity;
    stbi__parse_zlib(&z, 1);
    return (size_t)(z.zout - z.zout_start);
}

uint8_t *stb_jpeg_decode(const uint8_t *bytes, size_t length, int *width, int *height, size_t memory_limit)
{
    int channels;
    if (length > INT_MAX)
        return NULL;
    allowance = memory_limit;
    return stbi_load_from_memory(bytes, (int)length, width, height, &channels, 3);
}

bool stb_jpeg_encode(stb_write *write, void *context, int width, int height, const uint8_t *rgb, int quality)
{
    return stbi_write_jpg_to_func(write, context, width, height, 3, rgb, quality) != 0;
}
