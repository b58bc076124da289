/* Products of many rows by cuBLASLt: x is rounded to the weight's 16 bits first, sums are float32, bias and
 * the tanh-GELU are the product's epilogue.
 *
 * cuBLASLt counts columns first, so a matrix of ours is to it the transposed one: out^T [outputs, rows] =
 * w [outputs, inner] . x^T [inner, rows], and its leading dimensions are our strides. Which algorithm it
 * takes depends on all of the shape; asking costs more than a small product, so answers are kept. */
#include "cuda/backend_state.h"
#include "cuda/library.h"

#include "base/log.h"
#include "base/memory.h"

#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>

enum {
    FEW_ROWS = 32,  /* up to here our own kernel reads the weights once, as cuBLASLt would */
    ALIGNMENT = 16, /* of all operands; the scratch memory's parts */
    PART = 256,
    PLANS = 1024
};
static const uint64_t MOST_WORKSPACE = (uint64_t)32 << 20;

#define FUNCTIONS(F)                                                                                         \
    F(cublasLtCreate)                                                                                        \
    F(cublasLtDestroy)                                                                                       \
    F(cublasLtGetStatusString)                                                                               \
    F(cublasLtMatmulDescCreate)                                                                              \
    F(cublasLtMatmulDescDestroy)                                                                             \
    F(cublasLtMatmulDescSetAttribute)                                                                        \
    F(cublasLtMatrixLayoutCreate)                                                                            \
    F(cublasLtMatrixLayoutDestroy)                                                                           \
    F(cublasLtMatmulPreferenceCreate)                                                                        \
    F(cublasLtMatmulPreferenceDestroy)                                                                       \
    F(cublasLtMatmulPreferenceSetAttribute)                                                                  \
    F(cublasLtMatmulAlgoGetHeuristic)                                                                        \
    F(cublasLtMatmul)

/* The library's functions, once it is open. */
static struct {
#define DECLARE(name) __typeof__(&name) name;
    FUNCTIONS(DECLARE)
} lt;

/* All that an algorithm depends on. */
struct shape {
    int rows, outputs, inner, stride, type, epilogue;
};

/* What is known of a shape: how to compute it, or (algorithm_found false) that cuBLASLt does not. */
struct plan {
    struct shape shape; /* rows == 0: an empty place */
    bool algorithm_found;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t w, x, out;
    cublasLtMatmulAlgo_t algorithm;
    size_t workspace;
};

struct blas_lt {
    cublasLtHandle_t handle;
    cublasLtMatmulPreference_t preference;
    struct plan plan[PLANS]; /* by hash of the shape; one that comes later takes the place */
};

static bool check(struct cuda_backend *c, cublasStatus_t status, const char *what)
{
    if (status == CUBLAS_STATUS_SUCCESS)
        return true;
    if (c->failure.status == STATUS_OK)
        error_set(&c->failure, STATUS_DEVICE, "cublasLt: %s: %s", what, lt.cublasLtGetStatusString(status));
    return false;
}

/* ---- opening ---- */

