// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_vector_access_h
#define neuraldeal_coupling_vector_access_h

#include <deal.II/base/exceptions.h>
#include <deal.II/base/index_set.h>

#include <deal.II/lac/la_parallel_vector.h>
#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/trilinos_vector.h>
#include <deal.II/lac/vector.h>

#include <mpi.h>

#include <functional>

/**
 * @file
 * The locally owned entries of deal.II's vectors as one array of doubles, in
 * the order of their global numbers: element access through the wrappers of
 * PETSc and Trilinos costs more than all the rest of a transfer.
 */
namespace neuraldeal
{
  /**
   * Throw where @p vector has ghost entries: Trilinos has them among the
   * owned ones, and neither of the two algebras lets one write then.
   */
  template <typename VectorType>
  void
  refuse_ghosts(const VectorType &vector)
  {
    AssertThrow(!vector.has_ghost_elements(),
                dealii::ExcMessage(
                  "A solution's vector has ghost entries. Where it is "
                  "initialized (FullOrderModel::reinit_vector), give it the "
                  "locally owned ones alone."));
  }

  /** Call @p use with the array, to read from it. */
  template <typename VectorType>
  void
  read_local(const VectorType                          &vector,
             const std::function<void(const double *)> &use)
  {
    use(vector.begin());
  }

  inline void
  read_local(const dealii::TrilinosWrappers::MPI::Vector &vector,
             const std::function<void(const double *)>   &use)
  {
    refuse_ghosts(vector);
    use(vector.begin());
  }

  inline void
  read_local(const dealii::PETScWrappers::MPI::Vector  &vector,
             const std::function<void(const double *)> &use)
  {
    const PetscScalar *values = nullptr;
    VecGetArrayRead(vector, &values);
    use(values);
    VecRestoreArrayRead(vector, &values);
  }

  /** Call @p fill with the array, to write into it. */
  template <typename VectorType>
  void
  write_local(VectorType &vector, const std::function<void(double *)> &fill)
  {
    fill(vector.begin());
  }

  inline void
  write_local(dealii::LinearAlgebra::distributed::Vector<double> &vector,
              const std::function<void(double *)>                &fill)
  {
    // What other ranks' copies say is no longer true.
    vector.zero_out_ghost_values();
    fill(vector.begin());
  }

  inline void
  write_local(dealii::TrilinosWrappers::MPI::Vector &vector,
              const std::function<void(double *)>   &fill)
  {
    refuse_ghosts(vector);
    fill(vector.begin());
  }

  inline void
  write_local(dealii::PETScWrappers::MPI::Vector  &vector,
              const std::function<void(double *)> &fill)
  {
    refuse_ghosts(vector);
    PetscScalar *values = nullptr;
    VecGetArray(vector, &values);
    fill(values);
    VecRestoreArray(vector, &values);
    // Through the interface, so that the wrapper knows of the change.
    vector.compress(dealii::VectorOperation::insert);
  }
} // namespace neuraldeal

#endif
