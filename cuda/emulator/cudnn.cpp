/* cuDNN's stand-in: one convolution of 16-bit pictures whose channels lie side by side. It ends the program
 * on attributes that are missing, unknown, of the wrong type or set too late, on tensors that do not make a
 * convolution, and on operands outside of device memory or less aligned than was promised. The first engine
 * it proposes cannot be used, as happens, and for 16 channels none can. */
#include "cuda/emulator/half.h"
#include "cuda/emulator/internal.h"

extern "C" {
#include "base/memory.h"
}

#include <cudnn_graph.h>
#include <map>
#include <new>
#include <stdlib.h>
#include <vector>

static const char HANDLE[] = "a handle of cudnn", DESCRIPTOR[] = "a descriptor of cudnn";

struct cudnnContext {
    cudaStream_t stream;
};

struct attribute {
    int64_t n;
    std::vector<char> bytes;
};

struct descriptor {
    cudnnBackendDescriptorType_t type;
    bool final;
    std::map<int, struct attribute> set;
    /* of an engine's configuration */
    struct descriptor *graph;
    int engine;
};

/* Which attributes a descriptor has: all of them must be set. n: how many values, 0 is any number. */
static const struct {
    cudnnBackendDescriptorType_t descriptor;
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t n;
    const char *text;
} attributes[] = {
#define HAS(descriptor, name, type, n)                                                                       \
    {                                                                                                        \
        CUDNN_BACKEND_##descriptor##_DESCRIPTOR, CUDNN_ATTR_##name, CUDNN_TYPE_##type, n, #name              \
    }
    HAS(TENSOR, TENSOR_DATA_TYPE, DATA_TYPE, 1),
    HAS(TENSOR, TENSOR_UNIQUE_ID, INT64, 1),
    HAS(TENSOR, TENSOR_BYTE_ALIGNMENT, INT64, 1),
    HAS(TENSOR, TENSOR_DIMENSIONS, INT64, 4),
    HAS(TENSOR, TENSOR_STRIDES, INT64, 4),
    HAS(CONVOLUTION, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1),
    HAS(CONVOLUTION, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1),
    HAS(CONVOLUTION, CONVOLUTION_SPATIAL_DIMS, INT64, 1),
    HAS(CONVOLUTION, CONVOLUTION_PRE_PADDINGS, INT64, 2),
    HAS(CONVOLUTION, CONVOLUTION_POST_PADDINGS, INT64, 2),
    HAS(CONVOLUTION, CONVOLUTION_FILTER_STRIDES, INT64, 2),
    HAS(CONVOLUTION, CONVOLUTION_DILATIONS, INT64, 2),
    HAS(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_X, BACKEND_DESCRIPTOR, 1),
    HAS(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_W, BACKEND_DESCRIPTOR, 1),
    HAS(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_Y, BACKEND_DESCRIPTOR, 1),
    HAS(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_CONV_DESC, BACKEND_DESCRIPTOR, 1),
    HAS(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_ALPHA, FLOAT, 1),
    HAS(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_BETA, FLOAT, 1),
    HAS(OPERATIONGRAPH, OPERATIONGRAPH_HANDLE, HANDLE, 1),
    HAS(OPERATIONGRAPH, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, 1),
    HAS(ENGINEHEUR, ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1),
    HAS(ENGINEHEUR, ENGINEHEUR_MODE, HEUR_MODE, 1),
    HAS(EXECUTION_PLAN, EXECUTION_PLAN_HANDLE, HANDLE, 1),
    HAS(EXECUTION_PLAN, EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, 1),
    HAS(VARIANT_PACK, VARIANT_PACK_UNIQUE_IDS, INT64, 0),
    HAS(VARIANT_PACK, VARIANT_PACK_DATA_POINTERS, VOID_PTR, 0),
    HAS(VARIANT_PACK, VARIANT_PACK_WORKSPACE, VOID_PTR, 1),
};

/* ---- handles ---- */

cudnnStatus_t cudnnCreate(cudnnHandle_t *out)
{
    *out = (cudnnHandle_t)try_calloc(1, sizeof **out);
    if (!*out)
        return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    emulated_object_made(*out, HANDLE);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    emulated_object_gone(handle, HANDLE, "cudnnDestroy");
    free(handle);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    emulated_need_object(handle, HANDLE, "cudnnSetStream");
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    switch (status) {
    case CUDNN_STATUS_SUCCESS: return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_NOT_SUPPORTED: return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED:
        return "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED";
    }
    return "unknown";
}

/* ---- attributes ---- */

static size_t size_of(cudnnBackendAttributeType_t type)
{
    switch (type) {
    case CUDNN_TYPE_DATA_TYPE:
    case CUDNN_TYPE_CONVOLUTION_MODE:
    case CUDNN_TYPE_HEUR_MODE:
    case CUDNN_TYPE_FLOAT: return 4;
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR: return 8;
    }
    emulated_fail("cudnn: values of type %d, which are not emulated", (int)type);
}

