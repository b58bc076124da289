/* Convolutions with 16-bit weights by cuDNN. The picture is rounded to the weight's type with its padding and
 * doubling in it, so that cuDNN's part is the same plain convolution for all of them; its result is of that
 * type too (it proposes no engine that writes float32), and is made float32 with the bias added in a last
 * pass. Results in F16 are scaled down on the way, so that they reach to a million.
 *
 * An operation is described by descriptors, each a list of attributes that is closed ("finalized") at its
 * end. From them an engine is chosen and an execution plan made, which is kept a shape. */
#include "cuda/backend_state.h"
#include "cuda/library.h"

#include "base/log.h"
#include "base/memory.h"

#include <cudnn_graph.h>
#include <stdlib.h>
#include <string.h>

enum { FEW_ROWS = 32, PART = 256, PLANS = 64, ENGINES = 8, MOST_MADE = 32 };
static const int64_t MOST_WORKSPACE = (int64_t)256 << 20;

#define FUNCTIONS(F)                                                                                         \
    F(cudnnCreate)                                                                                           \
    F(cudnnDestroy)                                                                                          \
    F(cudnnSetStream)                                                                                        \
    F(cudnnGetErrorString)                                                                                   \
    F(cudnnBackendCreateDescriptor)                                                                          \
    F(cudnnBackendDestroyDescriptor)                                                                         \
    F(cudnnBackendSetAttribute)                                                                              \
    F(cudnnBackendGetAttribute)                                                                              \
    F(cudnnBackendFinalize)                                                                                  \
    F(cudnnBackendExecute)

/* The library's functions, once it is open. */
static struct {
#define DECLARE(name) __typeof__(&name) name;
    FUNCTIONS(DECLARE)
} dnn;

/* Of the picture with its padding. */
struct shape {
    int height, width, channels, outputs, kernel, step, out_height, out_width, type;
};

static float scale_of(int type)
{
    return type == DTYPE_F16 ? 1.0f / 16 : 1;
}

struct plan {
    struct shape shape;
    cudnnBackendDescriptor_t made[MOST_MADE],
        ready; /* ready: one of made; NULL: cuDNN does not compute this */
    int n_made;
    size_t workspace;
};

struct cudnn {
    cudnnHandle_t handle;
    struct plan plan[PLANS];
    int n_plans, next; /* next: the place to take when all are */
};

enum tensor_id { PICTURE = 1, WEIGHT, RESULT };

/* ---- opening ---- */

enum status cudnn_open(struct cudnn **out, struct error *err)
{
#define FIND(name) {#name, &dnn.name},
    static const struct library_function functions[] = {FUNCTIONS(FIND)};
    static const char file[] = "libcudnn.so.9";
    enum status status = library_open(file, functions, sizeof functions / sizeof *functions, err);
    if (status != STATUS_OK)
        return status;
    struct cudnn *d = xcalloc(1, sizeof *d);
    cudnnStatus_t said = dnn.cudnnCreate(&d->handle);
    if (said != CUDNN_STATUS_SUCCESS) {
        cudnn_close(d);
        return error_set(err, STATUS_DEVICE, "%s: %s", file, dnn.cudnnGetErrorString(said));
    }
    *out = d;
    return STATUS_OK;
}

static void forget(struct plan *p)
{
    while (p->n_made > 0)
        dnn.cudnnBackendDestroyDescriptor(p->made[--p->n_made]);
    *p = (struct plan){0};
}

void cudnn_close(struct cudnn *d)
{
    if (!d)
        return;
    for (int i = 0; i < d->n_plans; i++)
        forget(&d->plan[i]);
    if (d->handle)
        dnn.cudnnDestroy(d->handle);
    free(d);
}

/* ---- descriptors: the first failure sticks, and what comes after it does nothing ---- */

struct builder {
    struct plan *plan; /* owns what is made */
    cudnnStatus_t status;
};

static cudnnBackendDescriptor_t make(struct builder *b, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t made = NULL;
    if (b->status == CUDNN_STATUS_SUCCESS)
        b->status = dnn.cudnnBackendCreateDescriptor(type, &made);
    if (b->status != CUDNN_STATUS_SUCCESS)
        return NULL;
    b->plan->made[b->plan->n_made++] = made;
    return made;
}

static void set(struct builder *b, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t n, const void *values)
{
    if (b->status == CUDNN_STATUS_SUCCESS)
        b->status = dnn.cudnnBackendSetAttribute(d, name, type, n, values);
}

static void set_ints(struct builder *b, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                     int64_t n, const int64_t *values)
{
    set(b, d, name, CUDNN_TYPE_INT64, n, values);
}

