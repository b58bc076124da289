# Tests of the CUDA backend on the emulated card.

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
endforeach()
foreach(test passes memory) # with the engine
  target_link_libraries(test_cuda_${test} PRIVATE vargpt_engine vargpt_cpu)
endforeach()

if(NOT VARGPT_SANITIZE)
  find_program(PYTHON3 python3 REQUIRED)
  # the whole engine on the emulated card; minutes each
  foreach(set tiny-a tiny-b tiny-c)
    add_test(NAME verify-${set}-emulated COMMAND vargpt-emulated verify --device cuda tests/golden/${set}
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(verify-${set}-emulated PROPERTIES TIMEOUT 3600 ENVIRONMENT VARGPT_EMULATOR_GUARD=1)
  endforeach()
  # several cards; "emulated" in the names is what tests/run asks for
  foreach(cards 2 3)
    add_test(NAME verify-tiny-c-emulated-${cards}-cards COMMAND vargpt-emulated verify --device cuda:all tests/golden/tiny-c
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(verify-tiny-c-emulated-${cards}-cards PROPERTIES ENVIRONMENT VARGPT_EMULATED_DEVICES=${cards})
  endforeach()
  add_test(NAME same-bytes-emulated-cards COMMAND ${PYTHON3} tests/unit/cuda/same_bytes.py $<TARGET_FILE:vargpt-emulated>
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  # what nvcc makes of the kernels, for one architecture; skipped where there is no nvcc
  add_test(NAME ptxas COMMAND ${PYTHON3} tools/check_ptxas.py --archs 90a WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(ptxas PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 1800)
endif()
