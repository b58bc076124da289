# Tests of the CUDA backend: what can be said of a real build without a card, and all else on the emulated one. "emulated",
# "cuda", "ptxas" and "real" in the names are what tests/run asks for; what takes minutes has the label slow.

find_program(PYTHON3 python3 REQUIRED)
# what nvcc makes of the kernels, for one architecture; skipped where there is no nvcc
if(NOT VARGPT_SANITIZE)
  add_test(NAME ptxas COMMAND ${PYTHON3} tools/check_ptxas.py --archs 90a WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(ptxas PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 1800 LABELS slow)
endif()

if(VARGPT_CUDA STREQUAL "real")
  add_test(NAME real-build COMMAND ${PYTHON3} tests/unit/cuda/real_build.py $<TARGET_FILE:vargpt>
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  return()
endif()

add_executable(check_ops-emulated ${ops_sources} cli/bench_ops.c)
target_link_libraries(check_ops-emulated PRIVATE vargpt_cpu vargpt_cuda_emulated)
add_test(NAME check_ops-emulated COMMAND check_ops-emulated --device cuda WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
foreach(op linear conv2d attention)
  add_test(NAME check_ops-emulated-fast-${op} COMMAND check_ops-emulated --device cuda --precision fast --op ${op}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endforeach()
foreach(op linear conv2d)
  add_test(NAME check_ops-emulated-libraries-${op} COMMAND check_ops-emulated --device cuda --precision fast
    --batch-invariant off --op ${op} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endforeach()

# for bench/cuda-static
add_executable(count_steps bench/count_steps.c)
target_link_libraries(count_steps PRIVATE vargpt_engine vargpt_cuda_emulated)

set_source_files_properties(tests/unit/cuda/mistakes.cu PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++")
foreach(test emulator streams backend libraries passes group nccl memory)
  add_executable(test_cuda_${test} tests/unit/cuda/test_${test}.c tests/unit/cuda/mistakes.cu)
  target_include_directories(test_cuda_${test} PRIVATE cuda/emulator/include)
  target_link_libraries(test_cuda_${test} PRIVATE vargpt_cuda_emulated PkgConfig::CMOCKA)
  add_test(NAME test_cuda_${test} COMMAND test_cuda_${test} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  list(APPEND cuda_tests test_cuda_${test})
endforeach()
# all that a test here runs
add_custom_target(emulated_tests DEPENDS vargpt-emulated check_ops-emulated ${cuda_tests})
foreach(test passes memory) # with the engine
  target_link_libraries(test_cuda_${test} PRIVATE vargpt_engine vargpt_cpu)
endforeach()

if(NOT VARGPT_SANITIZE)
  # the whole engine on the emulated card; two of the sets take minutes
  foreach(set tiny-a tiny-b tiny-c)
    add_test(NAME verify-${set}-emulated COMMAND vargpt-emulated verify --device cuda tests/golden/${set}
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(verify-${set}-emulated PROPERTIES TIMEOUT 3600 ENVIRONMENT VARGPT_EMULATOR_GUARD=1)
  endforeach()
  set_tests_properties(verify-tiny-a-emulated verify-tiny-b-emulated PROPERTIES LABELS slow)
  # several cards
  foreach(cards 2 3)
    add_test(NAME verify-tiny-c-emulated-${cards}-cards COMMAND vargpt-emulated verify --device cuda:all tests/golden/tiny-c
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(verify-tiny-c-emulated-${cards}-cards PROPERTIES ENVIRONMENT VARGPT_EMULATED_DEVICES=${cards})
  endforeach()
  add_test(NAME same-bytes-emulated-cards COMMAND ${PYTHON3} tests/unit/cuda/same_bytes.py $<TARGET_FILE:vargpt-emulated>
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  # the trained demo model in 16 bits against float32
  add_test(NAME fewer-bits-emulated COMMAND ${PYTHON3} tests/unit/cuda/fewer_bits.py $<TARGET_FILE:vargpt-emulated>
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(same-bytes-emulated-cards verify-tiny-c-emulated-3-cards PROPERTIES LABELS slow)
endif()
