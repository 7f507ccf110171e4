# neural.deal: neural operators beside the solvers of deal.II
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

# Included by tests/CMakeLists.txt: the test that installs the project and
# builds the client against it. (CMakeLists.txt in this folder is the
# client's own.)

add_test(NAME client
  COMMAND ${CMAKE_COMMAND}
    -D "build_dir=${PROJECT_BINARY_DIR}"
    -D "work_dir=${CMAKE_CURRENT_BINARY_DIR}/client"
    -D "build_type=${CMAKE_BUILD_TYPE}"
    -D "generator=${CMAKE_GENERATOR}"
    -D "surrogates_only=${NEURALDEAL_SURROGATES_ONLY}"
    -P "${CMAKE_CURRENT_LIST_DIR}/run.cmake")

# The client finds what was found here, wherever that is.
set(client_environment ${mpi_environment})
foreach(package deal.II Torch fmt nlohmann_json)
  list(APPEND client_environment "${package}_DIR=${${package}_DIR}")
endforeach()
set_tests_properties(client PROPERTIES
  LABELS client TIMEOUT 600 ENVIRONMENT "${client_environment}")
