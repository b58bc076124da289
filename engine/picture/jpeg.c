/* JPEG. stb decodes it; before that every marker segment is walked here in the way stb will walk them,
 * because stb believes the counts in its tables (a Huffman table of 4080 codes is written past its array) and
 * would follow any number of scans over a large picture. */
#include "base/memory.h"
#include "engine/picture/exif.h"
#include "engine/picture/formats.h"
#include "engine/picture/stb.h"

#include <stdlib.h>
#include <string.h>

enum {
    SOF0 = 0xc0,
    SOF2 = 0xc2,
    DHT = 0xc4,
    RST0 = 0xd0,
    RST7 = 0xd7,
    EOI = 0xd9,
    SOS = 0xda,
    DQT = 0xdb,
    DNL = 0xdc,
    DRI = 0xdd,
    APP0 = 0xe0,
    APP1 = 0xe1,
    APP14 = 0xee,
    APP15 = 0xef,
    COM = 0xfe,
};

enum { MAX_COMPONENTS = 4 };

struct jpeg {
    int width, height, n_components;
    struct {
        int id, h, v, quantizer;
    } component[MAX_COMPONENTS];
    bool progressive;
    bool has_quantizer[4], has_huffman[2][4]; /* [DC or AC][number] */
    int n_scans;
    bool adobe;
    int exif, xmp; /* orientations, 0 = none */
};

static enum status damaged(struct error *err, const char *what)
{
    return error_set(err, STATUS_BAD_REQUEST, "the JPEG is damaged: %s", what);
}

/* Segments of Huffman tables: sixteen counts, then that many symbols; any number of tables. */
static bool check_huffman(struct jpeg *j, const uint8_t *p, size_t n)
{
    while (n) {
        if (n < 17 || p[0] >> 4 > 1 || (p[0] & 15) > 3)
            return false;
        size_t symbols = 0;
        for (int i = 1; i <= 16; i++)
            symbols += p[i];
        if (symbols > 256 || n < 17 + symbols)
            return false;
        j->has_huffman[p[0] >> 4][p[0] & 15] = true;
        p += 17 + symbols;
        n -= 17 + symbols;
    }
    return true;
}

static bool check_quantizers(struct jpeg *j, const uint8_t *p, size_t n)
{
    while (n) {
        size_t size = p[0] >> 4 ? 129 : 65;
        if (p[0] >> 4 > 1 || (p[0] & 15) > 3 || n < size)
            return false;
        j->has_quantizer[p[0] & 15] = true;
        p += size;
        n -= size;
    }
    return true;
}

static bool check_frame(struct jpeg *j, int marker, const uint8_t *p, size_t n)
{
    if (j->n_components || n < 6 || p[0] != 8)
        return false;
    int components = p[5];
    if ((components != 1 && components != 3 && components != 4) || n != 6 + 3 * (size_t)components)
        return false;
    j->height = read_u16be(p + 1);
    j->width = read_u16be(p + 3);
    for (int i = 0; i < components; i++) {
        const uint8_t *c = p + 6 + 3 * i;
        j->component[i].id = c[0];
        j->component[i].h = c[1] >> 4;
        j->component[i].v = c[1] & 15;
        j->component[i].quantizer = c[2];
        if (j->component[i].h < 1 || j->component[i].h > 4 || j->component[i].v < 1 ||
            j->component[i].v > 4 || c[2] > 3)
            return false;
    }
    j->n_components = components;
    j->progressive = marker == SOF2;
    return true;
}

/* A scan may use only tables that the file has set, and only components of the frame. */
static bool check_scan(struct jpeg *j, const uint8_t *p, size_t n)
{
    if (!j->n_components || n < 1 || p[0] < 1 || p[0] > j->n_components || n != 4 + 2 * (size_t)p[0])
        return false;
    int start = p[n - 3], end = p[n - 2], high = p[n - 1] >> 4;
    if (j->progressive && (start > end || end > 63))
        return false;
    bool uses_dc = !j->progressive || (start == 0 && high == 0), uses_ac = !j->progressive || start > 0;
    for (int i = 0; i < p[0]; i++) {
        int c = 0, dc = p[2 + 2 * i] >> 4, ac = p[2 + 2 * i] & 15;
        while (c < j->n_components && j->component[c].id != p[1 + 2 * i])
            c++;
        if (c == j->n_components || dc > 3 || ac > 3 || !j->has_quantizer[j->component[c].quantizer])
            return false;
        if ((uses_dc && !j->has_huffman[0][dc]) || (uses_ac && !j->has_huffman[1][ac]))
            return false;
    }
    return true;
}

