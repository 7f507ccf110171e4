# neural.deal: neural operators beside the solvers of deal.II
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

# Installs neural.deal from build_dir into a folder in work_dir and records
# deal.II's step-26 with it. What is learned has to be close to step-26's own
# solutions.

file(REMOVE_RECURSE "${work_dir}")
execute_process(
  COMMAND ${CMAKE_COMMAND} --install "${build_dir}" --prefix "${work_dir}/prefix"
  RESULT_VARIABLE result OUTPUT_QUIET)
if(result)
  message(FATAL_ERROR "neural.deal could not be installed (${result})")
endif()
execute_process(
  COMMAND "${script}" "${tutorial}" "${work_dir}/program" "${work_dir}/prefix"
    "-DCMAKE_BUILD_TYPE=${build_type}"
  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
message("${output}")
if(result)
  message(FATAL_ERROR "step-26 was not recorded (${result})")
endif()
# 251 states in steps of 1/500, of which the first is zero and is left out.
if(NOT output MATCHES "on 18[78] snapshots, 6[23] more")
  message(FATAL_ERROR "other states of step-26 were recorded than it has")
endif()
if(NOT output MATCHES "relative to the solution: median ([0-9.e+-]+) %")
  message(FATAL_ERROR "nothing was trained")
endif()
if(CMAKE_MATCH_1 GREATER 5)
  message(FATAL_ERROR "the surrogate has an error of ${CMAKE_MATCH_1} %")
endif()
file(REMOVE_RECURSE "${work_dir}")
