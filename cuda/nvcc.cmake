# vargpt_cuda for real cards: kernels by nvcc, one object a file, for the architectures asked for and PTX of the last one for
# those to come. CUDA's runtime is linked in statically and looks for the driver when it is first called, so the program
# starts without one.

set(VARGPT_CUDA_ARCHS "80 89 90a 100 120" CACHE STRING "compute capabilities to compile kernels for, without the dot")
find_program(NVCC nvcc HINTS /usr/local/cuda/bin REQUIRED)
file(REAL_PATH ${NVCC} nvcc_path)
get_filename_component(cuda_root ${nvcc_path} DIRECTORY)
get_filename_component(cuda_root ${cuda_root} DIRECTORY)
find_path(CUDA_INCLUDE cuda_runtime.h HINTS ${cuda_root}/include /usr/local/cuda/include REQUIRED)
find_library(CUDART cudart_static HINTS ${cuda_root}/lib64 ${cuda_root}/lib /usr/local/cuda/lib64 REQUIRED)

# cuBLASLt and cuDNN are opened at run time; their headers are the system's or come from PyPI (docs/cuda.md)
set(fetched ${CMAKE_BINARY_DIR}/nvidia-libraries)
set(VARGPT_CUDA_FETCH "" CACHE STRING "--headers: where they are fetched, the libraries are not kept")
macro(find_library_headers)
  find_path(CUBLASLT_INCLUDE cublasLt.h HINTS ${CUDA_INCLUDE} ${fetched}/nvidia/cu13/include ${ARGN})
  find_path(CUDNN_INCLUDE cudnn_graph.h HINTS ${CUDA_INCLUDE} ${fetched}/nvidia/cudnn/include ${ARGN})
endmacro()
find_library_headers()
if(NOT CUBLASLT_INCLUDE OR NOT CUDNN_INCLUDE)
  message(STATUS "cublasLt.h or cudnn_graph.h is not here: fetching them with pip into ${fetched}")
  execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/get-nvidia-libraries ${VARGPT_CUDA_FETCH} ${fetched}
    COMMAND_ERROR_IS_FATAL ANY)
  find_library_headers(REQUIRED)
endif()

separate_arguments(archs UNIX_COMMAND "${VARGPT_CUDA_ARCHS}")
foreach(arch ${archs})
  list(APPEND gencode -gencode arch=compute_${arch},code=sm_${arch})
  set(last ${arch})
endforeach()
list(APPEND gencode -gencode arch=compute_${last},code=compute_${last})

# -fmad=false: as -ffp-contract=off elsewhere; kernels say fmaf() where they mean it, and compute what the emulator computes
set(NVCC_FLAGS -std=c++17 -O3 -fmad=false -lineinfo -Xcompiler -fPIC,-Wall,-Wextra)
if(VARGPT_WERROR)
  list(APPEND NVCC_FLAGS -Werror all-warnings)
endif()
file(GLOB kernel_headers CONFIGURE_DEPENDS cuda/*.h cuda/*.cuh cuda/kernels/*.h cuda/kernels/*.cuh)
foreach(kernel ${cuda_kernels})
  get_filename_component(name ${kernel} NAME_WE)
  set(object ${CMAKE_BINARY_DIR}/cuda/${name}.o)
  add_custom_command(OUTPUT ${object}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/cuda
    COMMAND ${NVCC} ${NVCC_FLAGS} ${gencode} -I${CMAKE_SOURCE_DIR} -c ${kernel} -o ${object}
    DEPENDS ${kernel} ${kernel_headers} engine/backend.h engine/tensor.h engine/row_batch.h base/random.h base/choice.h
    COMMENT "nvcc ${name}.cu for ${VARGPT_CUDA_ARCHS}" VERBATIM)
  list(APPEND objects ${object})
endforeach()

vargpt_cuda_library(vargpt_cuda ${cuda_sources} ${objects})
target_include_directories(vargpt_cuda SYSTEM PRIVATE ${CUDA_INCLUDE} ${CUBLASLT_INCLUDE} ${CUDNN_INCLUDE})

set_target_properties(vargpt_cuda PROPERTIES LINKER_LANGUAGE C)
target_link_libraries(vargpt_cuda PUBLIC ${CUDART} Threads::Threads ${CMAKE_DL_LIBS} rt stdc++)
