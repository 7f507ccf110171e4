// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_compat_h
#define neuraldeal_coupling_compat_h

/**
 * @file
 * Every difference between the deal.II versions 9.4 to 9.7 that this project
 * meets. Nothing outside this file asks for a version.
 */

#include <deal.II/base/config.h>

#include <mpi.h>

#include <utility>

namespace neuraldeal::compat
{
  namespace internal
  {
    template <typename Object>
    auto
    communicator(const Object &object, int)
      -> decltype(object.get_mpi_communicator())
    {
      return object.get_mpi_communicator();
    }

    template <typename Object>
    auto
    communicator(const Object &object, long)
      -> decltype(object.get_communicator())
    {
      return object.get_communicator();
    }
  } // namespace internal

  /**
   * The communicator of a mesh, a DoFHandler, a matrix or a vector: the
   * function's name has changed in the course of the versions.
   */
  template <typename Object>
  MPI_Comm
  communicator(const Object &object)
  {
    return internal::communicator(object, 0);
  }

  /**
   * One of the solvers of dealii::PETScWrappers: they no longer want the
   * communicator.
   */
  template <typename SolverType, typename SolverControlType>
  SolverType
  petsc_solver(SolverControlType &control, const MPI_Comm communicator)
  {
#if DEAL_II_VERSION_GTE(9, 5, 0)
    (void)communicator;
    return SolverType(control);
#else
    return SolverType(control, communicator);
#endif
  }
} // namespace neuraldeal::compat

#endif
