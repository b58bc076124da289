/* The part of the loader's interface that this program uses. What it opens on the emulated card are the
 * stand-ins of this folder, and nothing else; the environment's VARGPT_EMULATED_LIBRARIES names the files
 * that are there (all, without it). */
#ifndef VARGPT_CUDA_EMULATOR_INCLUDE_DLFCN_H
#define VARGPT_CUDA_EMULATOR_INCLUDE_DLFCN_H

#ifdef __cplusplus
extern "C" {
#endif

enum { RTLD_LOCAL = 0, RTLD_NOW = 2 };

void *emulated_dlopen(const char *file, int flags);
void *emulated_dlsym(void *library, const char *name);
const char *emulated_dlerror(void);

#define dlopen  emulated_dlopen
#define dlsym   emulated_dlsym
#define dlerror emulated_dlerror

#ifdef __cplusplus
}
#endif

#endif