static cublasStatus_t prefer(cublasLtMatmulPreference_t preference)
{
    const uint32_t alignment = ALIGNMENT;
    static const cublasLtMatmulPreferenceAttributes_t operands[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    cublasStatus_t said = lt.cublasLtMatmulPreferenceSetAttribute(
        preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &MOST_WORKSPACE, sizeof MOST_WORKSPACE);
    for (size_t i = 0; said == CUBLAS_STATUS_SUCCESS && i < sizeof operands / sizeof *operands; i++)
        said = lt.cublasLtMatmulPreferenceSetAttribute(preference, operands[i], &alignment, sizeof alignment);
    return said;
}

enum status blas_lt_open(struct blas_lt **out, struct error *err)
{
#define FIND(name) {#name, &lt.name},
    static const struct library_function functions[] = {FUNCTIONS(FIND)};
    static const char file[] = "libcublasLt.so.13";
    enum status status = library_open(file, functions, sizeof functions / sizeof *functions, err);
    if (status != STATUS_OK)
        return status;
    struct blas_lt *b = xcalloc(1, sizeof *b);
    cublasStatus_t said = lt.cublasLtCreate(&b->handle);
    if (said == CUBLAS_STATUS_SUCCESS)
        said = lt.cublasLtMatmulPreferenceCreate(&b->preference);
    if (said == CUBLAS_STATUS_SUCCESS)
        said = prefer(b->preference);
    if (said != CUBLAS_STATUS_SUCCESS) {
        blas_lt_close(b);
        return error_set(err, STATUS_DEVICE, "%s: %s", file, lt.cublasLtGetStatusString(said));
    }
    *out = b;
    return STATUS_OK;
}

static void forget(struct plan *p)
{
    if (p->product)
        lt.cublasLtMatmulDescDestroy(p->product);
    if (p->w)
        lt.cublasLtMatrixLayoutDestroy(p->w);
    if (p->x)
        lt.cublasLtMatrixLayoutDestroy(p->x);
    if (p->out)
        lt.cublasLtMatrixLayoutDestroy(p->out);
    *p = (struct plan){0};
}

void blas_lt_close(struct blas_lt *b)
{
    if (!b)
        return;
    for (int i = 0; i < PLANS; i++)
        forget(&b->plan[i]);
    if (b->preference)
        lt.cublasLtMatmulPreferenceDestroy(b->preference);
    if (b->handle)
        lt.cublasLtDestroy(b->handle);
    free(b);
}

/* ---- plans ---- */

static bool has_bias(const struct shape *s)
{
    return s->epilogue == CUBLASLT_EPILOGUE_BIAS || s->epilogue == CUBLASLT_EPILOGUE_GELU_BIAS;
}

static bool set_product(struct cuda_backend *c, struct plan *p, cublasLtMatmulDescAttributes_t which,
                        const void *value, size_t size)
{
    return check(c, lt.cublasLtMatmulDescSetAttribute(p->product, which, value, size),
                 "describing a product");
}

static bool describe(struct cuda_backend *c, struct plan *p)
{
    const struct shape *s = &p->shape;
    const int32_t transposed = CUBLAS_OP_T;
    const uint32_t epilogue = (uint32_t)s->epilogue;
    /* not dereferenced when an algorithm is chosen, which goes by the alignment it sees: the least it may
     * have */
    const void *bias = (const void *)(uintptr_t)ALIGNMENT;
    cudaDataType type = s->type == DTYPE_BF16 ? CUDA_R_16BF : CUDA_R_16F;
    uint64_t rows = (uint64_t)s->rows, outputs = (uint64_t)s->outputs, inner = (uint64_t)s->inner;
    return check(c, lt.cublasLtMatmulDescCreate(&p->product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "a product") &&
           set_product(c, p, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed) &&
           set_product(c, p, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue) &&
           (!has_bias(s) || set_product(c, p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias)) &&
           check(c, lt.cublasLtMatrixLayoutCreate(&p->w, type, inner, outputs, s->inner), "a weight") &&
           check(c, lt.cublasLtMatrixLayoutCreate(&p->x, type, inner, rows, s->inner), "an operand") &&
           check(c, lt.cublasLtMatrixLayoutCreate(&p->out, CUDA_R_32F, outputs, rows, s->stride), "a result");
}

static void choose_algorithm(struct cuda_backend *c, struct plan *p)
{
    cublasLtMatmulHeuristicResult_t best;
    int found = 0;
    cublasStatus_t status = lt.cublasLtMatmulAlgoGetHeuristic(
        c->blas_lt->handle, p->product, p->w, p->x, p->out, p->out, c->blas_lt->preference, 1, &best, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || !check(c, status, "choosing an algorithm") || found == 0)
        return;
    p->algorithm_found = best.state == CUBLAS_STATUS_SUCCESS;
    p->algorithm = best.algo;
    p->workspace = best.workspaceSize;
}

/* NULL with the failure noted. */
static struct plan *plan_for(struct cuda_backend *c, const struct shape *s)
{
    uint32_t hash = 2166136261u;
    const int parts[] = {s->rows, s->outputs, s->inner, s->stride, s->type, s->epilogue};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        hash = (hash ^ (uint32_t)parts[i]) * 16777619u;
    struct plan *p = &c->blas_lt->plan[(hash ^ hash >> 16) % PLANS];
    if (memcmp(&p->shape, s, sizeof *s) == 0)
        return p;
    forget(p);
    p->shape = *s;
    if (describe(c, p))
        choose_algorithm(c, p);
    if (c->failure.status == STATUS_OK) {
        if (!p->algorithm_found)
            log_info("cuda: cuBLASLt has no algorithm for %d x %d -> %d: by our own kernels", s->rows,
                     s->inner, s->outputs);
        return p;
    }
    forget(p);
    return NULL;
}

/* ---- the product ---- */

static bool is_aligned(const void *p)
{
    return (uintptr_t)p % ALIGNMENT == 0;
}

static void multiply(struct cuda_backend *c, struct plan *p, struct tensor out, struct tensor x,
                     const struct weight *w, const float *bias)
{
    const float one = 1, zero = 0;
    size_t x_bytes = ((size_t)x.rows * (size_t)x.cols * sizeof(uint16_t) + PART - 1) / PART * PART;
    char *scratch = cuda_scratch(c, x_bytes + p->workspace);
    if (!scratch || (bias && !set_product(c, p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias)))
        return;
    launch_round_rows(c->stream, (uint16_t *)scratch, w->type, view_of(x));
    check(c,
          lt.cublasLtMatmul(c->blas_lt->handle, p->product, &one, w->data, p->w, scratch, p->x, &zero,
                            out.data, p->out, out.data, p->out, &p->algorithm, scratch + x_bytes,
                            p->workspace, c->stream),
          "multiplying");
}

bool blas_lt_linear(struct cuda_backend *c, struct tensor out, struct tensor x, const struct weight *w,
                    const float *bias, enum activation activation)
{
    if (!c->blas_lt || x.rows <= FEW_ROWS || (w->type != DTYPE_BF16 && w->type != DTYPE_F16) || w->cols % 8 ||
        !is_aligned(w->data) || !is_aligned(out.data) || out.stride % 4 || !is_aligned(bias))
        return false;
    bool gelu = activation == ACT_GELU_TANH;
    struct shape shape = {
        .rows = x.rows,
        .outputs = w->rows,
        .inner = w->cols,
        .stride = out.stride,
        .type = (int)w->type,
        .epilogue = gelu ? (bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU)
                         : (bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT),
    };
    struct plan *p = plan_for(c, &shape);
    if (p && !p->algorithm_found)
        return false;
    if (!p)
        return true;
    multiply(c, p, out, x, w, bias);
    if (activation != ACT_NONE && !gelu)
        launch_activate(c->stream, view_of(out), (int)activation);
    cuda_check_launch(c, "linear");
    return true;
}

size_t blas_lt_scratch(const struct blas_lt *b, const struct work_limits *m)
{
    return b ? m->row_values * sizeof(uint16_t) + PART + (size_t)MOST_WORKSPACE : 0;
}
