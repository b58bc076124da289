/* The pieces of attention; part of kernels_body.h, after products and activations. */

/* Asks for a row of n floats. */
INLINE void ask_for(const float *row, int n)
{
    for (int i = 0; i < n; i += 16)
        __builtin_prefetch(row + i, 0, 3);
}

INLINE void put_scores(float *score, size_t stride, const float *sum, int rows, int tile, float scale)
{
    UNROLL(4)
    for (int r = 0; r < rows; r++) {
        UNROLL(8)
        for (int t = 0; t < tile; t++)
            score[(size_t)r * stride + (size_t)t] = sum[sum_at(r, t, TILE)] * scale;
    }
}

static void scores(float *score, size_t score_stride, const float *const *q, int rows,
                   const float *const *key, int keys, int ahead, int n, float scale)
{
    for (int j = 0; j < keys; j += TILE) {
        int tile = keys - j < TILE ? keys - j : TILE;
        const void *k[TILE];
        for (int t = 0; t < TILE; t++)
            k[t] = key[j + (t < tile ? t : 0)];
        for (int t = 0; ahead && t < tile; t++)
            ask_for(key[j + ahead + t], n);
        float sum[TILE_SUMS];
        tile_f32(sum, q, rows, k, n);
        if (tile == TILE && rows == ROW_BLOCK)
            put_scores(score + j, score_stride, sum, ROW_BLOCK, TILE, scale);
        else
            put_scores(score + j, score_stride, sum, rows, tile, scale);
    }
}

static float softmax(float *x, int n)
{
    vf top = vf_all(-INFINITY);
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        top = vf_max(vf_load(x + i), top);
    float largest = vf_largest(top);
    for (; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    vf sum = {0};
    for (i = 0; i + LANES <= n; i += LANES) {
        vf e = vf_exp(vf_load(x + i) - largest);
        vf_store(x + i, e);
        sum += e;
    }
    if (i < n) {
        vf_store_part(x + i, vf_exp(vf_load_part(x + i, n - i) - largest), n - i);
        sum += vf_load_part(x + i, n - i);
    }
    return vf_sum(sum);
}

/* COLUMNS vectors (or one, or its first `part` lanes) of the rows of out, from column d on */
INLINE void weigh_columns(float *const *out, const float *p, size_t p_stride, int rows,
                          const float *const *value, int keys, int ahead, int d, int vectors, int part,
                          bool add_to)
{
    vf acc[ROW_BLOCK][COLUMNS];
    UNROLL(4)
    for (int r = 0; r < rows; r++) {
        UNROLL(4)
        for (int v = 0; v < vectors; v++) {
            float *o = out[r] + d + v * LANES;
            acc[r][v] = !add_to ? (vf){0} : part ? vf_load_part(o, part) : vf_load(o);
        }
    }
    for (int j = 0; j < keys; j++) {
        vf x[COLUMNS];
        UNROLL(4)
        for (int v = 0; v < vectors; v++) {
            const float *from = value[j] + d + v * LANES;
            x[v] = part ? vf_load_part(from, part) : vf_load(from);
        }
        if (ahead)
            ask_for(value[j + ahead] + d, vectors * LANES);
        UNROLL(4)
        for (int r = 0; r < rows; r++) {
            vf weight = vf_all(p[(size_t)r * p_stride + (size_t)j]);
            UNROLL(4)
            for (int v = 0; v < vectors; v++)
                acc[r][v] = vf_fma(weight, x[v], acc[r][v]);
        }
    }
    UNROLL(4)
    for (int r = 0; r < rows; r++) {
        UNROLL(4)
        for (int v = 0; v < vectors; v++) {
            float *o = out[r] + d + v * LANES;
            if (part)
                vf_store_part(o, acc[r][v], part);
            else
                vf_store(o, acc[r][v]);
        }
    }
}

INLINE void weigh_rows(float *const *out, const float *p, size_t p_stride, int rows,
                       const float *const *value, int keys, int ahead, int n, bool add_to)
{
    int d = 0;
    for (; d + COLUMNS * LANES <= n; d += COLUMNS * LANES)
        weigh_columns(out, p, p_stride, rows, value, keys, ahead, d, COLUMNS, 0, add_to);
    for (; d + LANES <= n; d += LANES)
        weigh_columns(out, p, p_stride, rows, value, keys, ahead, d, 1, 0, add_to);
    if (d < n)
        weigh_columns(out, p, p_stride, rows, value, keys, ahead, d, 1, n - d, add_to);
}

static void weigh(float *const *out, const float *p, size_t p_stride, int rows, const float *const *value,
                  int keys, int ahead, int n, bool add_to)
{
    switch (rows) {
    case 1: weigh_rows(out, p, p_stride, 1, value, keys, ahead, n, add_to); break;
    case 2: weigh_rows(out, p, p_stride, 2, value, keys, ahead, n, add_to); break;
    case 3: weigh_rows(out, p, p_stride, 3, value, keys, ahead, n, add_to); break;
    default: weigh_rows(out, p, p_stride, 4, value, keys, ahead, n, add_to); break;
    }
}
