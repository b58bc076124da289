#include "engine/picture/png_chunks.h"

#include "engine/picture/formats.h"

/* CRCs of the sixteen half bytes, reflected polynomial 0xedb88320; two look-ups a byte need no big table. */
static const uint32_t crc_of_nibble[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

uint32_t png_crc(uint32_t crc, const uint8_t *bytes, size_t n)
{
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ crc_of_nibble[crc & 15];
        crc = crc >> 4 ^ crc_of_nibble[crc & 15];
    }
    return ~crc;
}

bool png_next_chunk(const uint8_t *file, size_t length, size_t *offset, struct png_chunk *chunk)
{
    size_t left = length - *offset;
    if (left < PNG_CHUNK_OVERHEAD)
        return false;
    size_t data_length = read_u32be(file + *offset);
    if (data_length > left - PNG_CHUNK_OVERHEAD)
        return false;
    *chunk = (struct png_chunk){
        .type = read_u32be(file + *offset + 4), .data = file + *offset + 8, .length = data_length};
    *offset += PNG_CHUNK_OVERHEAD + data_length;
    return true;
}

bool png_chunk_intact(const struct png_chunk *chunk)
{
    return png_crc(0, chunk->data - 4, chunk->length + 4) == read_u32be(chunk->data + chunk->length);
}
