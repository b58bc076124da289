/* The stand-ins for cuBLASLt and cuDNN see what they should see, and the backend uses them as it says. What
 * they compute is check_ops's to test. */
#include "expect_end.h"

#include "cuda/cuda_backend.h"
#include "cuda/emulator/emulator.h"

#include "base/log.h"
#include "base/memory.h"

#include <cublasLt.h>
#include <cudnn_graph.h>
#include <stdlib.h>
#include <string.h>

/* ---- products ---- */

enum { OUTPUTS = 8, INNER = 16, ROWS = 5, WORKSPACE = 4096 };

/* A product as the backend describes it, and everything it needs. */
struct product {
    cudaStream_t stream;
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t what;
    cublasLtMatrixLayout_t w, x, out;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t best;
    char *w_data, *x_data, *out_data, *bias, *workspace;
};

static char *take_device(size_t bytes)
{
    void *memory;
    assert_int_equal(cudaMalloc(&memory, bytes), cudaSuccess);
    return memory;
}

static void set(cublasLtMatmulDesc_t what, cublasLtMatmulDescAttributes_t name, const void *value,
                size_t size)
{
    assert_int_equal(cublasLtMatmulDescSetAttribute(what, name, value, size), CUBLAS_STATUS_SUCCESS);
}

static void choose(struct product *p)
{
    int found = 0;
    assert_int_equal(cublasLtMatmulAlgoGetHeuristic(p->handle, p->what, p->w, p->x, p->out, p->out,
                                                    p->preference, 1, &p->best, &found),
                     CUBLAS_STATUS_SUCCESS);
    assert_int_equal(found, 1);
}

