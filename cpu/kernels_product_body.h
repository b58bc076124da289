/* Products of rows with weights; part of kernels_body.h. */

/* Where a tile's sum of row r and weight row o stands: sum_tile folds 4 x TILE accumulators at once, whatever
 * rows and weight rows they belong to. */
INLINE int sum_at(int r, int o, int tile)
{
    int n = r * tile + o;
    return n % TILE / 4 * 16 + n / TILE * 4 + n % TILE % 4;
}

/* The sums of rows x tile (at most 4 x TILE) products of k columns: each has one vector accumulator that
 * takes the columns in order, LANES at a time, and is then folded as vf_sum does; so a product is the same
 * bytes in whichever tile it falls. sum[sum_at(r, o, tile)] = x[r] . w[o]. With ask, the weights `ahead`
 * bytes further on are asked for. */
INLINE void tile_product(float *sum, const float *const *x, int rows, const void *const *w, int tile, int k,
                         enum dtype type, bool ask, size_t ahead)
{
    vf acc[TALL_ROWS][TILE];
    UNROLL(8)
    for (int r = 0; r < rows; r++) {
        UNROLL(8)
        for (int o = 0; o < tile; o++)
            acc[r][o] = (vf){0};
    }
    int i = 0;
    UNROLL(STEPS)
    for (; i + LANES <= k; i += LANES) {
        vf xv[TALL_ROWS];
        UNROLL(8)
        for (int r = 0; r < rows; r++)
            xv[r] = vf_load(x[r] + i);
        UNROLL(8)
        for (int o = 0; o < tile; o++) {
            vf wv = load_weight(w[o], i, type);
            if (ask)
                __builtin_prefetch((const char *)w[o] + (type == DTYPE_F32 ? 4 : 2) * (size_t)i + ahead, 0,
                                   2);
            UNROLL(8)
            for (int r = 0; r < rows; r++)
                acc[r][o] = vf_fma(xv[r], wv, acc[r][o]);
        }
    }
    if (i < k) {
        vf xv[TALL_ROWS];
        UNROLL(8)
        for (int r = 0; r < rows; r++)
            xv[r] = vf_load_part(x[r] + i, k - i);
        UNROLL(8)
        for (int o = 0; o < tile; o++) {
            vf wv = load_weight_part(w[o], i, k - i, type);
            UNROLL(8)
            for (int r = 0; r < rows; r++)
                acc[r][o] = vf_fma(xv[r], wv, acc[r][o]);
        }
    }
    if (rows * tile == 4 * TILE) {
        vf all[4][TILE];
        UNROLL(8)
        for (int r = 0; r < rows; r++) {
            UNROLL(8)
            for (int o = 0; o < tile; o++)
                all[(r * tile + o) / TILE][(r * tile + o) % TILE] = acc[r][o];
        }
        sum_tile(sum, all);
        return;
    }
    UNROLL(8)
    for (int r = 0; r < rows; r++) {
        UNROLL(8)
        for (int o = 0; o < tile; o++)
            sum[sum_at(r, o, tile)] = vf_sum(acc[r][o]);
    }
}

INLINE void tile_rows(float *sum, const float *const *x, int rows, const void *const *w, int k,
                      enum dtype type, bool ask, size_t ahead)
{
    switch (rows) {
    case 1: tile_product(sum, x, 1, w, TILE, k, type, ask, ahead); break;
    case 2: tile_product(sum, x, 2, w, TILE, k, type, ask, ahead); break;
    case 3: tile_product(sum, x, 3, w, TILE, k, type, ask, ahead); break;
    case TALL_ROWS: tile_product(sum, x, TALL_ROWS, w, TALL_TILE, k, type, ask, ahead); break;
    default: tile_product(sum, x, 4, w, TILE, k, type, ask, ahead); break;
    }
}

static void tile_f32(float *sum, const float *const *x, int rows, const void *const *w, int k)
{
    tile_rows(sum, x, rows, w, k, DTYPE_F32, false, 0);
}

static void tile_stored(float *sum, const float *const *x, int rows, const void *const *w, int k,
                        enum dtype type, size_t ahead)
{
    switch (type) {
    case DTYPE_F16: tile_rows(sum, x, rows, w, k, DTYPE_F16, true, ahead); break;
    case DTYPE_BF16: tile_rows(sum, x, rows, w, k, DTYPE_BF16, true, ahead); break;
    default: tile_rows(sum, x, rows, w, k, DTYPE_F32, true, ahead); break;
    }
}

/* Adds a tile's sums to, or puts them in, `rows` rows of out; `exist` of its columns exist. */
INLINE void put_tile(float *out, size_t stride, const float *sum, int rows, int tile, int exist, bool add)
{
    UNROLL(8)
    for (int r = 0; r < rows; r++) {
        float *to = out + (size_t)r * stride;
        UNROLL(8)
        for (int o = 0; o < tile; o++) {
            if (o < exist)
                to[o] = add ? to[o] + sum[sum_at(r, o, tile)] : sum[sum_at(r, o, tile)];
        }
    }
}

static const void *weight_at(const struct matmul *m, int output, int column)
{
    return (const char *)m->w + (size_t)output * m->w_pitch + dtype_bytes(m->type, (size_t)column);
}

/* The tile of outputs from o on (TALL_TILE of them for TALL_ROWS rows), for rows r .. r+rows-1, over k
 * columns from k0 on, from weights as they are stored (those `ahead` bytes further on are next) or from their
 * copies. */