static void read_app(struct jpeg *j, int marker, const uint8_t *p, size_t n)
{
    static const char xmp[] = "http://ns.adobe.com/xap/1.0/"; /* compared with its NUL */
    if (marker == APP1 && n >= 6 && memcmp(p, "Exif\0", 6) == 0)
        j->exif = j->exif ? j->exif : exif_orientation(p, n);
    else if (marker == APP1 && n >= sizeof xmp && memcmp(p, xmp, sizeof xmp) == 0)
        j->xmp = xmp_orientation(p + sizeof xmp, n - sizeof xmp);
    else if (marker == APP14 && n >= 12 && memcmp(p, "Adobe", 6) == 0)
        j->adobe = true;
}

/* The next marker that is not a restart, skipping entropy-coded data; *at moves behind it. 0 at the end of
 * the file. */
static int skip_to_marker(const uint8_t *bytes, size_t length, size_t *at)
{
    for (size_t i = *at; i + 1 < length; i++) {
        if (bytes[i] != 0xff)
            continue;
        int m = bytes[i + 1];
        if (m != 0 && m != 0xff && (m < RST0 || m > RST7)) {
            *at = i + 2;
            return m;
        }
    }
    return 0;
}

/* The next marker where one must stand; *at moves behind it. 0 when there is none. */
static int take_marker(const uint8_t *bytes, size_t length, size_t *at)
{
    if (*at >= length || bytes[*at] != 0xff)
        return 0;
    while (*at < length && bytes[*at] == 0xff)
        ++*at;
    return *at < length ? bytes[(*at)++] : 0;
}

static enum status check_segment(struct jpeg *j, int marker, const uint8_t *p, size_t n, struct error *err)
{
    bool fine = true;
    if (marker == DHT)
        fine = check_huffman(j, p, n);
    else if (marker == DQT)
        fine = check_quantizers(j, p, n);
    else if (marker == DRI)
        fine = n == 2;
    else if (marker == DNL)
        fine = n == 2 && read_u16be(p) == j->height;
    else if (marker >= APP0 && marker <= APP15)
        read_app(j, marker, p, n);
    else if (marker >= SOF0 && marker <= SOF2)
        fine = check_frame(j, marker, p, n);
    else if (marker == SOS)
        fine = check_scan(j, p, n);
    else if (marker > SOF2 && marker < RST0)
        return error_set(
            err, STATUS_BAD_REQUEST,
            "the JPEG is lossless, hierarchical or arithmetic-coded; save it as baseline or progressive");
    else if (marker != COM)
        return damaged(err, "it has an unknown marker");
    return fine ? STATUS_OK : damaged(err, "a table or header contradicts itself");
}

/* The most samples a component has across and down a sampling block. */
static void sampling(const struct jpeg *j, size_t *h, size_t *v)
{
    *h = *v = 1;
    for (int i = 0; i < j->n_components; i++) {
        *h = (size_t)j->component[i].h > *h ? (size_t)j->component[i].h : *h;
        *v = (size_t)j->component[i].v > *v ? (size_t)j->component[i].v : *v;
    }
}

/* Blocks of 8 x 8 that a file must hold at least; each takes a bit or more. */
static size_t fewest_blocks(const struct jpeg *j)
{
    size_t h, v, blocks = 0;
    sampling(j, &h, &v);
    for (int i = 0; i < j->n_components; i++) {
        size_t across = (size_t)j->width * (size_t)j->component[i].h / (8 * h);
        size_t down = (size_t)j->height * (size_t)j->component[i].v / (8 * v);
        blocks += across * down;
    }
    return blocks;
}

