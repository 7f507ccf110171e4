# neural.deal: neural operators beside the solvers of deal.II
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

# Installs neural.deal from build_dir into a folder in work_dir, moves that
# folder, and configures, builds and runs the client with what is there.

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result)
  if(result)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "failed (${result}): ${command}")
  endif()
endfunction()

set(configure ${CMAKE_COMMAND} -S "${CMAKE_CURRENT_LIST_DIR}" -G "${generator}"
  "-DCMAKE_PREFIX_PATH=${work_dir}/moved"
  "-DCLIENT_SURROGATES_ONLY=${surrogates_only}")

file(REMOVE_RECURSE "${work_dir}")
run(${CMAKE_COMMAND} --install "${build_dir}" --prefix "${work_dir}/prefix")
file(RENAME "${work_dir}/prefix" "${work_dir}/moved")

run(${configure} -B "${work_dir}/build" "-DCMAKE_BUILD_TYPE=${build_type}")
run(${CMAKE_COMMAND} --build "${work_dir}/build")
run("${work_dir}/build/client" "${work_dir}/build/libmine.so")
foreach(command train inspect)
  run("${work_dir}/moved/bin/neuraldeal-${command}" --help)
endforeach()

# A client that would bring in the other build of deal.II is told so.
if(NOT surrogates_only)
  set(other Debug)
  if(build_type STREQUAL "Debug")
    set(other Release)
  endif()
  execute_process(
    COMMAND ${configure} -B "${work_dir}/other" "-DCMAKE_BUILD_TYPE=${other}"
    RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE message)
  string(REGEX REPLACE "[ \n]+" " " message "${message}")
  if(result EQUAL 0 OR
     NOT message MATCHES "Set CMAKE_BUILD_TYPE to ${build_type}")
    message(FATAL_ERROR
      "a client of the build type ${other} was not turned away: ${message}")
  endif()
endif()

file(REMOVE_RECURSE "${work_dir}")
