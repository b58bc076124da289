#include "cuda/cuda_backend.h"

#include <stdio.h>

static const char reason[] = "this program was built without CUDA (cmake -DVARGPT_CUDA=real)";

int cuda_device_count(const char **why)
{
    if (why)
        *why = reason;
    return 0;
}

enum status cuda_backend_open(struct backend **out, int device, size_t memory, struct error *err)
{
    (void)out;
    (void)device;
    (void)memory;
    return error_set(err, STATUS_DEVICE, "%s", reason);
}

enum status cuda_group_open(struct backend **out, const int *device, int n, size_t memory, struct error *err)
{
    (void)device;
    (void)n;
    return cuda_backend_open(out, 0, memory, err);
}

void cuda_backend_close(struct backend *be)
{
    (void)be;
}

void cuda_backend_describe(const struct backend *be, char *text, size_t size)
{
    (void)be;
    snprintf(text, size, "none");
}

void cuda_backend_set_fast(struct backend *be, bool fast)
{
    (void)be;
    (void)fast;
}

void cuda_backend_use_libraries(struct backend *be)
{
    (void)be;
}

void cuda_backend_set_graphs(struct backend *be, bool on)
{
    (void)be;
    (void)on;
}