static struct product product_new(void)
{
    struct product p = {0};
    int32_t transposed = CUBLAS_OP_T;
    uint32_t epilogue = CUBLASLT_EPILOGUE_BIAS, alignment = 16;
    uint64_t most = WORKSPACE;
    cudaStreamCreateWithFlags(&p.stream, cudaStreamNonBlocking);
    p.w_data = take_device(OUTPUTS * INNER * 2);
    p.x_data = take_device(ROWS * INNER * 2);
    p.out_data = take_device(ROWS * OUTPUTS * 4);
    p.bias = take_device(OUTPUTS * 4);
    p.workspace = take_device(WORKSPACE);
    cublasLtCreate(&p.handle);
    cublasLtMatmulDescCreate(&p.what, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    set(p.what, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
    set(p.what, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    set(p.what, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p.bias, sizeof p.bias);
    cublasLtMatrixLayoutCreate(&p.w, CUDA_R_16BF, INNER, OUTPUTS, INNER);
    cublasLtMatrixLayoutCreate(&p.x, CUDA_R_16BF, INNER, ROWS, INNER);
    cublasLtMatrixLayoutCreate(&p.out, CUDA_R_32F, OUTPUTS, ROWS, OUTPUTS);
    cublasLtMatmulPreferenceCreate(&p.preference);
    cublasLtMatmulPreferenceSetAttribute(p.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most,
                                         sizeof most);
    for (int i = CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES; i <= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES;
         i++)
        cublasLtMatmulPreferenceSetAttribute(p.preference, (cublasLtMatmulPreferenceAttributes_t)i,
                                             &alignment, sizeof alignment);
    choose(&p);
    return p;
}

static void product_free(struct product *p)
{
    cudaFree(p->w_data);
    cudaFree(p->x_data);
    cudaFree(p->out_data);
    cudaFree(p->bias);
    cudaFree(p->workspace);
    cublasLtMatmulPreferenceDestroy(p->preference);
    cublasLtMatrixLayoutDestroy(p->w);
    cublasLtMatrixLayoutDestroy(p->x);
    cublasLtMatrixLayoutDestroy(p->out);
    cublasLtMatmulDescDestroy(p->what);
    cublasLtDestroy(p->handle);
    cudaStreamDestroy(p->stream);
}

static void multiply(const struct product *p)
{
    const float one = 1, zero = 0;
    cublasLtMatmul(p->handle, p->what, &one, p->w_data, p->w, p->x_data, p->x, &zero, p->out_data, p->out,
                   p->out_data, p->out, &p->best.algo, p->workspace, p->best.workspaceSize, p->stream);
}

enum product_mistake {
    SHORT_LEADING_DIMENSION,
    OTHER_LEADING_DIMENSION,
    WRONG_INNER,
    MIXED_TYPES,
    HALF_SUMS,
    ATTRIBUTE_OF_OTHER_SIZE,
    NO_BIAS,
    MISALIGNED_OPERAND,
    MISALIGNED_BIAS,
    OPERAND_TOO_SHORT,
    FREED_OPERAND,
    HOST_OPERAND,
    SMALL_WORKSPACE,
    WORKSPACE_IN_RESULT,
    DESTROYED_LAYOUT,
    LAYOUT_AS_PRODUCT,
    DEFAULT_STREAM,
};

static void do_product(int mistake)
{
    struct product p = product_new();
    char host[ROWS * INNER * 2];
    const void *nothing = NULL;
    cublasLtMatmulDesc_t other;
    switch ((enum product_mistake)mistake) {
    case SHORT_LEADING_DIMENSION:
        cublasLtMatrixLayoutCreate(&p.x, CUDA_R_16BF, INNER, ROWS, INNER - 1);
        break;
    case OTHER_LEADING_DIMENSION:
        cublasLtMatrixLayoutCreate(&p.out, CUDA_R_32F, OUTPUTS, ROWS, OUTPUTS + 4);
        break;
    case WRONG_INNER: cublasLtMatrixLayoutCreate(&p.x, CUDA_R_16BF, INNER - 8, ROWS, INNER); break;
    case MIXED_TYPES: cublasLtMatrixLayoutCreate(&p.x, CUDA_R_16F, INNER, ROWS, INNER); break;
    case HALF_SUMS: cublasLtMatmulDescCreate(&other, CUBLAS_COMPUTE_16F, CUDA_R_32F); break;
    case ATTRIBUTE_OF_OTHER_SIZE: set(p.what, CUBLASLT_MATMUL_DESC_EPILOGUE, &nothing, sizeof nothing); break;
    case NO_BIAS: set(p.what, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &nothing, sizeof nothing); break;
    case MISALIGNED_OPERAND: p.x_data = take_device(ROWS * INNER * 2 + 8) + 8; break;
    case MISALIGNED_BIAS:
        p.bias = take_device(OUTPUTS * 4 + 4) + 4;
        set(p.what, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p.bias, sizeof p.bias);
        break;
    case OPERAND_TOO_SHORT: p.w_data = take_device(OUTPUTS * INNER * 2 - 2); break;
    case FREED_OPERAND: cudaFree(p.x_data); break;
    case HOST_OPERAND: p.x_data = host; break;
    case SMALL_WORKSPACE: p.best.workspaceSize--; break;
    case WORKSPACE_IN_RESULT: p.workspace = p.out_data; break;
    case DESTROYED_LAYOUT: cublasLtMatrixLayoutDestroy(p.w); break;
    case LAYOUT_AS_PRODUCT: p.what = (cublasLtMatmulDesc_t)p.w; break;
    case DEFAULT_STREAM: p.stream = NULL; break;
    }
    multiply(&p);
}

static void sees_products(void **state)
{
    (void)state;
    static const char *const says[] = {
        [SHORT_LEADING_DIMENSION] = "a leading dimension of 15 for columns of 16 values",
        [OTHER_LEADING_DIMENSION] = "chosen for another problem",
        [WRONG_INNER] = "do not make one of 8x5",
        [MIXED_TYPES] = "types 14 . 2",
        [HALF_SUMS] = "sums that are not float32",
        [ATTRIBUTE_OF_OTHER_SIZE] = "8 bytes for an attribute of 4",
        [NO_BIAS] = "an epilogue with a bias, and no bias",
        [MISALIGNED_OPERAND] = "is not aligned to 16 bytes",
        [MISALIGNED_BIAS] = "the bias",
        [OPERAND_TOO_SHORT] = "the first matrix, 256 bytes",
        [FREED_OPERAND] = "is not device memory",
        [HOST_OPERAND] = "is not device memory",
        [SMALL_WORKSPACE] = "bytes of workspace, the algorithm needs",
        [WORKSPACE_IN_RESULT] = "operands overlap",
        [DESTROYED_LAYOUT] = "is not a matrix layout",
        [LAYOUT_AS_PRODUCT] = "is not a product's description",
        [DEFAULT_STREAM] = "is not a stream",
    };
    for (size_t i = 0; i < sizeof says / sizeof *says; i++)
        assert_ends(do_product, (int)i, says[i]);
    struct product p = product_new(); /* and nothing where there is nothing to see */
    unsigned long before = emulator_library_calls();
    multiply(&p);
    assert_int_equal(emulator_library_calls(), before + 1);
    product_free(&p);
}

/* ---- convolutions ---- */

static cudnnBackendDescriptor_t make(cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t d;
    assert_int_equal(cudnnBackendCreateDescriptor(type, &d), CUDNN_STATUS_SUCCESS);
    return d;
}

static void set_ints(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, int64_t n,
                     const int64_t *values)
{
    cudnnBackendSetAttribute(d, name, CUDNN_TYPE_INT64, n, values);
}

/* A tensor of BF16; `strange` is which of its attributes to leave out, or to get wrong. */
enum tensor_mistake { NONE, NO_STRIDES, FLOATS, CHANNELS_APART, INT_AS_TYPE, LATE, UNKNOWN_ATTRIBUTE };

static cudnnBackendDescriptor_t make_tensor(enum tensor_mistake mistake)
{
    cudnnBackendDescriptor_t d = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    cudnnDataType_t type = mistake == FLOATS ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16;
    int64_t one = 1, alignment = 16, size[] = {1, 8, 4, 4}, stride[] = {128, 1, 32, 8},
            apart[] = {128, 16, 4, 1};
    cudnnBackendSetAttribute(d, CUDNN_ATTR_TENSOR_DATA_TYPE,
                             mistake == INT_AS_TYPE ? CUDNN_TYPE_INT64 : CUDNN_TYPE_DATA_TYPE, 1, &type);
    set_ints(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1, &one);
    set_ints(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1, &alignment);
    set_ints(d, CUDNN_ATTR_TENSOR_DIMENSIONS, 4, size);
    if (mistake != NO_STRIDES)
        set_ints(d, CUDNN_ATTR_TENSOR_STRIDES, 4, mistake == CHANNELS_APART ? apart : stride);
    if (mistake == UNKNOWN_ATTRIBUTE)
        set_ints(d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 1, &one);
    cudnnBackendFinalize(d);
    if (mistake == LATE)
        set_ints(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1, &one);
    return d;
}

static void do_tensor(int mistake)
{
    make_tensor((enum tensor_mistake)mistake);
}

static void do_unfinalized(int unused)
{
    (void)unused;
    cudnnBackendDescriptor_t graph = make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR),
                             operation = make(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    cudnnHandle_t handle;
    cudnnCreate(&handle);
    cudnnBackendSetAttribute(graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    cudnnBackendSetAttribute(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                             &operation);
    cudnnBackendFinalize(graph);
}

static void do_destroyed(int unused)
{
    (void)unused;
    cudnnBackendDescriptor_t d = make_tensor(NONE);
    cudnnBackendDestroyDescriptor(d);
    cudnnBackendDestroyDescriptor(d);
}

static void do_execute_tensor(int unused)
{
    (void)unused;
    cudnnHandle_t handle;
    cudnnCreate(&handle);
    cudnnBackendExecute(handle, make_tensor(NONE), make_tensor(NONE));
}

static void sees_convolutions(void **state)
{
    (void)state;
    assert_ends(do_tensor, NO_STRIDES, "TENSOR_STRIDES is not set");
    assert_ends(do_tensor, FLOATS, "not of 16 bits");
    assert_ends(do_tensor, CHANNELS_APART, "do not lie side by side");
    assert_ends(do_tensor, INT_AS_TYPE, "TENSOR_DATA_TYPE has 1 values of type 1, not 1 of type 3");
    assert_ends(do_tensor, LATE, "the descriptor is finalized");
    assert_ends(do_tensor, UNKNOWN_ATTRIBUTE, "has no attribute");
    assert_ends(do_unfinalized, 0, "which is not finalized");
    assert_ends(do_destroyed, 0, "is not a descriptor of cudnn");
    assert_ends(do_execute_tensor, 0, "needs an execution plan");
    cudnnBackendDestroyDescriptor(make_tensor(NONE));
}

/* ---- the backend ---- */

enum { SIDE = 8, CHANNELS = 8 };

static struct backend *open_fast(void)
{
    struct backend *be = NULL;
    struct error err = {0};
    if (cuda_backend_open(&be, 0, 0, &err) != STATUS_OK)
        return NULL;
    cuda_backend_set_fast(be, true);
    cuda_backend_use_libraries(be);
    return be;
}

/* A product and a convolution, of sizes that the libraries take; true when all of it worked. */
static bool use_libraries(bool *opened)
{
    static uint16_t zeros[9 * CHANNELS * CHANNELS];
    struct host_matrix m = {zeros, DTYPE_BF16, CHANNELS, 9 * CHANNELS, .stays = false}, n = m;
    struct conv conv = {.height = SIDE, .width = SIDE, .kernel = 3, .stride = 1, .upsample = 1};
    struct weight *taps = NULL, *w = NULL;
    struct error err = {0};
    bool worked = false;
    n.cols = CHANNELS;
    struct backend *be = open_fast();
    if (!be)
        return false;
    *opened = be->rows_vary;
    struct tensor x = {be->op->alloc(be, SIDE * SIDE * CHANNELS * 4), DTYPE_F32, SIDE * SIDE, CHANNELS,
                       CHANNELS};
    struct tensor y = {be->op->alloc(be, SIDE * SIDE * CHANNELS * 4), DTYPE_F32, SIDE * SIDE, CHANNELS,
                       CHANNELS};
    if (x.data && y.data && be->op->weight_load(be, &taps, &m, &err) == STATUS_OK &&
        be->op->weight_load(be, &w, &n, &err) == STATUS_OK) {
        be->op->conv2d(be, y, x, &conv, taps, NULL);
        be->op->linear(be, x, y, w, NULL, ACT_SILU);
        be->op->linear(be, x, y, w, NULL, ACT_SILU);
        worked = be->op->finish(be, &err) == STATUS_OK;
    }
    be->op->weight_free(be, w);
    be->op->weight_free(be, taps);
    be->op->free(be, x.data);
    be->op->free(be, y.data);
    cuda_backend_close(be);
    return worked;
}

/* Each allocation fails in turn, the libraries' too: what cannot be opened is done without, later failures
 * are told, and nothing leaks (AddressSanitizer's build). */
static void survives_no_memory(void **state)
{
    (void)state;
    int failures = 0, without = 0;
    bool opened;
    log_set_level(LOG_ERROR);
    assert_true(use_libraries(&opened) && opened);
    for (long n = 1; n < 200; n++) {
        memory_fail_after(n);
        bool worked = use_libraries(&opened);
        memory_fail_after(0);
        failures += !worked;
        without += worked;
    }
    assert_true(failures >= 25);
    assert_true(without > 100); /* the last ones had all they needed */
    assert_true(use_libraries(&opened) && opened);
}

/* Without the libraries our own kernels compute, and batch invariance is kept. */
static void does_without(void **state)
{
    (void)state;
    unsigned long before = emulator_library_calls();
    bool opened;
    setenv("VARGPT_EMULATED_LIBRARIES", "", 1);
    assert_true(use_libraries(&opened) && !opened);
    assert_int_equal(emulator_library_calls(), before);
    setenv("VARGPT_EMULATED_LIBRARIES", "libcudnn.so.9", 1);
    assert_true(use_libraries(&opened) && opened);
    assert_int_equal(emulator_library_calls(), before + 1);
    unsetenv("VARGPT_EMULATED_LIBRARIES");
    assert_true(use_libraries(&opened) && opened);
    assert_int_equal(emulator_library_calls(), before + 4);
}

static void says_what_it_uses(void **state)
{
    (void)state;
    char text[400];
    struct backend *be = open_fast();
    cuda_backend_describe(be, text, sizeof text);
    assert_non_null(strstr(text, "fast, cuBLASLt, cuDNN)"));
    cuda_backend_close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sees_products),      cmocka_unit_test(sees_convolutions),
        cmocka_unit_test(survives_no_memory), cmocka_unit_test(does_without),
        cmocka_unit_test(says_what_it_uses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
