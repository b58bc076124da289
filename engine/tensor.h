/* The words that models and backends share: number types, and a view of a matrix in a backend's memory. */
#ifndef VARGPT_ENGINE_TENSOR_H
#define VARGPT_ENGINE_TENSOR_H

#include <stddef.h>
#include <stdint.h>

enum dtype {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    /* GGUF's blocks of 32 weights (ggml's block_q8_0, block_q4_0, block_q4_1); only as weights, never as activations */
    DTYPE_Q8_0, /* f16 d, 32 x int8:    w = d * q          34 bytes */
    DTYPE_Q4_0, /* f16 d, 16 bytes:     w = d * (q - 8)    18 bytes; low nibbles are weights 0..15, high ones 16..31 */
    DTYPE_Q4_1, /* f16 d, f16 m, 16 b.: w = d * q + m      20 bytes */
    DTYPE_I32,
    DTYPE_I8, /* only in key/value caches, which keep the scales beside them */
    DTYPE_COUNT
};

/* Bytes of n values of a type (n a multiple of 32 for the block types). */
static inline size_t dtype_bytes(enum dtype type, size_t n)
{
    switch (type) {
    case DTYPE_F32:
    case DTYPE_I32: return n * 4;
    case DTYPE_I8: return n;
    case DTYPE_F16:
    case DTYPE_BF16: return n * 2;
    case DTYPE_Q8_0: return n / 32 * 34;
    case DTYPE_Q4_0: return n / 32 * 18;
    case DTYPE_Q4_1: return n / 32 * 20;
    case DTYPE_COUNT: break;
    }
    return 0;
}

static inline const char *dtype_name(enum dtype type)
{
    static const char *const names[] = {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "I32", "I8"};
    return type < DTYPE_COUNT ? names[type] : "?";
}

enum activation {
    ACT_NONE,
    ACT_GELU,       /* exact, by erf */
    ACT_GELU_TANH,  /* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
    ACT_QUICK_GELU, /* x * sigmoid(1.702 x) */
    ACT_SILU,       /* x * sigmoid(x) */
};

/* A view of `rows` x `cols` values in a backend's memory, `stride` values from row to row; owns nothing. */
struct tensor {
    void *data;
    enum dtype type;
    int rows, cols, stride;
};

/* The first value of row r as float32 memory; only for DTYPE_F32 views in memory the caller can address. */
static inline float *tensor_row(struct tensor t, int r)
{
    return (float *)t.data + (size_t)r * (size_t)t.stride;
}

/* Rows first..first+n-1 of a float32 view. */
static inline struct tensor tensor_rows(struct tensor t, int first, int n)
{
    t.data = (float *)t.data + (size_t)first * (size_t)t.stride;
    t.rows = n;
    return t;
}

/* Columns first..first+n-1 of a float32 view. */
static inline struct tensor tensor_cols(struct tensor t, int first, int n)
{
    t.data = (float *)t.data + first;
    t.cols = n;
    return t;
}

#endif