static void set_descriptor(struct builder *b, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                           cudnnBackendDescriptor_t value)
{
    set(b, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void close_descriptor(struct builder *b, cudnnBackendDescriptor_t d)
{
    if (b->status == CUDNN_STATUS_SUCCESS)
        b->status = dnn.cudnnBackendFinalize(d);
}

/* ---- plans ---- */

/* n pictures of so many channels, a pixel's channels side by side. */
static cudnnBackendDescriptor_t tensor(struct builder *b, enum tensor_id id, int dtype, int n, int channels,
                                       int height, int width)
{
    const cudnnDataType_t type = dtype == DTYPE_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
    const int64_t name = id, alignment = 16, size[] = {n, channels, height, width};
    const int64_t stride[] = {(int64_t)channels * height * width, 1, (int64_t)channels * width, channels};
    cudnnBackendDescriptor_t d = make(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set(b, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set_ints(b, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1, &name);
    set_ints(b, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1, &alignment);
    set_ints(b, d, CUDNN_ATTR_TENSOR_DIMENSIONS, 4, size);
    set_ints(b, d, CUDNN_ATTR_TENSOR_STRIDES, 4, stride);
    close_descriptor(b, d);
    return d;
}

static cudnnBackendDescriptor_t convolution(struct builder *b, const struct shape *s)
{
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t n = 2, none[] = {0, 0}, one[] = {1, 1}, step[] = {s->step, s->step};
    cudnnBackendDescriptor_t d = make(b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    set(b, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    set(b, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set_ints(b, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 1, &n);
    set_ints(b, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, n, none);
    set_ints(b, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, n, none);
    set_ints(b, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, n, step);
    set_ints(b, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, n, one);
    close_descriptor(b, d);
    return d;
}

static cudnnBackendDescriptor_t operation(struct builder *b, const struct shape *s)
{
    const float scale = scale_of(s->type), zero = 0;
    cudnnBackendDescriptor_t x = tensor(b, PICTURE, s->type, 1, s->channels, s->height, s->width);
    cudnnBackendDescriptor_t w = tensor(b, WEIGHT, s->type, s->outputs, s->channels, s->kernel, s->kernel);
    cudnnBackendDescriptor_t y = tensor(b, RESULT, s->type, 1, s->outputs, s->out_height, s->out_width);
    cudnnBackendDescriptor_t how = convolution(b, s);
    cudnnBackendDescriptor_t d = make(b, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    set_descriptor(b, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    set_descriptor(b, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
    set_descriptor(b, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
    set_descriptor(b, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, how);
    set(b, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &scale);
    set(b, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &zero);
    close_descriptor(b, d);
    return d;
}

/* What cuDNN proposes, best first, into engine; how many there are. */
static int64_t propose(struct builder *b, cudnnHandle_t handle, cudnnBackendDescriptor_t what,
                       cudnnBackendDescriptor_t engine[ENGINES])
{
    const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
    int64_t found = 0;
    cudnnBackendDescriptor_t graph = make(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(b, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    set_descriptor(b, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, what);
    close_descriptor(b, graph);
    cudnnBackendDescriptor_t advice = make(b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    set_descriptor(b, advice, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    set(b, advice, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    close_descriptor(b, advice);
    for (int i = 0; i < ENGINES; i++)
        engine[i] = make(b, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    if (b->status == CUDNN_STATUS_SUCCESS)
        b->status = dnn.cudnnBackendGetAttribute(advice, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, ENGINES, &found, engine);
    return b->status == CUDNN_STATUS_SUCCESS ? found : 0;
}

/* The engine's execution plan and its workspace; NULL when it cannot. */
static cudnnBackendDescriptor_t try_engine(struct builder *b, cudnnHandle_t handle,
                                           cudnnBackendDescriptor_t engine, int64_t *workspace)
{
    int64_t n = 0;
    cudnnBackendDescriptor_t d = make(b, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    set(b, d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    set_descriptor(b, d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, engine);
    close_descriptor(b, d);
    if (b->status == CUDNN_STATUS_SUCCESS)
        b->status = dnn.cudnnBackendGetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                                 CUDNN_TYPE_INT64, 1, &n, workspace);
    return b->status == CUDNN_STATUS_SUCCESS && *workspace <= MOST_WORKSPACE ? d : NULL;
}

static void note_failure(struct cuda_backend *c, cudnnStatus_t status, const char *what)
{
    if (status != CUDNN_STATUS_SUCCESS && c->failure.status == STATUS_OK)
        error_set(&c->failure, STATUS_DEVICE, "cudnn: %s: %s", what, dnn.cudnnGetErrorString(status));
}

/* True where cuDNN can, and where it only says that it cannot: there is a family of such answers. */
static bool is_an_answer(cudnnStatus_t status)
{
    return status == CUDNN_STATUS_SUCCESS || status / 1000 == CUDNN_STATUS_NOT_SUPPORTED / 1000;
}

static void make_plan(struct cuda_backend *c, struct plan *p)
{
    struct builder b = {.plan = p, .status = CUDNN_STATUS_SUCCESS};
    cudnnBackendDescriptor_t engine[ENGINES];
    int64_t found = propose(&b, c->cudnn->handle, operation(&b, &p->shape), engine), workspace = 0;
    for (int64_t i = 0; i < found && !p->ready && is_an_answer(b.status); i++) {
        b.status = CUDNN_STATUS_SUCCESS;
        p->ready = try_engine(&b, c->cudnn->handle, engine[i], &workspace);
    }
    p->workspace = (size_t)workspace;
    if (!is_an_answer(b.status))
        note_failure(c, b.status, "describing a convolution");
}

/* NULL with the failure noted. */
static struct plan *plan_for(struct cuda_backend *c, const struct shape *s)
{
    struct cudnn *d = c->cudnn;
    for (int i = 0; i < d->n_plans; i++) {
        if (memcmp(&d->plan[i].shape, s, sizeof *s) == 0)
            return &d->plan[i];
    }
    struct plan *p = &d->plan[d->next];
    d->next = (d->next + 1) % PLANS;
    d->n_plans += d->n_plans < PLANS;
    forget(p);
    p->shape = *s;
    make_plan(c, p);
    if (c->failure.status == STATUS_OK) {
        if (!p->ready)
            log_info("cuda: cuDNN has no engine for %d x %d x %d -> %d: by our own kernels", s->height,
                     s->width, s->channels, s->outputs);
        return p;
    }
    forget(p);
    return NULL;
}

/* ---- the convolution ---- */

static void execute(struct cuda_backend *c, const struct plan *p, void *x, void *w, void *y, void *workspace)
{
    struct plan call = {0}; /* owns what is made here */
    struct builder b = {.plan = &call, .status = CUDNN_STATUS_SUCCESS};
    const int64_t id[] = {PICTURE, WEIGHT, RESULT};
    void *const operand[] = {x, w, y};
    cudnnBackendDescriptor_t d = make(&b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    set_ints(&b, d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, 3, id);
    set(&b, d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, operand);
    set(&b, d, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    close_descriptor(&b, d);
    if (b.status == CUDNN_STATUS_SUCCESS)
        b.status = dnn.cudnnSetStream(c->cudnn->handle, c->stream);
    if (b.status == CUDNN_STATUS_SUCCESS)
        b.status = dnn.cudnnBackendExecute(c->cudnn->handle, p->ready, d);
    note_failure(c, b.status, "a convolution");
    forget(&call);
}

static size_t part(int64_t pixels, int channels)
{
    return ((size_t)pixels * (size_t)channels * sizeof(uint16_t) + PART - 1) / PART * PART;
}

bool cudnn_conv2d(struct cuda_backend *c, struct tensor out, struct tensor x, const struct conv *conv,
                  const struct weight *w, const float *bias)
{
    if (!c->cudnn || out.rows <= FEW_ROWS || (w->type != DTYPE_BF16 && w->type != DTYPE_F16) || x.cols % 8 ||
        out.cols % 8)
        return false;
    int padding = conv->kernel == 1 ? 0 : conv->pad_end_only ? 1 : 2;
    struct shape s = {
        .height = conv->height * conv->upsample + padding,
        .width = conv->width * conv->upsample + padding,
        .channels = x.cols,
        .outputs = out.cols,
        .kernel = conv->kernel,
        .step = conv->stride,
        .out_height = conv_out(conv, conv->height),
        .out_width = conv_out(conv, conv->width),
        .type = (int)w->type,
    };
    struct picture_shape pixels = {.height = conv->height,
                                   .width = conv->width,
                                   .channels = x.cols,
                                   .stride = x.stride,
                                   .kernel = 1,
                                   .step = 1,
                                   .upsample = conv->upsample,
                                   .before = padding == 2,
                                   .out_width = s.width};
    struct plan *p = plan_for(c, &s);
    if (p && !p->ready)
        return false;
    size_t x_bytes = part((int64_t)s.height * s.width, x.cols), y_bytes = part(out.rows, out.cols);
    char *scratch = p ? cuda_scratch(c, x_bytes + y_bytes + p->workspace) : NULL;
    if (!scratch)
        return true;
    char *y = scratch + x_bytes;
    launch_round_picture(c->stream, (uint16_t *)scratch, w->type, x.data, pixels, s.height * s.width);
    execute(c, p, scratch, w->data, y, y + y_bytes);
    launch_widen_rows(c->stream, view_of(out), (const uint16_t *)y, w->type, 1 / scale_of(s.type), bias);
    cuda_check_launch(c, "conv2d");
    return true;
}

/* A convolution's picture has up to two rows and columns of padding more than what it is made of. */
size_t cudnn_scratch(const struct cudnn *d, const struct work_limits *m)
{
    size_t border = 4 * ((size_t)m->picture_side + 1) * (size_t)m->channels;
    return d && m->picture_side > 0
               ? (2 * m->picture_values + border) * sizeof(uint16_t) + 2 * PART + (size_t)MOST_WORKSPACE
               : 0;
}