INLINE void do_tile(const struct matmul *m, const void *const *w, bool copies, size_t ahead, int o, int r,
                    int rows, int k0, int k)
{
    int tile = rows == TALL_ROWS ? TALL_TILE : TILE, exist = m->outputs - o < tile ? m->outputs - o : tile;
    bool add = m->add || k0 > 0;
    float *out = m->out + (size_t)r * m->out_stride + o;
    const float *x[TALL_ROWS];
    float sum[TILE_SUMS];
    x[0] = m->x + (size_t)r * m->x_stride + k0;
    for (int i = 1; i < rows; i++)
        x[i] = x[i - 1] + m->x_stride;
    if (copies)
        tile_f32(sum, x, rows, w, k);
    else
        tile_stored(sum, x, rows, w, k, m->type, ahead);
    if (rows == TALL_ROWS && exist == TALL_TILE)
        put_tile(out, m->out_stride, sum, TALL_ROWS, TALL_TILE, TALL_TILE, add);
    else if (rows == TALL_ROWS)
        put_tile(out, m->out_stride, sum, TALL_ROWS, TALL_TILE, exist, add);
    else if (rows == ROW_BLOCK && exist == TILE)
        put_tile(out, m->out_stride, sum, ROW_BLOCK, TILE, TILE, add);
    else
        put_tile(out, m->out_stride, sum, rows, TILE, exist, add);
}

/* A few rows, TALL_ROWS at a time and then ROW_BLOCK: weights are converted on their way into the registers.
 * A tile's rows are read to their end before the next tile begins, which is the order memory likes; meanwhile
 * the next tile's are asked for. */
static void matmul_few(const struct matmul *m)
{
    size_t ahead = TILE * m->w_pitch;
    for (int o = 0; o < m->outputs; o += TILE) {
        for (int k0 = 0; k0 < m->inner; k0 += MATMUL_BLOCK) {
            int k = m->inner - k0 < MATMUL_BLOCK ? m->inner - k0 : MATMUL_BLOCK, r = 0;
            const void *w[TILE];
            for (int t = 0; t < TILE; t++)
                w[t] = weight_at(m, o + t < m->outputs ? o + t : o, k0);
            for (; m->rows - r >= TALL_ROWS; r += TALL_ROWS) {
                for (int t = 0; t < TILE; t += TALL_TILE)
                    do_tile(m, w + t, false, ahead, o + t, r, TALL_ROWS, k0, k);
            }
            for (; r < m->rows; r += ROW_BLOCK)
                do_tile(m, w, false, ahead, o, r, m->rows - r < ROW_BLOCK ? m->rows - r : ROW_BLOCK, k0, k);
        }
    }
}

/* Where the next lines to ask for lie: a tile's block of weights, row after row. Hints only, so going beyond
 * the end does no harm. */
struct ahead {
    const char *row;
    size_t pitch;
    int line, lines; /* of a row's block */
};

INLINE void ask_ahead(struct ahead *a, int n)
{
    for (int i = 0; i < n; i++) {
        __builtin_prefetch(a->row + (size_t)a->line * 64, 0, 2);
        if (++a->line == a->lines) {
            a->line = 0;
            a->row += a->pitch;
        }
    }
}

/* Many rows, one block of a tile's weights: it becomes float32 once, in first-level cache, and meets all
 * rows; meanwhile the block that comes after it, at output next_o and column next_k, is on its way to
 * second-level cache. */
static void do_block(const struct matmul *m, int o, int k0, int next_o, int next_k)
{
    enum { PITCH = MATMUL_BLOCK + 16 }; /* rows a power of two apart would fall into the same cache sets */
    int tile = m->outputs - o < TILE ? m->outputs - o : TILE;
    int k = m->inner - k0 < MATMUL_BLOCK ? m->inner - k0 : MATMUL_BLOCK;
    int row_blocks = (m->rows + ROW_BLOCK - 1) / ROW_BLOCK;
    struct ahead next = {weight_at(m, next_o, next_k), m->w_pitch, 0,
                         (int)(dtype_bytes(m->type, (size_t)k) + 63) / 64};
    int ask = (TILE * next.lines + row_blocks - 1) / row_blocks;
    const void *w[TILE];
    for (int t = 0; t < TILE; t++) {
        float *copy = (float *)m->scratch + (t < tile ? t : 0) * PITCH;
        w[t] = copy;
        if (t < tile)
            to_f32(copy, weight_at(m, o + t, k0), m->type, k);
    }
    for (int r = 0; r < m->rows; r += ROW_BLOCK) {
        const float *next_out = m->out + (size_t)(r + ROW_BLOCK) * m->out_stride + o;
        for (int i = 0; i < ROW_BLOCK; i++)
            __builtin_prefetch(next_out + (size_t)i * m->out_stride, 1, 3);
        ask_ahead(&next, ask);
        do_tile(m, w, true, 0, o, r, m->rows - r < ROW_BLOCK ? m->rows - r : ROW_BLOCK, k0, k);
    }
}

/* One block of x after the other meets all tiles, so that it stays in second-level cache. */
static void matmul_many(const struct matmul *m)
{
    for (int k0 = 0; k0 < m->inner; k0 += MATMUL_BLOCK) {
        for (int o = 0; o < m->outputs; o += TILE) {
            bool last = o + TILE >= m->outputs;
            do_block(m, o, k0, last ? 0 : o + TILE, last ? k0 + MATMUL_BLOCK : k0);
        }
    }
}

static void matmul(const struct matmul *m)
{
    if (m->rows <= FEW_ROWS)
        matmul_few(m);
    else
        matmul_many(m);
}
