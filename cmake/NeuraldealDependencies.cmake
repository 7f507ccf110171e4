# neural.deal: neural operators beside the solvers of deal.II
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

# Finds what the rooms stand on. Also read by neuraldealConfig.cmake, so that
# a client finds the same.

include(CMakeFindDependencyMacro)

if(NOT NEURALDEAL_SURROGATES_ONLY)
  find_package(deal.II 9.4 REQUIRED)
  if(NOT (DEAL_II_WITH_MPI AND DEAL_II_WITH_P4EST AND DEAL_II_WITH_TRILINOS AND
          DEAL_II_WITH_PETSC))
    message(FATAL_ERROR
      "deal.II at ${DEAL_II_PATH} is built without one of MPI, p4est, Trilinos "
      "and PETSc; neural.deal needs all four (Debian's libdeal.ii-dev has them).")
  endif()
  # Debian's deal.II hands its own -g on to everybody, which doubles the size
  # of every Release object and the time to link them.
  foreach(flags DEAL_II_CXX_FLAGS DEAL_II_CXX_FLAGS_RELEASE)
    string(REGEX REPLACE "(^| )-g( |$)" " " ${flags} "${${flags}}")
  endforeach()
  # Compilers and flags of deal.II, before any target exists.
  deal_ii_initialize_cached_variables()
  find_package(MPI REQUIRED COMPONENTS C CXX)
  find_package(LAPACK REQUIRED)
endif()

# deal.II has an HDF5 that knows MPI; another one in the same program would
# clash with it.
set(HDF5_PREFER_PARALLEL ON)
find_package(HDF5 REQUIRED COMPONENTS C)
if(HDF5_IS_PARALLEL)
  # Its headers include mpi.h, whoever uses them.
  find_package(MPI REQUIRED COMPONENTS C)
endif()
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Torch REQUIRED)
