# The CUDA backend. vargpt_cuda stands behind cuda/cuda_backend.h in every build; vargpt_cuda_emulated is the same backend
# with the emulator as its card. Only this file and cuda/ know the difference.

file(GLOB cuda_sources CONFIGURE_DEPENDS cuda/*.c)
list(FILTER cuda_sources EXCLUDE REGEX "cuda_none\\.c$")
file(GLOB cuda_kernels CONFIGURE_DEPENDS cuda/kernels/*.cu)

function(vargpt_cuda_library name)
  add_library(${name} STATIC ${ARGN})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC vargpt_base m)
endfunction()

if(VARGPT_CUDA STREQUAL "real")
  include(cuda/nvcc.cmake)
else()
  vargpt_cuda_library(vargpt_cuda cuda/cuda_none.c)
endif()

if(VARGPT_CUDA STREQUAL "emulated")
  enable_language(CXX)
  set(CMAKE_CXX_STANDARD 17)
  set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
  file(GLOB emulator CONFIGURE_DEPENDS cuda/emulator/*.cpp)
  # kernels get what this machine has: a fused multiply-add is the same number by instruction and by the library's function
  file(READ /proc/cpuinfo cpuinfo)
  foreach(feature fma avx2)
    if(cpuinfo MATCHES " ${feature} ")
      list(APPEND features -m${feature})
    endif()
  endforeach()
  set_source_files_properties(${cuda_kernels} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++;-O3;${features}")
  vargpt_cuda_library(vargpt_cuda_emulated ${cuda_sources} ${cuda_kernels} ${emulator})
  target_include_directories(vargpt_cuda_emulated PRIVATE cuda/emulator/include)
endif()
