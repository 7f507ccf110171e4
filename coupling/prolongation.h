// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_prolongation_h
#define neuraldeal_coupling_prolongation_h

#include <deal.II/dofs/dof_handler.h>

#include <deal.II/lac/sparse_matrix.h>
#include <deal.II/lac/sparsity_pattern.h>
#include <deal.II/lac/vector.h>

namespace neuraldeal
{
  /**
   * Interpolation of a coarse finite element solution onto the fine mesh,
   * as a sparse matrix that is set up once: what makes a coarse solve a
   * prior. The meshes need not be nested.
   *
   * The coarse problem is small, so every rank of a group solves it by
   * itself: the coarse field is the same bit for bit on any group size, and
   * applying the matrix needs no communication.
   */
  template <int dim>
  class Prolongation
  {
  public:
    /**
     * @param coarse on a mesh that this rank holds alone.
     * @param fine of the host's mesh, which covers the same domain; a scalar
     * or vector-valued Lagrange element with as many components.
     */
    Prolongation(const dealii::DoFHandler<dim> &coarse,
                 const dealii::DoFHandler<dim> &fine);

    /** Write the interpolated field into the locally owned entries. */
    template <typename VectorType>
    void
    vmult(VectorType &fine, const dealii::Vector<double> &coarse) const;

  private:
    dealii::SparsityPattern        sparsity;
    dealii::SparseMatrix<double>   matrix;
    mutable dealii::Vector<double> interpolated;
  };
} // namespace neuraldeal

#endif