/* Progressive files have about ten scans. Each visits every block, which a few bytes can ask for, so large
 * pictures get fewer: what is allowed decodes within seconds. */
static int most_scans(const struct jpeg *j)
{
    enum { ALWAYS = 16, NEVER_MORE = 64, PIXELS = 800000000 };
    if (!j->progressive)
        return j->n_components;
    int64_t affordable = PIXELS / ((int64_t)j->width * j->height);
    return affordable < ALWAYS ? ALWAYS : affordable > NEVER_MORE ? NEVER_MORE : (int)affordable;
}

static enum status check_file(struct jpeg *j, const uint8_t *bytes, size_t length, int64_t max_pixels,
                              struct error *err)
{
    size_t at = 2;
    int marker = take_marker(bytes, length, &at);
    while (marker != EOI) {
        if (!marker || length - at < 2)
            return damaged(err, "it ends early");
        size_t n = read_u16be(bytes + at);
        if (n < 2 || n > length - at)
            return damaged(err, "a segment is longer than the file");
        enum status status = check_segment(j, marker, bytes + at + 2, n - 2, err);
        if (status)
            return status;
        at += n;
        if (marker >= SOF0 && marker <= SOF2 &&
            (status = picture_check_size(j->width, j->height, max_pixels, err)) != STATUS_OK)
            return status;
        if (marker == SOS && ++j->n_scans > most_scans(j))
            return damaged(err, "it has more scans than any picture needs");
        marker = marker == SOS ? skip_to_marker(bytes, length, &at) : take_marker(bytes, length, &at);
    }
    if (length < fewest_blocks(j) / 8)
        return damaged(err, "it is too short for its size");
    if (!j->n_scans)
        return damaged(err, "it has no image data");
    if (j->n_components == 4 && !j->adobe)
        return error_set(err, STATUS_BAD_REQUEST,
                         "the JPEG has four colours but no Adobe marker; save it as RGB");
    return STATUS_OK;
}

/* What stb allocates for this frame: each component's samples (and, progressive, its coefficients as 16 bits)
 * in whole MCUs, a line a component, the RGB result, and the decoder itself. */
static size_t decoder_memory(const struct jpeg *j)
{
    size_t h, v, samples = 0, width = (size_t)j->width, height = (size_t)j->height;
    sampling(j, &h, &v);
    size_t mcus = ((width + 8 * h - 1) / (8 * h)) * ((height + 8 * v - 1) / (8 * v));
    for (int i = 0; i < j->n_components; i++)
        samples += mcus * 64 * (size_t)(j->component[i].h * j->component[i].v);
    size_t slack = 65536 + 4 * width;
    return samples * (j->progressive ? 3 : 1) + 3 * width * height + slack;
}

enum status jpeg_decode(struct picture *out, int *orientation, const uint8_t *bytes, size_t length,
                        int64_t max_pixels, struct error *err)
{
    struct jpeg j = {0};
    enum status status = check_file(&j, bytes, length, max_pixels, err);
    if (status)
        return status;
    int width = 0, height = 0;
    uint8_t *rgb = stb_jpeg_decode(bytes, length, &width, &height, decoder_memory(&j));
    if (!rgb || width != j.width || height != j.height) {
        free(rgb);
        return damaged(err, "its image data cannot be decoded");
    }
    *out = (struct picture){.width = width, .height = height, .rgb = rgb};
    *orientation = j.exif ? j.exif : j.xmp;
    return STATUS_OK;
}

static void append_bytes(void *context, void *bytes, int n)
{
    buffer_append(context, bytes, (size_t)n);
}

enum status jpeg_encode(const struct picture *p, int quality, struct buffer *out, struct error *err)
{
    /* stb takes 0 for "the default" */
    bool ok = stb_jpeg_encode(append_bytes, out, p->width, p->height, p->rgb, quality < 1 ? 1 : quality);
    if (!ok || buffer_failed(out))
        return error_set(err, STATUS_NO_MEMORY, "no memory to write a JPEG of %d x %d", p->width, p->height);
    return STATUS_OK;
}
