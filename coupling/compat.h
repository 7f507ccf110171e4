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

    template <typename AdditionalData>
    auto
    gmres_basis_size(const AdditionalData &data, int)
      -> decltype(data.max_basis_size)
    {
      return data.max_basis_size;
    }

    template <typename AdditionalData>
    unsigned int
    gmres_basis_size(const AdditionalData &data, long)
    {
      return data.max_n_tmp_vectors - 2;
    }

    template <typename AdditionalData>
    auto
    set_gmres_basis_size(AdditionalData &data, const unsigned int size, int)
      -> decltype(void(data.max_basis_size))
    {
      data.max_basis_size = size;
    }

    template <typename AdditionalData>
    void
    set_gmres_basis_size(AdditionalData &data, const unsigned int size, long)
    {
      data.max_n_tmp_vectors = size + 2;
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
   * The largest number of directions between two restarts of SolverGMRES.
   * Earlier versions count temporary vectors, two more.
   */
  template <typename AdditionalData>
  unsigned int
  gmres_basis_size(const AdditionalData &data)
  {
    return internal::gmres_basis_size(data, 0);
  }

  template <typename AdditionalData>
  void
  set_gmres_basis_size(AdditionalData &data, const unsigned int size)
  {
    internal::set_gmres_basis_size(data, size, 0);
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
