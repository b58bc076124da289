/* cuBLASLt's stand-in. It takes what the program needs and ends it on all else: types and leading dimensions
 * that do not belong together, an algorithm of another problem, too little workspace, operands outside of
 * device memory or less aligned than was promised. As in the library, how a sum is split depends on the
 * number of rows. */
#include "cuda/emulator/half.h"
#include "cuda/emulator/internal.h"

extern "C" {
#include "base/memory.h"
}

#include <cublasLt.h>
#include <stdlib.h>

static const char HANDLE[] = "a handle of cublasLt", PRODUCT[] = "a product's description",
                  LAYOUT[] = "a matrix layout", PREFERENCE[] = "a preference";

struct emulated_blas {
    int unused;
};
struct emulated_product {
    int32_t transposed[2];
    uint32_t epilogue;
    const float *bias;
};
struct emulated_layout {
    cudaDataType type;
    uint64_t rows, cols;
    int64_t ld;
};
struct emulated_preference {
    uint64_t workspace;
    uint32_t alignment[4]; /* a, b, c, d */
};

/* ---- objects ---- */

template <typename T> static cublasStatus_t make(T **out, const char *kind)
{
    *out = (T *)try_calloc(1, sizeof **out);
    if (!*out)
        return CUBLAS_STATUS_ALLOC_FAILED;
    emulated_object_made(*out, kind);
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t destroy(void *object, const char *kind, const char *call)
{
    emulated_object_gone(object, kind, call);
    free(object);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out)
{
    return make(out, HANDLE);
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    return destroy(handle, HANDLE, "cublasLtDestroy");
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "success";
    case CUBLAS_STATUS_ALLOC_FAILED: return "the resource allocation failed";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "the functionality requested is not supported";
    }
    return "unknown";
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                        cudaDataType scale)
{
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F)
        emulated_fail("cublasLtMatmulDescCreate: sums that are not float32");
    cublasStatus_t status = make(out, PRODUCT);
    if (status == CUBLAS_STATUS_SUCCESS)
        (*out)->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    return status;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product)
{
    return destroy(product, PRODUCT, "cublasLtMatmulDescDestroy");
}

