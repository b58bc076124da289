/* Several emulated cards as one backend: the bytes of one card, memory shared out, and what goes wrong on one
 * of them. */
#include "fail_in_turn.h"

#include "cuda/cuda_backend.h"

#include "base/half.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST_CARDS = 4 };

static const int devices[MOST_CARDS] = {2, 0, 1, 3};

/* One card as itself, more as a group. */
static struct backend *open_cards(int n, bool fast)
{
    struct backend *be = NULL;
    struct error err = {0};
    if (n == 1 ? cuda_backend_open(&be, 0, 0, &err) : cuda_group_open(&be, devices, n, 0, &err))
        fail_msg("%s", err.message);
    cuda_backend_set_fast(be, fast);
    return be;
}

static uint32_t random_state;

static uint32_t random_next(void)
{
    random_state = random_state * 1664525 + 1013904223;
    return random_state >> 8;
}

static int random_below(int n)
{
    return (int)(random_next() % (uint32_t)n);
}

static float random_float(void)
{
    return (float)random_below(2001) / 1000 - 1;
}

static struct weight *load_random(struct backend *be, enum dtype type, int rows, int cols, bool divides)
{
    size_t n = (size_t)rows * (size_t)cols, block = dtype_bytes(type, 32);
    unsigned char *data = xcalloc(1, dtype_bytes(type, n));
    for (size_t i = 0; type == DTYPE_F32 && i < n; i++)
        ((float *)(void *)data)[i] = random_float();
    for (size_t i = 0; type == DTYPE_BF16 && i < n; i++)
        ((uint16_t *)(void *)data)[i] = float_to_bf16(random_float());
    for (size_t i = 0; type == DTYPE_Q8_0 && i < n / 32 * block; i++) /* scales of about 1/1024 */
        data[i] = i % block == 0 ? 0 : i % block == 1 ? 0x14 : (unsigned char)random_next();
    struct host_matrix m = {data, type, rows, cols, .divides = divides};
    struct weight *w = NULL;
    struct error err = {0};
    if (be->op->weight_load(be, &w, &m, &err))
        fail_msg("%s", err.message);
    free(data);
    return w;
}

static void *upload(struct backend *be, const void *from, size_t bytes)
{
    void *memory = be->op->alloc(be, bytes);
    assert_non_null(memory);
    be->op->upload(be, memory, from, bytes);
    return memory;
}

static float *upload_random(struct backend *be, size_t n)
{
    float *values = xcalloc(n, sizeof *values), *memory;
    for (size_t i = 0; i < n; i++)
        values[i] = random_float();
    memory = upload(be, values, n * sizeof *values);
    free(values);
    return memory;
}

/* ---- a layer of a language model ---- */

struct layer_case {
    int rows, hidden, heads, kv_heads, head_dim, inner;
    enum dtype type, cache;
    bool fast;
};

enum { SLOTS = 4 * PAGE_TOKENS };

static struct kv_layer open_cache(struct backend *be, const struct layer_case *c, void **memory)
{
    size_t n = (size_t)SLOTS * (size_t)c->kv_heads * (size_t)c->head_dim, data = dtype_bytes(c->cache, n),
           scales = c->cache == DTYPE_I8 ? (size_t)SLOTS * (size_t)c->kv_heads * sizeof(float) : 0;
    *memory = be->op->alloc_cache ? be->op->alloc_cache(be, 2 * (data + scales), c->kv_heads)
                                  : be->op->alloc(be, 2 * (data + scales));
    char *at = *memory;
    assert_non_null(at);
    return (struct kv_layer){at,
                             at + data,
                             c->cache,
                             c->kv_heads,
                             c->head_dim,
                             scales ? (float *)(void *)(at + 2 * data) : NULL,
                             scales ? (float *)(void *)(at + 2 * data + scales) : NULL};
}

/* What becomes of queries and keys: as in llm_forward, image_decoder_forward, vision_forward. */
enum change { ROPE, NORMS, NONE, CHANGES };

