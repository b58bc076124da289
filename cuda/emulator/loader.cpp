/* The loader's stand-in: "opens" the libraries that have stand-ins here. And what these stand-ins share. */
#include "cuda/emulator/internal.h"

#include <atomic>
#include <dlfcn.h>
#include <map>
#include <mutex>
#include <stdlib.h>
#include <string.h>
#include <string>

static const struct emulated_library *const libraries[] = {&emulated_cublas_lt, &emulated_cudnn,
                                                           &emulated_nccl};
static thread_local std::string problem;
static std::atomic<unsigned long> calls;
static std::mutex lock;
static std::map<const void *, const char *> objects; /* alive: what they are */

void emulated_object_made(const void *object, const char *kind)
{
    std::lock_guard<std::mutex> hold(lock);
    objects[object] = kind;
}

void emulated_need_object(const void *object, const char *kind, const char *call)
{
    std::lock_guard<std::mutex> hold(lock);
    auto found = objects.find(object);
    if (found == objects.end() || strcmp(found->second, kind))
        emulated_fail("%s: %p is not %s", call, object, kind);
}

void emulated_object_gone(const void *object, const char *kind, const char *call)
{
    emulated_need_object(object, kind, call);
    std::lock_guard<std::mutex> hold(lock);
    objects.erase(object);
}

void emulated_count_library_call()
{
    calls++;
}

unsigned long emulator_library_calls(void)
{
    return calls;
}

void *emulated_dlopen(const char *file, int)
{
    const char *present = getenv("VARGPT_EMULATED_LIBRARIES");
    for (const struct emulated_library *library : libraries) {
        if (strcmp(library->file, file) == 0 && (!present || strstr(present, file)))
            return (void *)library;
    }
    problem = std::string(file) + ": cannot open shared object file: No such file or directory";
    return nullptr;
}

void *emulated_dlsym(void *library, const char *name)
{
    for (const struct emulated_function *f = ((const struct emulated_library *)library)->function; f->name;
         f++) {
        if (strcmp(f->name, name) == 0)
            return f->address;
    }
    return nullptr;
}

const char *emulated_dlerror(void)
{
    return problem.c_str();
}