/* Sets *to, which must be of the size that the caller has in mind. */
template <typename T> static cublasStatus_t set(T *to, const void *value, size_t size, const char *call)
{
    if (size != sizeof *to)
        emulated_fail("%s: %zu bytes for an attribute of %zu", call, size, sizeof *to);
    memcpy(to, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product,
                                              cublasLtMatmulDescAttributes_t which, const void *value,
                                              size_t size)
{
    static const char call[] = "cublasLtMatmulDescSetAttribute";
    emulated_need_object(product, PRODUCT, call);
    switch (which) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return set(&product->transposed[0], value, size, call);
    case CUBLASLT_MATMUL_DESC_TRANSB: return set(&product->transposed[1], value, size, call);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return set(&product->epilogue, value, size, call);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return set(&product->bias, value, size, call);
    }
    emulated_fail("%s: attribute %d, which is not emulated", call, (int)which);
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld)
{
    if (rows == 0 || cols == 0 || ld < (int64_t)rows)
        emulated_fail(
            "cublasLtMatrixLayoutCreate: a leading dimension of %ld for columns of %lu values, %lu of them",
            (long)ld, (unsigned long)rows, (unsigned long)cols);
    cublasStatus_t status = make(out, LAYOUT);
    if (status == CUBLAS_STATUS_SUCCESS)
        **out = emulated_layout{type, rows, cols, ld};
    return status;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    return destroy(layout, LAYOUT, "cublasLtMatrixLayoutDestroy");
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out)
{
    cublasStatus_t status = make(out, PREFERENCE);
    for (int i = 0; status == CUBLAS_STATUS_SUCCESS && i < 4; i++)
        (*out)->alignment[i] = 256;
    return status;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    return destroy(preference, PREFERENCE, "cublasLtMatmulPreferenceDestroy");
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t which,
                                                    const void *value, size_t size)
{
    static const char call[] = "cublasLtMatmulPreferenceSetAttribute";
    emulated_need_object(preference, PREFERENCE, call);
    if (which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        return set(&preference->workspace, value, size, call);
    if (which >= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES &&
        which <= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES)
        return set(&preference->alignment[which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, size,
                   call);
    emulated_fail("%s: attribute %d, which is not emulated", call, (int)which);
}

/* ---- problems ---- */

/* op(a) is [m, k], op(b) [k, n], c and d [m, n]. */
struct problem {
    uint64_t m, n, k;
    struct emulated_product product;
    struct emulated_layout a, b, d;
};

static bool adds_bias(const struct problem &p)
{
    return p.product.epilogue == CUBLASLT_EPILOGUE_BIAS || p.product.epilogue == CUBLASLT_EPILOGUE_GELU_BIAS;
}

static struct problem inspect(const char *call, cublasLtMatmulDesc_t product, cublasLtMatrixLayout_t a,
                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d)
{
    emulated_need_object(product, PRODUCT, call);
    const cublasLtMatrixLayout_t layouts[] = {a, b, c, d};
    for (cublasLtMatrixLayout_t layout : layouts)
        emulated_need_object(layout, LAYOUT, call);
    bool ta = product->transposed[0] == CUBLAS_OP_T, tb = product->transposed[1] == CUBLAS_OP_T;
    struct problem p = {d->rows, d->cols, ta ? a->rows : a->cols, *product, *a, *b, *d};
    if (a->type != b->type || (a->type != CUDA_R_16BF && a->type != CUDA_R_16F) || d->type != CUDA_R_32F ||
        c->type != CUDA_R_32F)
        emulated_fail("%s: types %d . %d + %d -> %d, which are not emulated", call, a->type, b->type, c->type,
                      d->type);
    if ((ta ? a->cols : a->rows) != p.m || (tb ? b->cols : b->rows) != p.k ||
        (tb ? b->rows : b->cols) != p.n || c->rows != p.m || c->cols != p.n)
        emulated_fail("%s: matrices of %lux%lu and %lux%lu do not make one of %lux%lu", call,
                      (unsigned long)a->rows, (unsigned long)a->cols, (unsigned long)b->rows,
                      (unsigned long)b->cols, (unsigned long)p.m, (unsigned long)p.n);
    if (adds_bias(p) && !product->bias)
        emulated_fail("%s: an epilogue with a bias, and no bias", call);
    return p;
}

/* What an algorithm carries with it: the problem, and what was promised. */
enum { WORKSPACE = 5, OPERANDS = 6, BIAS = 7 };

static void describe(uint64_t data[8], const struct problem &p)
{
    data[0] = p.m << 32 | p.n;
    data[1] = p.k << 32 | p.product.epilogue;
    data[2] = (uint64_t)p.a.ld << 32 | (uint64_t)p.b.ld;
    data[3] = (uint64_t)p.d.ld << 32 | (uint64_t)p.a.type;
    data[4] = (uint64_t)p.product.transposed[0] << 32 | (uint64_t)p.product.transposed[1];
}

static uint64_t alignment_of(const void *p)
{
    uint64_t alignment = 256;
    while ((uintptr_t)p % alignment)
        alignment /= 2;
    return alignment;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t result[], int *returned)
{
    static const char call[] = "cublasLtMatmulAlgoGetHeuristic";
    emulated_need_object(handle, HANDLE, call);
    emulated_need_object(preference, PREFERENCE, call);
    struct problem p = inspect(call, product, a, b, c, d);
    *returned = 0;
    if (requested < 1)
        emulated_fail("%s: %d algorithms asked for", call, requested);
    if (p.m < 3) /* so that callers' other way is gone too */
        return CUBLAS_STATUS_NOT_SUPPORTED;
    result[0] = {};
    describe(result[0].algo.data, p);
    uint64_t wish = p.m * sizeof(float) * 4;
    result[0].workspaceSize = wish < preference->workspace ? wish : preference->workspace;
    result[0].algo.data[WORKSPACE] = result[0].workspaceSize;
    for (int i = 0; i < 4; i++)
        result[0].algo.data[OPERANDS] |= (uint64_t)preference->alignment[i] << 16 * i;
    result[0].algo.data[BIAS] = adds_bias(p) ? alignment_of(p.product.bias) : 1;
    *returned = 1;
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- products ---- */

static float value_of(const void *data, cudaDataType type, size_t at)
{
    uint16_t bits = ((const uint16_t *)data)[at];
    return type == CUDA_R_16BF ? emulated_bf16(bits) : f16_to_float(bits);
}

struct product_work : emulated_work {
    const char *name() const override
    {
        return "cublasLtMatmul";
    }
    struct problem p;
    const void *a, *b;
    float *d;
    void *workspace;
    size_t workspace_bytes;

    /* The sum in 1 to 3 parts, rounded each. */
    float sum(uint64_t row, uint64_t column) const
    {
        uint64_t parts = 1 + p.n % 3, each = (p.k + parts - 1) / parts;
        float total = 0;
        for (uint64_t first = 0; first < p.k; first += each) {
            double part = 0;
            for (uint64_t k = first; k < p.k && k < first + each; k++) {
                size_t at = p.product.transposed[0] ? k + row * (uint64_t)p.a.ld : row + k * (uint64_t)p.a.ld;
                size_t bt =
                    p.product.transposed[1] ? column + k * (uint64_t)p.b.ld : k + column * (uint64_t)p.b.ld;
                part += (double)value_of(a, p.a.type, at) * (double)value_of(b, p.b.type, bt);
            }
            total += (float)part;
        }
        return total;
    }

    void run() override
    {
        memset(workspace, 0xEE, workspace_bytes);
        for (uint64_t column = 0; column < p.n; column++) {
            for (uint64_t row = 0; row < p.m; row++) {
                float v = sum(row, column);
                if (adds_bias(p))
                    v += p.product.bias[row];
                if (p.product.epilogue & CUBLASLT_EPILOGUE_GELU)
                    v = (float)(0.5 * v * (1 + tanh(0.79788456080286536 * (v + 0.044715 * v * v * v))));
                d[row + column * (uint64_t)p.d.ld] = v;
            }
        }
    }
};

static size_t bytes_of(const struct emulated_layout &l)
{
    return ((l.cols - 1) * (uint64_t)l.ld + l.rows) * (l.type == CUDA_R_32F ? 4 : 2);
}

static bool overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    return (const char *)a < (const char *)b + b_bytes && (const char *)b < (const char *)a + a_bytes;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspace_bytes,
                              cudaStream_t stream)
{
    static const char call[] = "cublasLtMatmul";
    emulated_need_object(handle, HANDLE, call);
    struct problem p = inspect(call, product, a_layout, b_layout, c_layout, d_layout);
    uint64_t own[8];
    describe(own, p);
    if (memcmp(own, algorithm->data, WORKSPACE * sizeof *own))
        emulated_fail("%s: the algorithm was chosen for another problem", call);
    if (workspace_bytes < algorithm->data[WORKSPACE])
        emulated_fail("%s: %zu bytes of workspace, the algorithm needs %lu", call, workspace_bytes,
                      (unsigned long)algorithm->data[WORKSPACE]);
    if (*(const float *)alpha != 1 || *(const float *)beta != 0 || c != d)
        emulated_fail("%s: scaled or added to something, which is not emulated", call);
    size_t a_bytes = bytes_of(p.a), b_bytes = bytes_of(p.b), d_bytes = bytes_of(p.d);
    emulated_need_memory(call, "the first matrix", a, a_bytes, algorithm->data[OPERANDS] & 0xffff);
    emulated_need_memory(call, "the second matrix", b, b_bytes, algorithm->data[OPERANDS] >> 16 & 0xffff);
    emulated_need_memory(call, "the result", d, d_bytes, algorithm->data[OPERANDS] >> 48);
    if (adds_bias(p))
        emulated_need_memory(call, "the bias", p.product.bias, p.m * sizeof(float), algorithm->data[BIAS]);
    if (workspace_bytes)
        emulated_need_memory(call, "the workspace", workspace, workspace_bytes, 16);
    if (overlap(d, d_bytes, a, a_bytes) || overlap(d, d_bytes, b, b_bytes) ||
        overlap(workspace, workspace_bytes, d, d_bytes) || overlap(workspace, workspace_bytes, a, a_bytes) ||
        overlap(workspace, workspace_bytes, b, b_bytes))
        emulated_fail("%s: operands overlap", call);
    product_work *work = new product_work;
    work->p = p;
    work->a = a;
    work->b = b;
    work->d = (float *)d;
    work->workspace = workspace;
    work->workspace_bytes = workspace_bytes;
    emulated_count_library_call();
    emulated_enqueue(stream, work);
    return CUBLAS_STATUS_SUCCESS;
}

#define FUNCTION(name)                                                                                       \
    {                                                                                                        \
#name, (void *)name                                                                                  \
    }
static const struct emulated_function functions[] = {
    FUNCTION(cublasLtCreate),
    FUNCTION(cublasLtDestroy),
    FUNCTION(cublasLtGetStatusString),
    FUNCTION(cublasLtMatmulDescCreate),
    FUNCTION(cublasLtMatmulDescDestroy),
    FUNCTION(cublasLtMatmulDescSetAttribute),
    FUNCTION(cublasLtMatrixLayoutCreate),
    FUNCTION(cublasLtMatrixLayoutDestroy),
    FUNCTION(cublasLtMatmulPreferenceCreate),
    FUNCTION(cublasLtMatmulPreferenceDestroy),
    FUNCTION(cublasLtMatmulPreferenceSetAttribute),
    FUNCTION(cublasLtMatmulAlgoGetHeuristic),
    FUNCTION(cublasLtMatmul),
    {nullptr, nullptr},
};
const struct emulated_library emulated_cublas_lt = {"libcublasLt.so.13", functions};