static struct descriptor *find(cudnnBackendDescriptor_t d, const char *call)
{
    emulated_need_object(d, DESCRIPTOR, call);
    return (struct descriptor *)d;
}

template <typename T> static T get(const struct descriptor *d, cudnnBackendAttributeName_t name, size_t i = 0)
{
    T value;
    memcpy(&value, d->set.at(name).bytes.data() + i * sizeof value, sizeof value);
    return value;
}

static int64_t number(const struct descriptor *d, cudnnBackendAttributeName_t name, size_t i = 0)
{
    return get<int64_t>(d, name, i);
}

/* The descriptor that an attribute names, which must be of that type, alive and finalized. */
static struct descriptor *linked(const struct descriptor *d, cudnnBackendAttributeName_t name,
                                 cudnnBackendDescriptorType_t type)
{
    struct descriptor *other = find(get<cudnnBackendDescriptor_t>(d, name), "cudnn");
    if (other->type != type || !other->final)
        emulated_fail("cudnn: attribute %d names a descriptor of type %d, %s", (int)name, (int)other->type,
                      other->final ? "which is the wrong one" : "which is not finalized");
    return other;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out)
{
    void *memory = try_malloc(1, sizeof(struct descriptor));
    if (!memory)
        return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    *out = new (memory) descriptor{type, false, {}, nullptr, 0};
    emulated_object_made(*out, DESCRIPTOR);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d)
{
    emulated_object_gone(d, DESCRIPTOR, "cudnnBackendDestroyDescriptor");
    ((struct descriptor *)d)->~descriptor();
    free(d);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n, const void *values)
{
    struct descriptor *d = find(to, "cudnnBackendSetAttribute");
    if (d->final)
        emulated_fail("cudnnBackendSetAttribute: the descriptor is finalized");
    for (const auto &a : attributes) {
        if (a.descriptor != d->type || a.name != name)
            continue;
        if (a.type != type || n < 1 || (a.n && a.n != n))
            emulated_fail("cudnnBackendSetAttribute: %s has %ld values of type %d, not %ld of type %d",
                          a.text, (long)a.n, (int)a.type, (long)n, (int)type);
        const char *bytes = (const char *)values;
        d->set[name] = attribute{n, std::vector<char>(bytes, bytes + (size_t)n * size_of(type))};
        return CUDNN_STATUS_SUCCESS;
    }
    emulated_fail("cudnnBackendSetAttribute: a descriptor of type %d has no attribute %d", (int)d->type,
                  (int)name);
}

/* ---- what is finalized ---- */

static cudnnDataType_t type_of(const struct descriptor *tensor)
{
    return get<cudnnDataType_t>(tensor, CUDNN_ATTR_TENSOR_DATA_TYPE);
}

static void check_tensor(const struct descriptor *d)
{
    if (type_of(d) != CUDNN_DATA_BFLOAT16 && type_of(d) != CUDNN_DATA_HALF)
        emulated_fail("cudnn: a tensor that is not of 16 bits, which is not emulated");
    int64_t size[4], stride[4];
    for (size_t i = 0; i < 4; i++) {
        size[i] = number(d, CUDNN_ATTR_TENSOR_DIMENSIONS, i);
        stride[i] = number(d, CUDNN_ATTR_TENSOR_STRIDES, i);
    }
    if (size[0] < 1 || size[1] < 1 || size[2] < 1 || size[3] < 1 || stride[1] != 1 || stride[3] != size[1] ||
        stride[2] != size[1] * size[3] || stride[0] != size[1] * size[3] * size[2])
        emulated_fail("cudnn: a tensor of %ldx%ldx%ldx%ld whose channels do not lie side by side, densely",
                      (long)size[0], (long)size[1], (long)size[2], (long)size[3]);
}

