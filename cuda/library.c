#include "cuda/library.h"

#include <dlfcn.h>
#include <string.h>

enum status library_open(const char *file, const struct library_function *f, size_t n, struct error *err)
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return error_set(err, STATUS_DEVICE, "%s", dlerror());
    for (size_t i = 0; i < n; i++) {
        void *found = dlsym(library, f[i].name);
        if (!found)
            return error_set(err, STATUS_DEVICE, "%s has no %s", file, f[i].name);
        memcpy(f[i].pointer, &found, sizeof found);
    }
    return STATUS_OK;
}