/* What those do, twice so that the cache is read. */
static float *run_layer(int cards, const struct layer_case *c, enum change change, size_t *floats)
{
    struct backend *be = open_cards(cards, c->fast);
    const struct backend_ops *op = be->op;
    int q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim, qkv_cols = q + 2 * kv, rows = c->rows;
    random_state = 7;
    struct weight *w[] = {load_random(be, c->type, q, c->hidden, true),
                          load_random(be, c->type, kv, c->hidden, true),
                          load_random(be, c->type, kv, c->hidden, true),
                          load_random(be, c->type, c->hidden, q, true),
                          load_random(be, c->type, c->inner, c->hidden, true),
                          load_random(be, c->type, c->inner, c->hidden, true),
                          load_random(be, c->type, c->hidden, c->inner, true)};
    size_t n = (size_t)rows * (size_t)(2 * c->hidden + qkv_cols + q + 2 * c->inner);
    float *memory = upload_random(be, n),
          *bias = upload_random(be, (size_t)(qkv_cols + c->hidden + c->inner)), *at = memory;
    struct tensor x = {at, DTYPE_F32, rows, c->hidden, c->hidden},
                  y = {at += rows * c->hidden, DTYPE_F32, rows, c->hidden, c->hidden},
                  qkv = {at += rows * c->hidden, DTYPE_F32, rows, qkv_cols, qkv_cols},
                  attended = {at += rows * qkv_cols, DTYPE_F32, rows, q, q},
                  gate = {at += rows * q, DTYPE_F32, rows, c->inner, c->inner},
                  up = {at + rows * c->inner, DTYPE_F32, rows, c->inner, c->inner};
    struct tensor queries = tensor_cols(qkv, 0, q), key = tensor_cols(qkv, q, kv),
                  value = tensor_cols(qkv, q + kv, kv);
    int32_t ints[2 * SLOTS + 4];
    float freq[64];
    for (int i = 0; i < 64; i++)
        freq[i] = 1.0f / (float)(i + 1);
    float *inv_freq = upload(be, freq, sizeof freq);
    const struct residual none = {0};
    void *cache;
    struct kv_layer layer = open_cache(be, c, &cache);
    for (int turn = 0; turn < 2; turn++) {
        struct span span = {0, rows, turn * rows, 0};
        for (int r = 0; r < rows; r++)
            ints[r] = ints[SLOTS + r] = turn * rows + r;
        for (int p = 0; p < 4; p++)
            ints[2 * SLOTS + p] = p;
        int32_t *device = upload(be, ints, sizeof ints);
        struct row_batch b = {rows, 1, &span, NULL, device, device + SLOTS, device + 2 * SLOTS};
        op->rms_norm(be, y, x, turn ? (struct residual){y, NULL} : none, bias, 1e-5f);
        op->linear(be, queries, y, w[0], bias, ACT_NONE);
        op->linear(be, key, y, w[1], bias + q, ACT_NONE);
        op->linear(be, value, y, w[2], NULL, ACT_NONE);
        if (change == NONE)
            op->kv_write(be, layer, key, value, b.slot);
        else if (change == NORMS)
            op->norm_write(be, layer, queries, key, value, b.slot, bias);
        else
            op->rope_write(be, layer, queries, key, value, b.slot, b.position, inv_freq);
        op->attention(be, attended, queries, layer, &b, MASK_CAUSAL, 0.3f);
        op->linear(be, y, attended, w[3], bias, ACT_GELU);
        op->layer_norm(be, y, x, (struct residual){y, bias}, bias, bias, 1e-5f);
        op->linear(be, gate, y, w[4], bias, ACT_NONE);
        op->linear(be, up, y, w[5], NULL, ACT_NONE);
        op->silu_mul(be, gate, gate, up);
        op->linear(be, y, gate, w[6], NULL, ACT_NONE);
        op->free(be, device);
    }
    float *out = xcalloc(n, sizeof *out);
    struct error err = {0};
    op->download(be, out, memory, n * sizeof *out); /* all of it, what was not gathered yet too */
    if (op->finish(be, &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        op->weight_free(be, w[i]);
    op->free(be, memory);
    op->free(be, bias);
    op->free(be, inv_freq);
    op->free(be, cache);
    cuda_backend_close(be);
    *floats = n;
    return out;
}

/* Sizes that divide, that do not, fewer heads than cards; one row and several. */
static void layers_same_bytes(void **state)
{
    (void)state;
    static const struct layer_case cases[] = {
        {5, 24, 4, 4, 8, 40, DTYPE_F32, DTYPE_F32, false},
        {1, 24, 4, 4, 8, 48, DTYPE_BF16, DTYPE_BF16, false},
        {3, 27, 6, 3, 10, 45, DTYPE_F32, DTYPE_F32, false},
        {9, 32, 5, 5, 4, 13, DTYPE_BF16, DTYPE_I8, false},
        {2, 24, 3, 1, 8, 7, DTYPE_F32, DTYPE_I8, false},
        {11, 64, 3, 3, 64, 96, DTYPE_BF16, DTYPE_BF16, true},
        {1, 64, 4, 2, 64, 96, DTYPE_Q8_0, DTYPE_I8, true},
        {4, 64, 2, 2, 32, 64, DTYPE_Q8_0, DTYPE_F32, false},
        {1, 16, 4, 4, 8, 3, DTYPE_F32, DTYPE_F32, false},
    };
    for (size_t i = 0; i < CHANGES * sizeof cases / sizeof *cases; i++) {
        struct layer_case c = cases[i / CHANGES];
        enum change change = (enum change)(i % CHANGES);
        if (c.type == DTYPE_Q8_0) /* cols are whole blocks */
            c.inner = (c.inner + 31) / 32 * 32;
        size_t n;
        float *one = run_layer(1, &c, change, &n);
        for (int cards = 2; cards <= MOST_CARDS; cards++) {
            float *many = run_layer(cards, &c, change, &n);
            if (memcmp(one, many, n * sizeof *one))
                fail_msg("case %zu: %d cards compute other bytes than one", i / CHANGES, cards);
            free(many);
        }
        free(one);
    }
}

/* ---- any operations on any views ---- */

enum { FLOATS = 600, MOST_ROWS = 5, WEIGHTS = 4 };

/* A view of a matrix, perhaps some columns of a larger one. */
static struct tensor random_view(float *memory, int rows, int cols)
{
    int stride = cols + (random_below(2) ? random_below(8) : 0), needs = (rows - 1) * stride + cols;
    return (struct tensor){memory + random_below(FLOATS - needs) / 4 * 4, DTYPE_F32, rows, cols, stride};
}

static bool apart(struct tensor a, struct tensor b)
{
    float *pa = a.data, *pb = b.data;
    return pa + (a.rows - 1) * a.stride + a.cols <= pb || pb + (b.rows - 1) * b.stride + b.cols <= pa;
}

static void random_operation(struct backend *be, float *memory, struct weight *const w[WEIGHTS],
                             struct kv_layer cache, int32_t *index, float *freq)
{
    const struct residual none = {0};
    enum { WIDTH = 12 }; /* of all weights' rows and columns, so that views fit each other often */
    int rows = 1 + random_below(MOST_ROWS), what = random_below(9);
    struct tensor a = random_view(memory, rows, WIDTH), b = random_view(memory, rows, WIDTH),
                  c = random_view(memory, rows, WIDTH);
    struct weight *any = w[random_below(WEIGHTS)];
    if (random_below(2) && apart(a, b)) { /* a parted one, taken as it is by what follows */
        be->op->linear(be, a, b, w[0], NULL, ACT_NONE);
        b = a;
    }
    float values[WIDTH];
    for (int i = 0; i < WIDTH; i++)
        values[i] = random_float();
    if (what == 0)
        be->op->rms_norm(be, b, b, none, freq, 1e-3f);
    else if (what == 1)
        be->op->upload(be, a.data, values, sizeof values);
    else if (what == 2 && apart(b, c) && apart(a, c) && apart(a, b))
        be->op->norm_write(be, cache, a, b, c, index, freq);
    else if (what == 3)
        be->op->silu_mul(be, b, b, b);
    else if (!apart(b, c))
        be->op->add(be, c, c, freq);
    else if (what == 4)
        be->op->silu_mul(be, c, b, b);
    else if (what == 5)
        be->op->scatter(be, c, index, b);
    else if (what == 6)
        be->op->gather(be, c, b, index);
    else if (what == 7)
        be->op->layer_norm(be, c, b,
                           random_below(2) && apart(a, b) && apart(a, c) ? (struct residual){a, freq} : none,
                           freq, freq, 1e-3f);
    else
        be->op->linear(be, c, b, any, freq, ACT_NONE);
    if (random_below(4) == 0)
        be->op->rms_norm(be, c, c, none, freq, 1e-3f); /* no number grows beyond bounds */
}

static void run_random(int cards, uint32_t seed, float out[FLOATS])
{
    struct backend *be = open_cards(cards, false);
    struct weight *w[WEIGHTS];
    struct error err = {0};
    random_state = seed;
    for (int i = 0; i < WEIGHTS; i++)
        w[i] = load_random(be, DTYPE_F32, 12, 12, i < 3);
    float *memory = upload_random(be, FLOATS), *freq = upload_random(be, 16);
    const int32_t some[MOST_ROWS] = {0};
    const struct layer_case shape = {.kv_heads = 3, .head_dim = 4, .cache = DTYPE_F32};
    void *cache_memory;
    struct kv_layer cache = open_cache(be, &shape, &cache_memory);
    int32_t *index = upload(be, some, sizeof some);
    for (int i = 0; i < 150; i++)
        random_operation(be, memory, w, cache, index, freq);
    be->op->download(be, out, memory, FLOATS * sizeof *out);
    if (be->op->finish(be, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < WEIGHTS; i++)
        be->op->weight_free(be, w[i]);
    be->op->free(be, memory);
    be->op->free(be, cache_memory);
    be->op->free(be, freq);
    be->op->free(be, index);
    cuda_backend_close(be);
}

/* What is gathered when, what is forgotten, what is overwritten in between: the memory is one card's in the
 * end. */
static void views_same_bytes(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 60; seed++) {
        float one[FLOATS], many[FLOATS];
        run_random(1, seed, one);
        run_random(2 + (int)(seed % 3), seed, many);
        for (int i = 0; i < FLOATS; i++) {
            if (memcmp(&one[i], &many[i], sizeof *one))
                fail_msg("seed %u: float %d is %g, on one card %g", seed, i, (double)many[i], (double)one[i]);
        }
    }
}

/* ---- memory ---- */

static size_t left(struct backend *be)
{
    return be->op->memory_left(be);
}

/* Pieces have edges, some KiB at most. */
static void assert_taken(struct backend *be, size_t before, size_t bytes)
{
    size_t taken = before - left(be);
    assert_in_range(taken, bytes, bytes + (64 << 10));
}

static void memory_is_shared_out(void **state)
{
    (void)state;
    struct backend *be = open_cards(2, false);
    size_t before = left(be), bytes = 1 << 20;
    struct weight *divided = load_random(be, DTYPE_F32, 256, 1024, true);
    assert_taken(be, before, bytes / 2);
    struct weight *whole = load_random(be, DTYPE_F32, 256, 1024, false);
    assert_taken(be, before, bytes / 2 + bytes);
    void *cache = be->op->alloc_cache(be, 3 * bytes, 3); /* 2 heads and 1, the memory of 2 on each */
    assert_taken(be, before, bytes / 2 + bytes + 2 * bytes);
    assert_int_equal(be->op->heads_each(be, 3), 2);
    be->op->weight_free(be, divided);
    be->op->weight_free(be, whole);
    be->op->free(be, cache);
    assert_int_equal(left(be), before);
    assert_null(be->op->alloc(be, (size_t)1 << 45));
    assert_int_equal(left(be), before);
    assert_int_equal(be->op->finish(be, NULL), STATUS_OK);
    cuda_backend_close(be);
}

/* Open, a divided weight, a product of several rows, gathered; true when all of it worked. */
static bool use_cards(void)
{
    enum { ROWS = 3, COLS = 32, OUTPUTS = 5 };
    struct backend *be = NULL;
    struct error err = {0};
    struct weight *w = NULL;
    unsigned char blocks[OUTPUTS * 34] = {0};
    struct host_matrix m = {blocks, DTYPE_Q8_0, OUTPUTS, COLS, .divides = true};
    float x[ROWS * COLS] = {0};
    bool worked = false;
    if (cuda_group_open(&be, devices, 2, 0, &err)) {
        assert_true(err.status == STATUS_DEVICE);
        return false;
    }
    float *device = be->op->alloc(be, 2 * sizeof x);
    if (!device || be->op->weight_load(be, &w, &m, &err))
        goto out;
    struct tensor in = {device, DTYPE_F32, ROWS, COLS, COLS},
                  product = {device + ROWS * COLS, DTYPE_F32, ROWS, OUTPUTS, OUTPUTS};
    be->op->upload(be, device, x, sizeof x);
    be->op->linear(be, product, in, w, NULL, ACT_NONE);
    be->op->download(be, x, product.data, ROWS * OUTPUTS * sizeof *x);
    worked = be->op->finish(be, &err) == STATUS_OK;
    if (!worked && err.status == STATUS_NO_MEMORY) { /* told, it is over */
        be->op->linear(be, product, in, w, NULL, ACT_NONE);
        be->op->download(be, x, product.data, ROWS * OUTPUTS * sizeof *x);
        assert_int_equal(be->op->finish(be, &err), STATUS_OK);
    }
out:
    be->op->weight_free(be, w);
    be->op->free(be, device);
    cuda_backend_close(be);
    return worked;
}

/* Each allocation fails in turn: either card's, NCCL's and ours. */
static void survives_no_memory(void **state)
{
    (void)state;
    assert_true(use_cards());
    int failures = fail_in_turn(use_cards);
    assert_true(failures >=
                12); /* each card: its arena, staging twice, a piece, a weight, scratch; NCCL twice */
    assert_true(use_cards());
}

/* ---- what cannot be opened ---- */

static void refuses_to_open(void **state)
{
    (void)state;
    struct backend *be = NULL;
    struct error err = {0};
    static const int missing[] = {0, 9}, twice[] = {1, 1};
    assert_int_equal(cuda_group_open(&be, missing, 2, 0, &err), STATUS_DEVICE);
    assert_string_equal(err.message, "cuda: there is no device 9, the last one is 3");
    assert_int_equal(cuda_group_open(&be, twice, 2, 0, &err), STATUS_DEVICE);
    assert_string_equal(err.message,
                        "NCCL: connecting the cards: invalid usage (NCCL_DEBUG=WARN in the environment "
                        "says more)");
    setenv("VARGPT_EMULATED_LIBRARIES", "libcudnn.so.9", 1);
    assert_int_equal(cuda_group_open(&be, devices, 2, 0, &err), STATUS_DEVICE);
    unsetenv("VARGPT_EMULATED_LIBRARIES");
    assert_string_equal(
        err.message, "several cards need NCCL: libnccl.so.2: cannot open shared object file: No such file or "
                     "directory (tools/get-nvidia-libraries fetches it; or name one card: --device cuda:N)");
    setenv("VARGPT_EMULATED_OLD_DEVICE", "1", 1);
    assert_int_equal(cuda_group_open(&be, devices, 3, 0, &err), STATUS_DEVICE);
    unsetenv("VARGPT_EMULATED_OLD_DEVICE");
    assert_string_equal(err.message, "cuda: device 2 is sm_80 and device 1 sm_70: name cards of one kind");
}

static void describes_itself(void **state)
{
    (void)state;
    char text[200];
    struct backend *be = open_cards(3, true);
    cuda_backend_describe(be, text, sizeof text);
    assert_string_equal(text, "3 x cuda (emulated, sm_80, 2 GiB, fast), devices 2,0,1");
    cuda_backend_use_libraries(be);
    assert_true(be->rows_vary);
    cuda_backend_describe(be, text, sizeof text);
    assert_string_equal(text, "3 x cuda (emulated, sm_80, 2 GiB, fast, cuBLASLt, cuDNN), devices 2,0,1");
    cuda_backend_close(be);
}

/* A card is lost while the others wait for it: said, for good, and all can be closed. In a process of its
 * own: the emulator counts waits from its start. */
static void survives_a_lost_card(void **state)
{
    (void)state;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setenv("VARGPT_EMULATOR_LOSE_AFTER", "2", 1);
        struct backend *be = open_cards(2, false);
        struct error err = {0};
        float x[64] = {0}, *device = upload_random(be, 64);
        struct weight *w = load_random(be, DTYPE_F32, 8, 8, true);
        struct tensor in = {device, DTYPE_F32, 2, 8, 8}, out = {device + 16, DTYPE_F32, 2, 8, 8};
        be->op->linear(be, out, in, w, NULL, ACT_NONE);
        be->op->download(be, x, out.data, 16 * sizeof *x);
        bool told =
            be->op->finish(be, &err) == STATUS_DEVICE && strstr(err.message, "unspecified launch failure");
        be->op->linear(be, out, in, w, NULL, ACT_NONE);
        told = told && be->op->finish(be, &err) == STATUS_DEVICE;
        be->op->weight_free(be, w);
        be->op->free(be, device);
        cuda_backend_close(be);
        _exit(told ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    setenv("VARGPT_EMULATED_DEVICES", "4", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_a_lost_card), /* first: nobody has waited yet */
        cmocka_unit_test(layers_same_bytes),    cmocka_unit_test(views_same_bytes),
        cmocka_unit_test(memory_is_shared_out), cmocka_unit_test(survives_no_memory),
        cmocka_unit_test(refuses_to_open),      cmocka_unit_test(describes_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