static void check_convolution(const struct descriptor *d)
{
    if (get<cudnnDataType_t>(d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE) != CUDNN_DATA_FLOAT ||
        get<cudnnConvolutionMode_t>(d, CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION ||
        number(d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) != 2)
        emulated_fail("cudnn: a convolution that is not emulated");
    for (size_t i = 0; i < 2; i++) {
        if (number(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, i) ||
            number(d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, i) ||
            number(d, CUDNN_ATTR_CONVOLUTION_DILATIONS, i) != 1)
            emulated_fail("cudnn: padding or dilation, which are not emulated");
    }
}

/* One operation's tensors and numbers. */
struct operation {
    struct descriptor *x, *w, *y;
    int64_t channels, height, width, outputs, kernel, step, out_height, out_width;
    float scale;
    bool bf16;
};

static struct operation operation_of(const struct descriptor *d)
{
    struct operation o = {};
    o.x = linked(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    o.w = linked(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    o.y = linked(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    const struct descriptor *how =
        linked(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    o.scale = get<float>(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA);
    o.bf16 = type_of(o.x) == CUDNN_DATA_BFLOAT16;
    o.channels = number(o.x, CUDNN_ATTR_TENSOR_DIMENSIONS, 1);
    o.height = number(o.x, CUDNN_ATTR_TENSOR_DIMENSIONS, 2);
    o.width = number(o.x, CUDNN_ATTR_TENSOR_DIMENSIONS, 3);
    o.outputs = number(o.w, CUDNN_ATTR_TENSOR_DIMENSIONS, 0);
    o.kernel = number(o.w, CUDNN_ATTR_TENSOR_DIMENSIONS, 2);
    o.step = number(how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
    o.out_height = number(o.y, CUDNN_ATTR_TENSOR_DIMENSIONS, 2);
    o.out_width = number(o.y, CUDNN_ATTR_TENSOR_DIMENSIONS, 3);
    return o;
}

static void check_operation(const struct descriptor *d)
{
    struct operation o = operation_of(d);
    if (number(o.w, CUDNN_ATTR_TENSOR_DIMENSIONS, 1) != o.channels ||
        number(o.w, CUDNN_ATTR_TENSOR_DIMENSIONS, 3) != o.kernel ||
        number(o.x, CUDNN_ATTR_TENSOR_DIMENSIONS, 0) != 1 ||
        number(o.y, CUDNN_ATTR_TENSOR_DIMENSIONS, 0) != 1 ||
        number(o.y, CUDNN_ATTR_TENSOR_DIMENSIONS, 1) != o.outputs || o.step < 1 || o.height < o.kernel ||
        o.width < o.kernel || o.out_height != (o.height - o.kernel) / o.step + 1 ||
        o.out_width != (o.width - o.kernel) / o.step + 1)
        emulated_fail("cudnn: %ldx%ldx%ld by kernels of %ld with a step of %ld is not %ldx%ldx%ld",
                      (long)o.height, (long)o.width, (long)o.channels, (long)o.kernel, (long)o.step,
                      (long)o.out_height, (long)o.out_width, (long)o.outputs);
    if (type_of(o.w) != type_of(o.x) || type_of(o.y) != type_of(o.x))
        emulated_fail("cudnn: picture, weight and result are of different types");
    if (get<float>(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA) != 0)
        emulated_fail("cudnn: added to something, which is not emulated");
}

static struct operation operation_of_plan(const struct descriptor *plan)
{
    const struct descriptor *engine =
        find(get<cudnnBackendDescriptor_t>(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG), "cudnn");
    if (engine->type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR || !engine->graph)
        emulated_fail("cudnn: an execution plan of an engine that was not proposed");
    find(engine->graph, "cudnn");
    return operation_of(linked(engine->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS,
                               CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR));
}

static cudnnStatus_t check_plan(const struct descriptor *d)
{
    emulated_need_object(get<cudnnHandle_t>(d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE), HANDLE, "cudnn");
    struct operation o = operation_of_plan(d);
    const struct descriptor *engine =
        (struct descriptor *)get<cudnnBackendDescriptor_t>(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    return engine->engine == 0 || o.channels == 16 ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t which)
{
    struct descriptor *d = find(which, "cudnnBackendFinalize");
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    for (const auto &a : attributes) {
        if (a.descriptor == d->type && !d->set.count(a.name))
            emulated_fail("cudnnBackendFinalize: %s is not set", a.text);
    }
    switch (d->type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR: check_tensor(d); break;
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR: check_convolution(d); break;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR: check_operation(d); break;
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
        emulated_need_object(get<cudnnHandle_t>(d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE), HANDLE, "cudnn");
        linked(d, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
        break;
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
        linked(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
        break;
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR: status = check_plan(d); break;
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
        if (d->set[CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS].n != d->set[CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS].n)
            emulated_fail("cudnn: as many pointers as names are needed");
        break;
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR: break;
    }
    d->final = status == CUDNN_STATUS_SUCCESS;
    return status;
}

static size_t workspace_of(const struct operation &o)
{
    return (size_t)(o.outputs * 64);
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t from, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t asked, int64_t *n,
                                       void *values)
{
    static const char call[] = "cudnnBackendGetAttribute";
    struct descriptor *d = find(from, call);
    if (!d->final || asked < 1)
        emulated_fail("%s: of a descriptor that is not finalized, or no room", call);
    if (d->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR && name == CUDNN_ATTR_ENGINEHEUR_RESULTS &&
        type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        *n = asked < 2 ? asked : 2;
        for (int i = 0; i < *n; i++) {
            struct descriptor *engine = find(((cudnnBackendDescriptor_t *)values)[i], call);
            if (engine->type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)
                emulated_fail("%s: proposals are put into engine configurations", call);
            engine->graph =
                linked(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
            engine->engine = i;
        }
        return CUDNN_STATUS_SUCCESS;
    }
    if (d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR &&
        name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && type == CUDNN_TYPE_INT64) {
        int64_t bytes = (int64_t)workspace_of(operation_of_plan(d));
        memcpy(values, &bytes, sizeof bytes);
        *n = 1;
        return CUDNN_STATUS_SUCCESS;
    }
    emulated_fail("%s: attribute %d of a descriptor of type %d, which is not emulated", call, (int)name,
                  (int)d->type);
}

/* ---- convolutions ---- */

struct convolution_work : emulated_work {
    const char *name() const override
    {
        return "cudnnBackendExecute";
    }
    struct operation o;
    const uint16_t *x, *w;
    uint16_t *y;
    void *workspace;

    double value(uint16_t bits) const
    {
        return (double)(o.bf16 ? emulated_bf16(bits) : f16_to_float(bits));
    }

    float at(int64_t row, int64_t column, int64_t output) const
    {
        double sum = 0;
        for (int64_t ky = 0; ky < o.kernel; ky++) {
            for (int64_t kx = 0; kx < o.kernel; kx++) {
                const uint16_t *pixel =
                    x + ((row * o.step + ky) * o.width + column * o.step + kx) * o.channels;
                const uint16_t *weight = w + ((output * o.kernel + ky) * o.kernel + kx) * o.channels;
                for (int64_t c = 0; c < o.channels; c++)
                    sum += value(pixel[c]) * value(weight[c]);
            }
        }
        return (float)sum * o.scale;
    }

    void run() override
    {
        memset(workspace, 0xEE, workspace_of(o));
        for (int64_t i = 0; i < o.out_height * o.out_width; i++) {
            for (int64_t output = 0; output < o.outputs; output++) {
                float v = at(i / o.out_width, i % o.out_width, output);
                y[i * o.outputs + output] = (uint16_t)(o.bf16 ? float_to_bf16(v) : float_to_f16(v));
            }
        }
    }
};

/* The pointer that the variant pack has for a tensor, checked. */
static void *operand_of(const struct descriptor *pack, const struct descriptor *tensor, const char *what)
{
    const struct attribute &names = pack->set.at(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    size_t bytes = sizeof(uint16_t);
    for (size_t i = 0; i < 4; i++)
        bytes *= (size_t)number(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, i);
    for (size_t i = 0; i < (size_t)names.n; i++) {
        if (number(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, i) !=
            number(tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID))
            continue;
        void *memory = get<void *>(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, i);
        emulated_need_memory("cudnnBackendExecute", what, memory, bytes,
                             (size_t)number(tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT));
        return memory;
    }
    emulated_fail("cudnnBackendExecute: there is no pointer for %s", what);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack)
{
    static const char call[] = "cudnnBackendExecute";
    emulated_need_object(handle, HANDLE, call);
    const struct descriptor *p = find(plan, call), *v = find(pack, call);
    if (p->type != CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR || !p->final ||
        v->type != CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR || !v->final)
        emulated_fail("%s: needs an execution plan and a variant pack, finalized", call);
    convolution_work *work = new convolution_work;
    work->o = operation_of_plan(p);
    work->x = (const uint16_t *)operand_of(v, work->o.x, "the picture");
    work->w = (const uint16_t *)operand_of(v, work->o.w, "the weight");
    work->y = (uint16_t *)operand_of(v, work->o.y, "the result");
    work->workspace = get<void *>(v, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    emulated_need_memory(call, "the workspace", work->workspace, workspace_of(work->o), 16);
    emulated_count_library_call();
    emulated_enqueue(handle->stream, work);
    return CUDNN_STATUS_SUCCESS;
}

#define FUNCTION(name)                                                                                       \
    {                                                                                                        \
#name, (void *)name                                                                                  \
    }
static const struct emulated_function functions[] = {
    FUNCTION(cudnnCreate),
    FUNCTION(cudnnDestroy),
    FUNCTION(cudnnSetStream),
    FUNCTION(cudnnGetErrorString),
    FUNCTION(cudnnBackendCreateDescriptor),
    FUNCTION(cudnnBackendDestroyDescriptor),
    FUNCTION(cudnnBackendSetAttribute),
    FUNCTION(cudnnBackendGetAttribute),
    FUNCTION(cudnnBackendFinalize),
    FUNCTION(cudnnBackendExecute),
    {nullptr, nullptr},
};
const struct emulated_library emulated_cudnn = {"libcudnn.so.9", functions};
